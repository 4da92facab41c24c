//! What only SQLite does.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use db_backup::Error;
use db_backup::maintenance::{Options, Task, run};
use db_core::ErrorKind;
use db_testkit::{TestDb, wait_until};
use diesel::RunQueryDsl;

use super::{done, open};
use crate::soak::Stop;

fn with_log() -> TestDb {
    let db = TestDb::sqlite();
    db.connect().execute(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE t (id INTEGER PRIMARY KEY, line TEXT);
         CREATE INDEX i ON t (line);",
    );
    db
}

fn log_bytes(db: &TestDb) -> u64 {
    let log = db.path().unwrap().with_file_name("test.db-wal");
    fs::metadata(log).map_or(0, |meta| meta.len())
}

#[test]
fn a_checkpoint_empties_the_log() {
    let db = with_log();
    let mut holder = db.connect();
    holder.execute("INSERT INTO t (line) VALUES ('x')");
    assert!(log_bytes(&db) > 0);
    let report = done(&db, &[Task::Checkpoint]);
    assert!(!report.is_busy());
    assert_eq!(log_bytes(&db), 0);
    assert!(report.bytes_after < report.bytes_before);
}

#[test]
fn a_reader_keeps_the_log_and_is_told() {
    let db = with_log();
    let mut reader = db.connect();
    reader.execute("INSERT INTO t (line) VALUES ('x')");
    reader.execute("BEGIN; SELECT count(*) FROM t");
    db.connect().execute("INSERT INTO t (line) VALUES ('y')");
    let started = Instant::now();
    let options = Options {
        tasks: vec![Task::Checkpoint],
        wait: Duration::from_millis(200),
    };
    let report = run(&mut open(&db), &options, &mut |_| {}).unwrap();
    assert!(report.is_busy(), "{report:#?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    reader.execute("COMMIT");
    assert!(!done(&db, &[Task::Checkpoint]).is_busy());
}

#[test]
fn a_writer_in_the_way_of_vacuum_is_named() {
    let db = with_log();
    let mut writer = db.connect();
    writer.execute("BEGIN IMMEDIATE; INSERT INTO t (line) VALUES ('x')");
    let options = |tasks: &[Task]| Options {
        tasks: tasks.to_vec(),
        wait: Duration::from_millis(200),
    };
    let refused = run(&mut open(&db), &options(&[Task::Vacuum]), &mut |_| {});
    let Err(Error::Database { error, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.message().contains("200 ms"), "{error}");
    // One index after the other: each that is busy is told.
    let report = run(&mut open(&db), &options(&[Task::Reindex]), &mut |_| {}).unwrap();
    assert!(report.is_busy());
    assert_eq!(report.tasks[0].skipped[0].object, "i");
    writer.execute("COMMIT");
    assert!(!done(&db, &[Task::Vacuum, Task::Reindex]).is_busy());
}

#[test]
fn writers_lose_nothing_while_it_works() {
    let db = with_log();
    let ended = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut conn = db.connect();
            conn.execute("PRAGMA busy_timeout = 60000");
            while !ended.load(Ordering::SeqCst) {
                conn.execute("INSERT INTO t (line) VALUES (hex(randomblob(200)))");
                written.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Whatever fails below, the writer ends.
        let stopper = Stop(&ended);
        wait_until("fifty writes", || written.load(Ordering::SeqCst) >= 50);
        for _ in 0..3 {
            let options = Options {
                tasks: Task::ALL.to_vec(),
                wait: Duration::from_mins(1),
            };
            let report = run(&mut open(&db), &options, &mut |_| {}).unwrap();
            assert!(!report.has_damage(), "{report:#?}");
        }
        drop(stopper);
        writer.join().unwrap();
    });
    let report = done(&db, &[Task::Check]);
    assert!(!report.has_damage(), "{report:#?}");
    let mut conn = db.connect();
    let db_core::Conn::Sqlite(c) = conn.conn() else {
        unreachable!()
    };
    let rows: i64 = diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM t")
        .get_result(c)
        .unwrap();
    assert_eq!(u64::try_from(rows).unwrap(), written.load(Ordering::SeqCst));
}
