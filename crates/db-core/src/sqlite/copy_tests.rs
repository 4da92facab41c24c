//! Copies beside a writer that never stops.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use db_testkit::holds_shared_lock;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;

use super::*;
use crate::encryption::test_key;
use crate::{Connection, Database, DatabaseConfig};

const ACCOUNTS: i64 = 500;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(conn: &mut diesel::SqliteConnection, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).unwrap().n
}

struct Bank {
    folder: tempfile::TempDir,
    url: DatabaseUrl,
    database: Database,
}

impl Bank {
    /// Accounts with 1,000 each, and ballast of some MiB, so that a copy has many steps.
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::SqliteFile(folder.path().join("bank.db"));
        let database = open_database(&url);
        database
            .write(|conn| {
                conn.batch_execute(&format!(
                    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
                     CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
                     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
                     INSERT INTO accounts SELECT i, 1000 FROM n;
                     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
                     INSERT INTO log SELECT i, hex(zeroblob(1000)) FROM n;"
                ))?;
                Ok::<_, Error>(())
            })
            .unwrap();
        Self {
            folder,
            url,
            database,
        }
    }

    fn target(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, "").unwrap();
        path
    }

    fn transfer(&self, random: &mut fastrand::Rng) {
        let (from, to) = (random.i64(1..=ACCOUNTS), random.i64(1..=ACCOUNTS));
        self.database
            .write(|conn| {
                conn.batch_execute(&format!(
                    "UPDATE accounts SET balance = balance - 1 WHERE id = {from};
                     UPDATE accounts SET balance = balance + 1 WHERE id = {to};
                     INSERT INTO log (text) VALUES (hex(zeroblob(200)));"
                ))?;
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}

fn open_database(url: &DatabaseUrl) -> Database {
    let mut config = DatabaseConfig::new(url.to_string());
    if test_key().is_some() {
        let file = url.path().unwrap().with_extension("key");
        fs::write(&file, "3b".repeat(32)).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        config = config.encryption_key_file(file);
    }
    Database::open(&config).unwrap()
}

fn copy(bank: &Bank, name: &str, pages: u32) -> std::path::PathBuf {
    let target = bank.target(name);
    let key = test_key();
    let mut copy =
        OnlineCopy::begin(&bank.url, &target, key.as_ref(), &Interrupt::default()).unwrap();
    let mut done = 0;
    let mut total = None;
    loop {
        let step = copy.step(pages).unwrap();
        assert!(step.done > done, "the copy began again");
        assert_eq!(*total.get_or_insert(step.total), step.total);
        done = step.done;
        if step.finished {
            break;
        }
    }
    copy.finish().unwrap();
    target
}

fn check(path: &Path) -> i64 {
    let key = test_key();
    let mut connection =
        Connection::open_immutable(path, &Interrupt::default(), key.as_ref()).unwrap();
    let crate::Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    assert_eq!(
        number(
            conn,
            "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'"
        ),
        1
    );
    assert_eq!(
        number(conn, "SELECT sum(balance) AS n FROM accounts"),
        ACCOUNTS * 1_000
    );
    number(conn, "SELECT count(*) AS n FROM log")
}

/// Ends the writers, however the test ends.
struct Stopped<'s>(&'s AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_copy_beside_a_saturating_writer_is_one_snapshot() {
    let bank = Bank::open();
    let stop = AtomicBool::new(false);
    #[cfg(target_os = "linux")]
    let path = bank.url.path().unwrap().to_owned();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|seed| {
                let (bank, stop) = (&bank, &stop);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut written = 0;
                    while !stop.load(Ordering::Relaxed) {
                        bank.transfer(&mut random);
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        // A failure must end the writers, too.
        let _stopped = Stopped(&stop);
        let mut rows = 0;
        for round in 0..6 {
            #[cfg(target_os = "linux")]
            let before = holds_shared_lock(&path);
            let pages = [1_000, 50, 7][round % 3];
            let copied = copy(&bank, &format!("copy{round}.db"), pages);
            #[cfg(target_os = "linux")]
            assert!(
                before && holds_shared_lock(&path),
                "the process lost its locks"
            );
            let found = check(&copied);
            assert!(found >= rows, "a later copy holds less");
            rows = found;
            assert!(
                !copied
                    .with_file_name(format!("copy{round}.db-wal"))
                    .exists()
            );
            assert!(
                !copied
                    .with_file_name(format!("copy{round}.db-journal"))
                    .exists()
            );
        }
        stop.store(true, Ordering::Relaxed);
        let written: i64 = writers.into_iter().map(|w| w.join().unwrap()).sum();
        assert!(written > 0 && rows <= 4_000 + written);
    });
    // Nobody lost a write, and the database goes on.
    bank.transfer(&mut fastrand::Rng::with_seed(9));
    let last = copy(&bank, "last.db", u32::MAX);
    check(&last);
}

#[test]
fn a_snapshot_is_the_moment_of_begin() {
    let bank = Bank::open();
    let target = bank.target("copy.db");
    let key = test_key();
    let interrupt = Interrupt::default();
    let mut copy = OnlineCopy::begin(&bank.url, &target, key.as_ref(), &interrupt).unwrap();
    copy.step(3).unwrap();
    for _ in 0..50 {
        bank.transfer(&mut fastrand::Rng::new());
    }
    while !copy.step(10).unwrap().finished {}
    copy.finish().unwrap();
    assert_eq!(check(&target), 4_000);
}

#[test]
fn the_copy_opens_in_a_folder_that_cannot_be_written() {
    let bank = Bank::open();
    let copied = copy(&bank, "copy.db", 1_000);
    let bytes = fs::read(&copied).unwrap();
    // Bytes 18 and 19: 1 for a rollback journal, 2 for a log.
    if test_key().is_none() {
        assert_eq!(&bytes[18..20], [1, 1]);
    }
    check(&copied);
    let beside = ["-wal", "-shm", "-journal"].map(|ending| format!("copy.db{ending}"));
    assert!(
        beside
            .iter()
            .all(|name| !copied.with_file_name(name).exists())
    );
}

#[test]
fn an_interrupt_ends_it() {
    let bank = Bank::open();
    let target = bank.target("copy.db");
    let key = test_key();
    let interrupt = Interrupt::default();
    let mut copy = OnlineCopy::begin(&bank.url, &target, key.as_ref(), &interrupt).unwrap();
    copy.step(1).unwrap();
    interrupt.interrupt().unwrap();
    assert_eq!(copy.step(1).unwrap_err().kind(), ErrorKind::Cancelled);
    copy.finish().unwrap_err();
    // It leaves nothing locked behind.
    bank.transfer(&mut fastrand::Rng::new());
    let database = bank.database.clone();
    database.close(std::time::Duration::from_secs(10)).unwrap();
}

#[test]
fn a_source_in_rollback_mode_is_copied_too() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::SqliteFile(folder.path().join("old.db"));
    let mut connection = Connection::open(&url, Access::Create).unwrap();
    let crate::Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    conn.batch_execute("PRAGMA page_size = 1024; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    let target = folder.path().join("copy.db");
    fs::write(&target, "").unwrap();
    let interrupt = Interrupt::default();
    let mut copy = OnlineCopy::begin(&url, &target, None, &interrupt).unwrap();
    while !copy.step(1).unwrap().finished {}
    copy.finish().unwrap();
    let mut copied = Connection::open_immutable(&target, &interrupt, None).unwrap();
    let crate::Conn::Sqlite(conn) = copied.conn() else {
        unreachable!()
    };
    assert_eq!(number(conn, "SELECT x AS n FROM t"), 1);
    assert_eq!(
        number(conn, "SELECT page_size AS n FROM pragma_page_size"),
        1_024
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("copy.db");
    fs::write(&target, "").unwrap();
    let interrupt = Interrupt::default();
    let memory = OnlineCopy::begin(&DatabaseUrl::SqliteMemory, &target, None, &interrupt);
    assert_eq!(memory.unwrap_err().kind(), ErrorKind::Configuration);
    let missing = DatabaseUrl::SqliteFile(folder.path().join("no.db"));
    let missing = OnlineCopy::begin(&missing, &target, None, &interrupt);
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::DatabaseMissing);
    let bytes = folder.path().join("bytes.db");
    fs::write(
        &bytes,
        "no database at all, but longer than a header ".repeat(50),
    )
    .unwrap();
    let bytes = DatabaseUrl::SqliteFile(bytes);
    let bytes = OnlineCopy::begin(&bytes, &target, None, &interrupt);
    assert_eq!(bytes.unwrap_err().kind(), ErrorKind::NotADatabase);
}
