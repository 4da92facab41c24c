//! The locks of a process on its database file: one `open` and `close` of it past SQLite drops them
//! all, so whatever a program does beside its open `Database` must leave them alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use db_core::{Access, Connection, Database, DatabaseUrl, ErrorKind};
use db_testkit::holds_shared_lock;

use crate::support::{File, Worker, durable, execute, integrity, number, open, role, say};

/// A database with a row, a reader and a writer that have both been used.
fn busy_database(file: &File) -> Database {
    let database = Database::open(&durable(file.path())).unwrap();
    database
        .write(|conn| execute(conn, "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)"))
        .unwrap();
    assert_eq!(
        database
            .read(|conn| number(conn, "SELECT n FROM t"))
            .unwrap(),
        1
    );
    database
}

#[test]
fn nothing_that_a_program_does_drops_the_lock() {
    let file = File::new();
    let path = file.path();
    let database = busy_database(&file);
    assert!(
        holds_shared_lock(path),
        "SQLite does not lock as this test believes"
    );
    let url = DatabaseUrl::parse(&format!("sqlite://{}", path.display())).unwrap();
    let link = file.folder().join("link.db");
    std::os::unix::fs::symlink(path, &link).unwrap();

    let connect = |access| {
        let mut connection = Connection::open(&url, access).unwrap();
        number(&mut connection.conn(), "SELECT count(*) AS n FROM t").unwrap();
    };
    let again = |path: &Path| {
        let again = open(path);
        again
            .write(|conn| execute(conn, "INSERT INTO t VALUES (2)"))
            .unwrap();
        again
            .read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
            .unwrap();
        again.close(Duration::from_secs(10)).unwrap();
    };
    let actions: [(&str, &dyn Fn()); 12] = [
        ("a connection to read, as `status` has", &|| {
            connect(Access::ReadOnly);
        }),
        ("a connection to write", &|| connect(Access::ReadWrite)),
        ("a connection to migrate", &|| connect(Access::Create)),
        ("a second database", &|| again(path)),
        ("a second database by a link", &|| again(&link)),
        ("a second database that is dropped", &|| drop(open(path))),
        ("statistics", &|| drop(database.stats())),
        ("a failing write", &|| {
            let failed = database.write(|conn| execute(conn, "INSERT INTO nowhere VALUES (1)"));
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::Statement);
        }),
        ("a failing read", &|| {
            let failed = database.read(|conn| execute(conn, "INSERT INTO t VALUES (1)"));
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::ReadOnly);
        }),
        ("an integrity check", &|| {
            database.read(integrity).unwrap();
        }),
        ("a checkpoint", &|| {
            let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
            execute(&mut connection.conn(), "PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }),
        ("a folder in the file's place", &|| {
            let wrong = Connection::open(
                &DatabaseUrl::parse(&format!("sqlite://{}", file.folder().display())).unwrap(),
                Access::ReadWrite,
            );
            assert_eq!(wrong.unwrap_err().kind(), ErrorKind::CannotOpen);
        }),
    ];
    for (what, act) in actions {
        act();
        assert!(holds_shared_lock(path), "{what} dropped the lock");
    }

    // What it is all about: this is how the lock goes.
    drop(std::fs::File::open(path).unwrap());
    assert!(
        !holds_shared_lock(path),
        "the lock cannot be dropped, so this test proves nothing"
    );
}

/// An application works on its file, and looks at it in every way that it has; another program
/// opens and closes the file, which takes the log away if no lock tells of the application; the
/// application goes on.
#[test]
fn rows_written_around_another_programs_visit_are_there() {
    const TEST: &str = "sqlite::locks::rows_written_around_another_programs_visit_are_there";
    if let Some(role) = role() {
        // The other program.
        let url = DatabaseUrl::parse(&format!("sqlite://{}", role.path.display())).unwrap();
        let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
        let rows = number(&mut connection.conn(), "SELECT count(*) AS n FROM t").unwrap();
        drop(connection);
        return say(rows);
    }
    let file = File::new();
    let database = busy_database(&file);
    database
        .write(|conn| execute(conn, "INSERT INTO t VALUES (2)"))
        .unwrap();
    // The application looks at its own file.
    drop(open(file.path()));
    let log = file.beside("-wal").metadata().unwrap().ino();
    let visit = || {
        let visitor = Worker::start(TEST, file.path(), &[]);
        visitor.line().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(visit(), 2);
    assert_eq!(
        file.beside("-wal").metadata().unwrap().ino(),
        log,
        "the log was replaced"
    );
    for n in 3..=102 {
        database
            .write(move |conn| execute(conn, &format!("INSERT INTO t VALUES ({n})")))
            .unwrap();
    }
    assert_eq!(visit(), 102);
    database.close(Duration::from_secs(10)).unwrap();
    let after = open(file.path());
    let rows = after
        .read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
        .unwrap();
    assert_eq!(rows, 102);
    after.read(integrity).unwrap();
}
