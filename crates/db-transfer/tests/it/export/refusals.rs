//! What cannot be, and that nothing of it stays.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use db_core::{ErrorKind, Interrupt};
use db_testkit::{TestDb, both_engines};
use db_transfer::Error;
use db_transfer::export::{self, Content, Form, Options, Output};
use db_transfer::source::Source;

use super::{exported_with, names, open, postgres, sqlite, to_file, url};

fn with_rows(db: &TestDb) {
    match db.path() {
        Some(_) => sqlite(db)
            .execute(
                "CREATE TABLE t (a INTEGER, b TEXT);
                 INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000)
                 SELECT i, 'some text' FROM n",
            )
            .unwrap(),
        None => postgres(db)
            .execute(
                "CREATE TABLE t AS SELECT i AS a, 'some text' AS b FROM generate_series(1, 200000) i",
            )
            .unwrap(),
    }
}

fn refused(db: &TestDb, options: &Options, path: &Path) -> String {
    match to_file(db, options, path).unwrap_err() {
        Error::Usage(reason) => reason,
        other => panic!("{other}"),
    }
}

both_engines! {
    fn what_cannot_be_is_said_and_leaves_no_file(db: TestDb) {
        with_rows(&db);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let csv = Options { form: Some(Form::Csv), ..Options::default() };
        let named = |name: &str| Options { tables: vec![name.to_owned()], ..Options::default() };
        let reason = refused(&db, &named("nope"), &path);
        assert_eq!(reason, "there is no table \"nope\"; there are t");
        let schema = Options { content: Content::Schema, ..csv.clone() };
        assert!(refused(&db, &schema, &path).contains("CSV holds no schema"));
        let filter = Options { filter: Some("true".to_owned()), ..Options::default() };
        assert!(refused(&db, &filter, &path).contains("one table"));
        let out = Output::Stream(Box::new(Vec::new()));
        let error = export::export(&mut open(&db), &url(&db), &csv, out, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("a folder for a file of each"), "{error}");
        for filter in ["nope = 1", "1 = 1); DELETE FROM t; --", "a = 1 ORDER"] {
            let options = Options { filter: Some(filter.to_owned()), ..named("t") };
            match to_file(&db, &options, &path).unwrap_err() {
                Error::Usage(reason) => {
                    assert!(reason.starts_with(&format!("--where {filter:?} is no condition")), "{reason}");
                }
                Error::Database { doing, source } => {
                    assert_eq!(doing, "reading the table t");
                    assert_eq!(source.kind(), ErrorKind::ReadOnly, "{filter}: {source}");
                }
                other => panic!("{filter}: {other}"),
            }
        }
        assert!(names(folder.path()).is_empty());
        let missing = folder.path().join("no/such/folder/x.json");
        let error = to_file(&db, &Options::default(), &missing).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        assert!(!error.to_string().contains("-export."), "{error}");
    }

    fn a_folder_with_files_of_another_export_is_refused(db: TestDb) {
        with_rows(&db);
        let csv = Options { form: Some(Form::Csv), ..Options::default() };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        to_file(&db, &csv, folder.path()).unwrap();
        // The same tables again are the same files.
        to_file(&db, &csv, folder.path()).unwrap();
        let before = std::fs::read(folder.path().join("t.csv")).unwrap();
        for other in ["other.csv", "old.csv.gz"] {
            std::fs::write(folder.path().join(other), "id\n").unwrap();
        }
        let reason = refused(&db, &csv, folder.path());
        assert!(reason.contains("holds old.csv.gz and 1 more"), "{reason}");
        assert_eq!(std::fs::read(folder.path().join("t.csv")).unwrap(), before);
    }
}

both_engines! {
    fn an_interrupt_ends_the_stream(db: TestDb) {
        with_rows(&db);
        let interrupt = Interrupt::default();
        let mut source = Source::open(&url(&db), None, &interrupt).unwrap();
        let written = Rc::new(Cell::new(0));
        let to = Output::Stream(Box::new(Interrupting(interrupt.clone(), Rc::clone(&written))));
        let options = Options { form: Some(Form::Ndjson), ..Options::default() };
        let done = export::export(&mut source, &url(&db), &options, to, &mut |_| {});
        assert!(matches!(done, Err(Error::Interrupted)), "{done:?}");
        interrupt.clear();
        drop(source);
        let whole = exported_with(&db, &options).0.len();
        assert!((1..whole).contains(&written.get()), "{} of {whole}", written.get());

        interrupt.interrupt().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = Source::open(&url(&db), None, &interrupt);
        assert!(matches!(opened, Err(Error::Interrupted)), "{opened:?}");
        interrupt.clear();
        let mut source = Source::open(&url(&db), None, &interrupt).unwrap();
        interrupt.interrupt().unwrap();
        let to = Output::File(folder.path().join("x.ndjson"));
        let done = export::export(&mut source, &url(&db), &options, to, &mut |_| {});
        assert!(matches!(done, Err(Error::Interrupted)), "{done:?}");
        assert!(names(folder.path()).is_empty());
    }
}

/// Asks for a stop with the first part that it is given.
struct Interrupting(Interrupt, Rc<Cell<usize>>);

impl Write for Interrupting {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.interrupt().unwrap();
        self.1.set(self.1.get() + part.len());
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

both_engines! {
    fn a_full_disk_is_told(db: TestDb) {
        with_rows(&db);
        let error = to_file(&db, &Options::default(), Path::new("/dev/full")).unwrap_err();
        match error {
            Error::File { path, source } => {
                assert_eq!(path, Path::new("/dev/full"));
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            other => panic!("{other}"),
        }
        assert!(Path::new("/dev/full").exists());
    }
}

both_engines! {
    fn a_name_that_promises_what_is_not_written_is_refused(db: TestDb) {
        with_rows(&db);
        let folder = tempfile::tempdir().unwrap();
        let csv = Options { form: Some(Form::Csv), ..Options::default() };
        let none = Options::default();
        let one = Options { tables: vec!["t".to_owned()], ..csv.clone() };
        for (name, options, said) in [
            ("x.xlsx", &none, ".xlsx tells no form"),
            ("x.xlsx.gz", &none, ".xlsx tells no form"),
            ("x.csv.bz2", &none, "not as .bz2"),
            ("x.csv.bz2", &one, "not as .bz2"),
            ("X.TAR.GZ", &none, "not as .tar"),
            ("csv.gz", &csv, "a folder is not packed"),
            ("x.csv.zst", &csv, "a folder is not packed"),
        ] {
            let reason = refused(&db, options, &folder.path().join(name));
            assert!(reason.contains(said), "{name}: {reason}");
        }
        assert!(names(folder.path()).is_empty());
        let there = folder.path().join("t.csv");
        to_file(&db, &one, &there).unwrap();
        assert!(refused(&db, &csv, &there).contains("is a file; CSV of several tables goes to a folder"));
        // What promises nothing is SQL, and what is said counts more than an ending nobody knows.
        for (name, options) in [("dump", &none), ("dump.gz", &none), ("t.report", &one)] {
            to_file(&db, options, &folder.path().join(name)).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 4);
    }
}

both_engines! {
    fn the_name_of_a_file_is_no_folder(db: TestDb) {
        with_rows(&db);
        let folder = tempfile::tempdir().unwrap();
        let csv = Options { form: Some(Form::Csv), ..Options::default() };
        let none = Options::default();
        for (name, options) in [("all.csv", &none), ("all.CSV", &csv), ("all.json", &csv)] {
            let reason = refused(&db, options, &folder.path().join(name));
            let said = "is the name of one file; CSV of several tables goes to a folder, or choose one with --table";
            assert!(reason.ends_with(said), "{name}: {reason}");
        }
        assert!(names(folder.path()).is_empty());
        // What is a folder, or ends as one does, is meant as one.
        std::fs::create_dir(folder.path().join("there.csv")).unwrap();
        let one = Options { tables: vec!["t".to_owned()], ..csv.clone() };
        for (name, options) in [("there.csv", &none), ("new.csv/", &none), ("new/", &csv), ("of one/", &one)] {
            let report = to_file(&db, options, &folder.path().join(name)).unwrap();
            assert_eq!(report.files, [folder.path().join(name).join("t.csv")]);
        }
        assert_eq!(names(folder.path()).len(), 4);
    }

    fn where_no_file_can_be_is_said_before_the_first_row(db: TestDb) {
        with_rows(&db);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let one = Options { form: Some(Form::Csv), tables: vec!["t".to_owned()], ..Options::default() };
        let json = Options { form: Some(Form::Json), ..Options::default() };
        for (name, options, kind, said) in [
            ("no/x.csv", &one, io::ErrorKind::NotFound, "there is no folder "),
            ("file/x.csv", &one, io::ErrorKind::NotADirectory, " is no folder"),
            ("", &json, io::ErrorKind::IsADirectory, "only CSV goes to a folder"),
            ("new/", &json, io::ErrorKind::IsADirectory, "only CSV goes to a folder"),
            ("new/", &Options::default(), io::ErrorKind::IsADirectory, "only CSV goes to a folder"),
        ] {
            let path = folder.path().join(name);
            let to = Output::File(path.clone());
            let mut began = false;
            let done = export::export(&mut open(&db), &url(&db), options, to, &mut |_| began = true);
            match done.unwrap_err() {
                Error::File { path: named, source } => {
                    assert_eq!((named, source.kind()), (path, kind), "{name}");
                    assert!(source.to_string().contains(said), "{name}: {source}");
                }
                other => panic!("{name}: {other}"),
            }
            assert!(!began, "{name}");
        }
        assert_eq!(names(folder.path()), [Path::new("file")]);
    }
}

both_engines! {
    fn no_database_is_overwritten(db: TestDb) {
        with_rows(&db);
        let other = super::sqlite_with("PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for of in [db.path(), other.path()].into_iter().flatten() {
            paths.push(of.to_owned());
            for end in ["-wal", "-shm", "-journal"] {
                let mut name = of.as_os_str().to_owned();
                name.push(end);
                paths.push(name.into());
            }
            let number = paths.len();
            let (link, hard) = (folder.path().join(format!("s{number}")), folder.path().join(format!("h{number}")));
            std::os::unix::fs::symlink(of, &link).unwrap();
            std::fs::hard_link(of, &hard).unwrap();
            paths.extend([link, hard]);
        }
        // One that is open has files beside it.
        let mut held = sqlite(&other);
        held.execute("BEGIN; SELECT * FROM t").unwrap();
        for path in &paths {
            let before = std::fs::read(path).ok();
            for form in [Form::Sql, Form::Json, Form::Csv] {
                let options = Options { form: Some(form), tables: vec!["t".to_owned()], ..Options::default() };
                let reason = refused(&db, &options, path);
                assert!(reason.contains("which an export does not overwrite"), "{reason}");
            }
            assert_eq!(std::fs::read(path).ok(), before, "{}", path.display());
        }
        // A table may be called as the file of a database in the folder.
        std::fs::write(folder.path().join("t.csv"), b"SQLite format 3\0").unwrap();
        let csv = Options { form: Some(Form::Csv), ..Options::default() };
        assert!(refused(&db, &csv, folder.path()).contains("is a SQLite database"));
    }
}

/// As `/dev/stdout` does: what stands in the file is not replaced, and neither is the link.
#[cfg(target_os = "linux")]
#[test]
fn the_name_of_an_open_stream_is_written_to() {
    use std::os::fd::AsRawFd as _;

    let db = TestDb::sqlite();
    sqlite(&db)
        .execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("said"), folder.path().join("stream"));
    std::fs::write(&file, "before\n").unwrap();
    let held = std::fs::File::options().append(true).open(&file).unwrap();
    std::os::unix::fs::symlink(format!("/proc/self/fd/{}", held.as_raw_fd()), &link).unwrap();
    let options = Options {
        form: Some(Form::Csv),
        tables: vec!["t".to_owned()],
        ..Options::default()
    };
    to_file(&db, &options, &link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let said = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["before", "a", "7"]
    );
}
