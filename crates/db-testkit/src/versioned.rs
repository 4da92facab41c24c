//! A SQLite file that says which version it is: for tests that put one in the place of another.

use std::path::{Path, PathBuf};

use db_core::{Access, Conn, Connection, DatabaseUrl};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn open(path: &Path, access: Access) -> Connection {
    Connection::open(&DatabaseUrl::SqliteFile(path.to_owned()), access)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Makes it this version, in WAL mode, with so many more rows of a kilobyte, so that there is work to kill.
///
/// # Panics
/// If it cannot be written.
#[track_caller]
pub fn write(path: &Path, version: i64, rows: u32) {
    let mut connection = open(path, Access::Create);
    let written = connection.conn().batch_execute(&format!(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE IF NOT EXISTS versions (n INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS ballast (x);
         BEGIN;
         DELETE FROM versions; INSERT INTO versions VALUES ({version});
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {rows})
         INSERT INTO ballast SELECT randomblob(1000) FROM c;
         COMMIT;"
    ));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Opens it as an application does, and tells its version.
///
/// # Panics
/// If it is damaged.
#[track_caller]
#[must_use]
pub fn read(path: &Path) -> i64 {
    let mut connection = open(path, Access::ReadWrite);
    let Conn::Sqlite(conn) = connection.conn() else {
        panic!("{} is no SQLite file", path.display())
    };
    let mut number = |sql: &str| {
        let found: diesel::QueryResult<Number> = sql_query(sql).get_result(conn);
        found.unwrap_or_else(|error| panic!("{sql}: {error}")).n
    };
    let sound = "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    assert_eq!(number(sound), 1, "{}", path.display());
    number("SELECT n FROM versions")
}

/// Takes it away, with all that lies beside it under a name that begins with its own.
///
/// # Panics
/// If something cannot be removed.
#[track_caller]
pub fn forget(path: &Path) {
    for file in beside(path) {
        std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// The databases that were kept when `path` was replaced by a `command`.
///
/// # Panics
/// If its folder cannot be read.
#[track_caller]
#[must_use]
pub fn kept(path: &Path, command: &str) -> Vec<PathBuf> {
    let mut kept = beside(path);
    let mark = format!(".before-{command}-");
    kept.retain(|file| name(file).contains(&mark));
    kept
}

/// Names of files in a folder that a dead process has not finished.
///
/// # Panics
/// If it cannot be read.
#[track_caller]
#[must_use]
pub fn partial(folder: &Path) -> Vec<String> {
    let names = files(folder).into_iter().map(|file| name(&file));
    names.filter(|name| name.contains(".partial")).collect()
}

fn beside(path: &Path) -> Vec<PathBuf> {
    let mut found = files(path.parent().unwrap_or(Path::new(".")));
    found.retain(|file| name(file).starts_with(&name(path)));
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
