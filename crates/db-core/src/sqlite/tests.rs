//! What a SQLite file does under the house's pragmas, code by code.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, RunQueryDsl, sql_query};

use super::*;
use crate::{Connection, Position};

fn open_new(folder: &std::path::Path) -> Connection {
    let url = DatabaseUrl::SqliteFile(folder.join("sub folder/100% #?.db"));
    Connection::open(&url, Access::Create).unwrap()
}

fn sqlite(connection: &mut Connection) -> &mut SqliteConnection {
    match connection.conn() {
        crate::Conn::Sqlite(c) => c,
        crate::Conn::Postgres(_) => unreachable!(),
    }
}

fn fails(conn: &mut SqliteConnection, sql: &str) -> Error {
    Error::classify(Engine::Sqlite, &sql_query(sql).execute(conn).unwrap_err())
}

#[test]
fn threads_that_create_one_file_all_get_it() {
    const THREADS: usize = 8;
    for round in 0..60 {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::SqliteFile(folder.path().join("new.db"));
        let start = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (url, start) = (&url, &start);
                scope.spawn(move || {
                    start.wait();
                    let mut connection = Connection::open(url, Access::Create)
                        .unwrap_or_else(|e| panic!("round {round}: {e}"));
                    let table = format!("CREATE TABLE t{thread} (x)");
                    sqlite(&mut connection).batch_execute(&table).unwrap();
                });
            }
        });
        let mut connection = Connection::open(&url, Access::ReadOnly).unwrap();
        // Nothing was truncated or written into a file that has no name.
        for thread in 0..THREADS {
            sql_query(format!("SELECT * FROM t{thread}"))
                .execute(sqlite(&mut connection))
                .unwrap();
        }
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "a draft was left behind");
    }
}

#[cfg(unix)]
#[test]
fn a_new_file_and_its_folder_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mut connection = open_new(folder.path());
    sqlite(&mut connection)
        .batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
        .unwrap();
    let path = connection.url().path().unwrap().to_owned();
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn codes_and_places_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = open_new(folder.path());
    let conn = sqlite(&mut connection);
    conn.batch_execute(
        "CREATE TABLE u (id INTEGER PRIMARY KEY, n TEXT NOT NULL UNIQUE,
                         age INTEGER CONSTRAINT ck_u_age CHECK (age > 0)) STRICT;
         CREATE TABLE k (u INTEGER REFERENCES u (id)) STRICT;
         INSERT INTO u VALUES (1, 'a', 1)",
    )
    .unwrap();
    for (sql, kind, code) in [
        (
            "INSERT INTO u VALUES (2, 'a', 1)",
            ErrorKind::Constraint,
            2067,
        ),
        (
            "INSERT INTO u VALUES (1, 'b', 1)",
            ErrorKind::Constraint,
            1555,
        ),
        (
            "INSERT INTO u VALUES (2, NULL, 1)",
            ErrorKind::Constraint,
            1299,
        ),
        (
            "INSERT INTO u VALUES (2, 'b', 0)",
            ErrorKind::Constraint,
            275,
        ),
        (
            "INSERT INTO u VALUES (2, 'b', 'x')",
            ErrorKind::Constraint,
            3091,
        ),
        ("INSERT INTO k VALUES (9)", ErrorKind::Constraint, 787),
        ("SELECT * FROM nope", ErrorKind::Statement, 1),
    ] {
        let error = fails(conn, sql);
        assert_eq!(
            (error.kind(), error.sqlite_code()),
            (kind, Some(code)),
            "{sql}"
        );
    }
    let error = fails(conn, "SELECT *\nFROM u WERE x");
    assert_eq!(error.position(), Some(Position::Byte(21)));
}

#[test]
fn a_rival_writer_is_busy_and_a_stale_snapshot_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = open_new(folder.path());
    let mut two = Connection::open(one.url(), Access::ReadWrite).unwrap();
    let (a, b) = (sqlite(&mut one), sqlite(&mut two));
    a.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
        .unwrap();
    b.batch_execute("PRAGMA busy_timeout = 0").unwrap();

    a.batch_execute("BEGIN IMMEDIATE").unwrap();
    assert_eq!(fails(b, "INSERT INTO t VALUES (1)").kind(), ErrorKind::Busy);
    a.batch_execute("COMMIT").unwrap();

    b.batch_execute("BEGIN; SELECT * FROM t").unwrap();
    a.batch_execute("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(
        fails(b, "INSERT INTO t VALUES (2)").kind(),
        ErrorKind::BusySnapshot
    );
    b.batch_execute("ROLLBACK").unwrap();
}

#[test]
fn read_only_full_and_foreign_files_have_their_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = open_new(folder.path());
    sqlite(&mut connection)
        .batch_execute("CREATE TABLE t (x)")
        .unwrap();
    let mut reader = Connection::open(connection.url(), Access::ReadOnly).unwrap();
    assert_eq!(
        fails(sqlite(&mut reader), "INSERT INTO t VALUES (1)").kind(),
        ErrorKind::ReadOnly
    );
    let conn = sqlite(&mut connection);
    conn.batch_execute("PRAGMA max_page_count = 3").unwrap();
    assert_eq!(
        fails(conn, "INSERT INTO t VALUES (zeroblob(90000))").kind(),
        ErrorKind::DiskFull
    );

    let note = folder.path().join("note.db");
    std::fs::write(
        &note,
        "a note, and by no means a database: it is far too short".repeat(40),
    )
    .unwrap();
    let error = Connection::open(&DatabaseUrl::SqliteFile(note), Access::ReadWrite).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
    assert!(error.to_string().contains("note.db"), "{error}");

    let missing = DatabaseUrl::SqliteFile(folder.path().join("missing.db"));
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = Connection::open(&missing, access).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DatabaseMissing);
    }
    assert!(!missing.path().unwrap().exists());
}

#[test]
fn an_interrupt_ends_the_running_statement() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = open_new(folder.path());
    let interrupt = connection.interrupt();
    let waiting = Arc::new(std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        let barrier = Arc::clone(&waiting);
        scope.spawn(move || {
            barrier.wait();
            interrupt.interrupt().unwrap();
        });
        waiting.wait();
        let error = fails(
            sqlite(&mut connection),
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
             SELECT count(*) FROM n",
        );
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
    connection.interrupt().clear();
    sqlite(&mut connection).batch_execute("SELECT 1").unwrap();
}

#[test]
fn a_connection_opened_elsewhere_is_classified_by_its_text() {
    #[expect(clippy::disallowed_methods, reason = "a connection that is not ours")]
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    let error = fails(&mut conn, "SELEC 1");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::Statement, None)
    );
}

#[test]
fn a_reader_leaves_the_folder_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open_new(folder.path());
    let url = writer.url().clone();
    sqlite(&mut writer)
        .batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
        .unwrap();
    drop(writer);
    let mut reader = Connection::open(&url, Access::ReadOnly).unwrap();
    let error = fails(sqlite(&mut reader), "INSERT INTO t VALUES (1)");
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    drop(reader);
    let beside = std::fs::read_dir(url.path().unwrap().parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1, "neither -wal nor -shm stays");
}
