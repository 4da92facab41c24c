//! An encrypted file: a transaction that did not end is rolled back, and a log is read, with its key.

use std::fs;
use std::path::Path;

use db_backup::Error;
use db_backup::salvage::{self, Options, Report};
use db_core::{Access, Conn, Connection, DatabaseUrl, EncryptionKey, Interrupt, KeySource};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

const KEY: &str = "2DD29CA851E7B56E4697B0E1F08507293D761A05CE4D1B628663F411A8086D99";

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    highest: i64,
}

fn key() -> EncryptionKey {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, KEY).unwrap();
    KeySource::file(file.path()).read().unwrap()
}

fn open(path: &Path, access: Access) -> Connection {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    Connection::open_encrypted(&url, access, &Interrupt::default(), Some(&key())).unwrap()
}

fn rows(connection: &mut Connection) -> (i64, i64) {
    let Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    let rows: Rows = sql_query("SELECT count(*) AS rows, max(n) AS highest FROM accounts")
        .get_result(conn)
        .unwrap();
    (rows.rows, rows.highest)
}

fn salvaged(database: &Path) -> Result<Report, Error> {
    let options = Options {
        database: database.to_owned(),
        to: database.with_file_name("salvaged.db"),
        key: Some(&key()),
        by_sql: false,
    };
    salvage::salvage(&options, &Interrupt::default(), &mut |_| {})
}

/// A database of 500 rows, whose file is caught in the middle of a change of all of them.
fn halfway(mode: &str, change: &str) -> (tempfile::TempDir, Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.db");
    let mut live = open(&path, Access::Create);
    let mut execute = |sql: &str| live.conn().batch_execute(sql).unwrap();
    execute(&format!(
        "PRAGMA journal_mode = {mode};
         PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, line TEXT NOT NULL);
         INSERT INTO accounts
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         SELECT i, 1, hex(randomblob(300)) FROM n;
         PRAGMA cache_size = 5;"
    ));
    let before = fs::read(&path).unwrap();
    execute(change);
    let ending = if mode == "WAL" { "wal" } else { "journal" };
    let beside = fs::read(path.with_file_name(format!("live.db-{ending}"))).unwrap();
    let file = fs::read(&path).unwrap();
    assert_eq!(file == before, mode == "WAL");
    drop(live);
    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, &file).unwrap();
    fs::write(folder.path().join(format!("damaged.db-{ending}")), &beside).unwrap();
    (folder, file, beside)
}

#[test]
fn a_transaction_that_did_not_end_is_rolled_back_with_the_key() {
    // More than fits into the cache, so that it is in the file before it is committed.
    let change = "BEGIN; UPDATE accounts SET n = 2, line = hex(randomblob(400));
         INSERT INTO accounts SELECT id + 1000, 3, line FROM accounts";
    let (folder, file, journal) = halfway("DELETE", change);
    let database = folder.path().join("damaged.db");
    let report = salvaged(&database).unwrap();
    let told = report.journal.as_deref().unwrap();
    assert!(told.starts_with("rolled back: "), "{told}");
    assert!(report.damage.is_empty(), "{report:#?}");
    let mut new = open(&folder.path().join("salvaged.db"), Access::ReadOnly);
    assert_eq!(rows(&mut new), (500, 1));
    assert_eq!(fs::read(&database).unwrap(), file, "the file was written");
    let beside = folder.path().join("damaged.db-journal");
    assert_eq!(
        fs::read(beside).unwrap(),
        journal,
        "the journal was written"
    );
}

#[test]
fn a_log_is_read_with_the_key() {
    let (folder, ..) = halfway("WAL", "UPDATE accounts SET n = 2");
    let report = salvaged(&folder.path().join("damaged.db")).unwrap();
    assert!(report.damage.is_empty(), "{report:#?}");
    let mut new = open(&folder.path().join("salvaged.db"), Access::ReadOnly);
    assert_eq!(rows(&mut new), (500, 2));
    // Its last frame is torn: what was committed before it is there.
    fs::remove_file(folder.path().join("salvaged.db")).unwrap();
    let log = folder.path().join("damaged.db-wal");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 100]).unwrap();
    salvaged(&folder.path().join("damaged.db")).unwrap();
    let mut new = open(&folder.path().join("salvaged.db"), Access::ReadOnly);
    assert_eq!(rows(&mut new), (500, 1));
}
