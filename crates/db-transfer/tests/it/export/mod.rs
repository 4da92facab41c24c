//! What an export writes, and what loads it.

mod few;
mod forms;
mod postgres;
mod refusals;
mod snapshot;
mod sqlite;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use db_core::bulk::{PostgresBulk, SqliteBulk};
use db_core::{Access, DatabaseUrl, Interrupt};
use db_testkit::TestDb;
use db_transfer::Error;
use db_transfer::export::{self, Form, Options, Output, Report};
use db_transfer::source::Source;

pub(crate) fn url(db: &TestDb) -> DatabaseUrl {
    DatabaseUrl::parse(&db.url()).unwrap()
}

pub(crate) fn sqlite(db: &TestDb) -> SqliteBulk {
    SqliteBulk::open(&url(db), Access::Create, None, &Interrupt::default()).unwrap()
}

pub(crate) fn postgres(db: &TestDb) -> PostgresBulk {
    PostgresBulk::open(&url(db), Access::ReadWrite, &Interrupt::default()).unwrap()
}

/// A database of SQLite with this in it.
pub(crate) fn sqlite_with(sql: &str) -> TestDb {
    let db = TestDb::sqlite();
    sqlite(&db).execute(sql).unwrap();
    db
}

/// A database of PostgreSQL with this in it.
pub(crate) fn postgres_with(sql: &str) -> TestDb {
    let db = TestDb::postgres();
    postgres(&db).execute(sql).unwrap();
    db
}

pub(crate) fn open(db: &TestDb) -> Source {
    Source::open(&url(db), None, &Interrupt::default()).unwrap()
}

/// Exports to a file.
pub(crate) fn to_file(db: &TestDb, options: &Options, path: &Path) -> Result<Report, Error> {
    let to = Output::File(path.to_owned());
    export::export(&mut open(db), &url(db), options, to, &mut |_| {})
}

/// What an export in this form writes.
pub(crate) fn exported(db: &TestDb, form: Form) -> Vec<u8> {
    let options = Options {
        form: Some(form),
        ..Options::default()
    };
    exported_with(db, &options).0
}

pub(crate) fn exported_with(db: &TestDb, options: &Options) -> (Vec<u8>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let report = to_file(db, options, &path).unwrap();
    (std::fs::read(path).unwrap(), report)
}

/// The files of an export to a folder, by name.
pub(crate) fn exported_csv(db: &TestDb) -> (Vec<(String, String)>, Report) {
    exported_csv_with(db, false)
}

pub(crate) fn exported_csv_with(db: &TestDb, sorted: bool) -> (Vec<(String, String)>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        form: Some(Form::Csv),
        sorted,
        ..Options::default()
    };
    let report = to_file(db, &options, folder.path()).unwrap();
    let mut files: Vec<(String, String)> = Vec::new();
    for entry in folder.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(path).unwrap();
        files.push((name, String::from_utf8_lossy(&bytes).into_owned()));
    }
    files.sort();
    (files, report)
}

/// Loads a script as its engine's own shell does, and fails if the shell complains.
pub(crate) fn load(db: &TestDb, script: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.sql");
    std::fs::write(&path, script).unwrap();
    let mut command = if let Some(path) = db.path() {
        let mut command = Command::new("sqlite3");
        command.args(["-bail", "-batch"]).arg(path);
        command
    } else {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &db.url()]);
        command
    };
    command
        .stdin(File::open(&path).unwrap())
        .stdout(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{}: {said}",
        output.status
    );
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| PathBuf::from(path.file_name().unwrap()))
        .collect()
}
