//! SQLite's result codes, each from a database that really is in that state.

use std::fs;

use db_core::{Connection, Error, ErrorKind, Position};
use db_testkit::TestDb;
use diesel::RunQueryDsl;
use diesel::sql_types::{Text, Timestamp};

use crate::support::{batch_fails, fails, open, open_url, run, sqlite};

const SCHEMA: &str = "
    CREATE TABLE u (
        id INTEGER PRIMARY KEY,
        n TEXT NOT NULL CONSTRAINT uq_u_n UNIQUE,
        age INTEGER CONSTRAINT ck_u_age CHECK (age > 0)
    ) STRICT;
    CREATE TABLE k (u INTEGER REFERENCES u (id)) STRICT;
    CREATE TABLE later (u INTEGER REFERENCES u (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
    CREATE TABLE loose (x);
    CREATE TABLE log (at INTEGER) STRICT;
    CREATE TRIGGER log_kept BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'kept'); END;
    CREATE TRIGGER log_fail BEFORE UPDATE OF at ON log WHEN NEW.at = 1
        BEGIN SELECT RAISE(FAIL, 'not one'); END;
    CREATE TRIGGER log_back BEFORE UPDATE OF at ON log WHEN NEW.at = 2
        BEGIN SELECT RAISE(ROLLBACK, 'not two'); END;
    INSERT INTO u VALUES (1, 'a', 1);
    INSERT INTO log VALUES (0);";

fn prepared() -> (TestDb, Connection) {
    let db = TestDb::sqlite();
    let mut connection = open(&db);
    run(&mut connection, "PRAGMA journal_mode = WAL");
    run(&mut connection, SCHEMA);
    (db, connection)
}

fn path(db: &TestDb) -> &std::path::Path {
    db.path().unwrap()
}

#[derive(diesel::QueryableByName, Debug)]
struct Row {
    #[diesel(sql_type = Timestamp)]
    at: chrono::NaiveDateTime,
}

#[test]
fn a_value_is_not_shown() {
    let (_db, mut connection) = prepared();
    run(
        &mut connection,
        "CREATE VIRTUAL TABLE words USING fts5 (word)",
    );
    let card = "4111111111111111";
    for (sql, value) in [
        ("SELECT json_extract('{}', $1) AS at", format!("bad{card}")),
        ("SELECT json_extract('{}', $1) AS at", format!("$[{card}")),
        (
            "SELECT word AS at FROM words WHERE words MATCH $1",
            format!("\"x\" AND ({card}"),
        ),
        ("SELECT $1 AS at", card.to_owned()),
    ] {
        let error = diesel::sql_query(sql)
            .bind::<Text, _>(&value)
            .get_result::<Row>(sqlite(&mut connection))
            .map(|row| row.at)
            .unwrap_err();
        let error = Error::from(error);
        assert!(!error.to_string().contains(card), "{sql}: {error}");
        assert!(!error.is_retryable(), "{error}");
    }
    let error = diesel::sql_query("SELECT $1 AS at")
        .bind::<Text, _>(card)
        .get_result::<Row>(sqlite(&mut connection))
        .map(|row| row.at)
        .unwrap_err();
    assert!(Error::from(error).told().contains(card));
}

#[test]
fn statements_that_one_connection_can_get_wrong() {
    let (_db, mut connection) = prepared();
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
            "INSERT INTO loose (rowid, x) VALUES (7, 1), (7, 2)",
            ErrorKind::Constraint,
            2579,
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
        ("INSERT INTO k VALUES (9)", ErrorKind::Constraint, 787),
        ("INSERT INTO later VALUES (9)", ErrorKind::Constraint, 787),
        (
            "INSERT INTO u VALUES (2, 'b', 'x')",
            ErrorKind::Constraint,
            3091,
        ),
        (
            "INSERT INTO u VALUES ('x', 'b', 1)",
            ErrorKind::Constraint,
            20,
        ),
        ("DELETE FROM log", ErrorKind::Constraint, 1811),
        ("UPDATE log SET at = 1", ErrorKind::Constraint, 1811),
        ("UPDATE log SET at = 2", ErrorKind::Constraint, 1811),
        ("SELEC 1", ErrorKind::Statement, 1),
        ("SELECT 1 +", ErrorKind::Statement, 1),
        ("SELECT 'open", ErrorKind::Statement, 1),
        ("SELECT * FROM nope", ErrorKind::Statement, 1),
        ("SELECT nope FROM u", ErrorKind::Statement, 1),
        ("SELECT nope(1)", ErrorKind::Statement, 1),
        ("SELECT id FROM u, u AS v", ErrorKind::Statement, 1),
        ("INSERT INTO u (nope) VALUES (1)", ErrorKind::Statement, 1),
        ("CREATE TABLE u (x)", ErrorKind::AlreadyExists, 1),
        (
            "ALTER TABLE u ADD COLUMN n TEXT",
            ErrorKind::AlreadyExists,
            1,
        ),
        ("SELECT zeroblob(2000000000)", ErrorKind::InvalidValue, 18),
        (
            "SELECT abs(-9223372036854775807 - 1)",
            ErrorKind::InvalidValue,
            1,
        ),
        ("SELECT json('{')", ErrorKind::InvalidValue, 1),
        (
            "ATTACH 'no/such/folder/x.db' AS x",
            ErrorKind::CannotOpen,
            14,
        ),
    ] {
        let error = fails(&mut connection, sql);
        assert_eq!(
            (error.kind(), error.sqlite_code()),
            (kind, Some(code)),
            "{sql}: {error}"
        );
        assert!(!error.is_retryable(), "{sql}");
    }
    // What fails only at the end of a transaction.
    run(&mut connection, "BEGIN; INSERT INTO later VALUES (9)");
    let error = fails(&mut connection, "COMMIT");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::Constraint, Some(787))
    );
    run(&mut connection, "ROLLBACK");
    // Each of them left the connection usable.
    run(&mut connection, "INSERT INTO u VALUES (2, 'b', 1)");
}

#[test]
fn a_batch_has_its_codes_too() {
    let (_db, mut connection) = prepared();
    let error = batch_fails(
        &mut connection,
        "SELECT 1; INSERT INTO u VALUES (1, 'b', 1)",
    );
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::Constraint, Some(1555))
    );
    let error = fails(&mut connection, "SELECT *\nFROM u WERE x");
    assert_eq!(error.position(), Some(Position::Byte(21)));
}

#[test]
fn rivals_are_busy_and_stale_snapshots_are_told_apart() {
    let (db, mut one) = prepared();
    let mut two = open(&db);
    run(&mut two, "PRAGMA busy_timeout = 0");

    run(&mut one, "BEGIN IMMEDIATE");
    for sql in ["INSERT INTO u VALUES (2, 'b', 1)", "BEGIN IMMEDIATE"] {
        let error = fails(&mut two, sql);
        assert_eq!(
            (error.kind(), error.sqlite_code()),
            (ErrorKind::Busy, Some(5)),
            "{sql}"
        );
        assert!(error.is_retryable());
    }
    run(&mut one, "COMMIT");

    run(&mut two, "BEGIN; SELECT * FROM u");
    run(&mut one, "INSERT INTO u VALUES (3, 'c', 1)");
    let error = fails(&mut two, "INSERT INTO u VALUES (4, 'd', 1)");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::BusySnapshot, Some(517))
    );
    assert!(error.is_retryable());
    run(&mut two, "ROLLBACK");
}

#[test]
fn readers_and_read_only_files_refuse_to_write() {
    let (db, mut connection) = prepared();
    run(&mut connection, "PRAGMA query_only = ON");
    let error = fails(&mut connection, "INSERT INTO loose VALUES (1)");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::ReadOnly, Some(8))
    );
    run(&mut connection, "PRAGMA query_only = OFF");

    let read_only = format!("ATTACH 'file:{}?mode=ro' AS r", path(&db).display());
    let mut other = open(&TestDb::sqlite());
    run(&mut other, &read_only);
    let error = fails(&mut other, "INSERT INTO r.loose VALUES (1)");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::ReadOnly, Some(8))
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_was_moved_away_is_not_written_to() {
    let db = TestDb::sqlite();
    let mut connection = open(&db);
    run(&mut connection, "CREATE TABLE t (x)");
    fs::rename(path(&db), path(&db).with_extension("moved")).unwrap();
    let error = fails(&mut connection, "INSERT INTO t VALUES (1)");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::ReadOnly, Some(1032))
    );
}

#[test]
fn a_full_database_says_so_and_can_be_read() {
    let (_db, mut connection) = prepared();
    run(&mut connection, "PRAGMA max_page_count = 16");
    let error = fails(
        &mut connection,
        "INSERT INTO loose VALUES (zeroblob(900000))",
    );
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::DiskFull, Some(13))
    );
    run(&mut connection, "SELECT * FROM u");
}

#[test]
fn damage_is_seen() {
    let (db, mut connection) = prepared();
    run(&mut connection, "PRAGMA journal_mode = DELETE");
    drop(connection);
    let mut bytes = fs::read(path(&db)).unwrap();
    // The first page holds the schema; everything behind it is torn.
    let page = 4_096;
    bytes[page..].fill(0x5a);
    let damaged = path(&db).with_file_name("damaged.db");
    fs::write(&damaged, &bytes).unwrap();
    let mut connection = open_url(damaged.to_str().unwrap()).unwrap();
    let error = fails(&mut connection, "SELECT * FROM u");
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::Corrupt, Some(11))
    );
    assert!(!error.is_retryable());

    fs::write(&damaged, [7_u8; 8_192]).unwrap();
    let error = open_url(damaged.to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
}

#[test]
fn an_index_that_lost_its_rows_is_damage_of_its_own() {
    let (db, mut connection) = prepared();
    // The schema is told that an index lives where another tree does.
    run(
        &mut connection,
        "PRAGMA journal_mode = DELETE; CREATE INDEX idx_loose_x ON loose (x);
         INSERT INTO loose VALUES (1), (2), (3);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'k')
             WHERE name = 'idx_loose_x'",
    );
    drop(connection);
    let mut connection = open(&db);
    let error = fails(
        &mut connection,
        "SELECT x FROM loose INDEXED BY idx_loose_x WHERE x = 2",
    );
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_does_not_read_is_an_io_error() {
    // Reading its first page fails with EIO, as a broken disk would.
    let error = open_url("sqlite:///proc/self/mem").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
}

#[test]
fn a_folder_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = open(&TestDb::sqlite());
    let attach = format!("ATTACH '{}' AS x", folder.path().display());
    let error = fails(&mut connection, &attach);
    assert_eq!(error.kind(), ErrorKind::CannotOpen, "{error:?}");
}

#[test]
fn an_interrupt_cancels() {
    let mut connection = open(&TestDb::sqlite());
    connection.interrupt().interrupt().unwrap();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                   SELECT count(*) FROM n";
    let error = fails(&mut connection, endless);
    assert_eq!(
        (error.kind(), error.sqlite_code()),
        (ErrorKind::Cancelled, Some(9))
    );
}
