//! A database stays at the file that it was opened on, whatever its name comes to mean: a read is
//! never answered from another file than the one that is written.

use std::os::unix::fs::symlink;
use std::path::Path;

use db_core::{Database, DatabaseConfig, ErrorKind};

use crate::support::{File, Worker, execute, number, open, role, say};

const SUM: &str = "SELECT sum(n) AS n FROM t";

/// A database file with one row of this number.
fn file_with(n: i64) -> File {
    let file = File::new();
    let create = format!("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES ({n})");
    open(file.path())
        .write(|conn| execute(conn, &create))
        .unwrap();
    file
}

/// Adds ten by the writer, and reads the sum by a reader that is opened now.
fn sum_after_ten(database: &Database) -> i64 {
    database
        .write(|conn| execute(conn, "INSERT INTO t VALUES (10)"))
        .unwrap();
    database.read(|conn| number(conn, SUM)).unwrap()
}

#[test]
fn the_working_directory_changes() {
    const TEST: &str = "sqlite::moved::the_working_directory_changes";
    if let Some(role) = role() {
        // A process of its own, because it has only one working directory.
        std::env::set_current_dir(role.path.parent().unwrap()).unwrap();
        let database = Database::open(&DatabaseConfig::new("sqlite://test.db")).unwrap();
        std::env::set_current_dir(Path::new(&role.words[0])).unwrap();
        return say(sum_after_ten(&database));
    }
    let (file, other) = (file_with(1), file_with(2));
    let elsewhere = other.folder().to_str().unwrap();
    let worker = Worker::start(TEST, file.path(), &[&elsewhere]);
    assert_eq!(worker.line().unwrap(), "11");
}

#[test]
fn the_link_is_set_to_another_file() {
    let (file, other) = (file_with(1), file_with(2));
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("current.db");
    symlink(file.path(), &link).unwrap();
    let database = open(&link);
    std::fs::remove_file(&link).unwrap();
    symlink(other.path(), &link).unwrap();
    assert_eq!(sum_after_ten(&database), 11);
}

#[test]
fn another_file_or_none_in_its_place_is_refused() {
    let (file, other) = (file_with(1), file_with(2));
    let database = open(file.path());
    std::fs::rename(other.path(), file.path()).unwrap();
    let error = database.read(|conn| number(conn, SUM)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotOpen, "{error}");
    assert!(error.message().contains("was replaced"), "{error}");
    std::fs::remove_file(file.path()).unwrap();
    let error = database.read(|conn| number(conn, SUM)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotOpen, "{error}");
    assert!(error.message().contains("taken away"), "{error}");
}
