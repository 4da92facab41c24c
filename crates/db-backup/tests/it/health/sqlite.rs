//! Faults of a file, and of the pool over it.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use db_backup::health::{Limit, Selection, Space, State, Target, metrics};
use db_core::{Database, DatabaseConfig, Error, ErrorKind};
use db_testkit::{TestDb, holds_shared_lock, wait_for};

use super::truth::Damaged;
use super::{World, assert_healthy, find, flips, migrate, patient, patient_of};

fn open(db: &TestDb) -> Database {
    let config = DatabaseConfig::new(db.url())
        .max_connections(1)
        .checkpoint_pages(1_000_000)
        .connection_timeout(Duration::from_millis(50));
    Database::open(&config).unwrap()
}

fn execute(database: &Database, sql: &str) {
    database
        .write(|conn| Ok::<_, Error>(conn.batch_execute(sql)?))
        .unwrap();
}

/// Runs `f` while a thread reads.
fn while_reading(database: &Database, f: impl FnOnce()) {
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let read = database.read(|conn| {
                conn.batch_execute("SELECT count(*) FROM bets")?;
                begun.send(()).unwrap();
                // An error is the end as well.
                ended.recv().unwrap_or_default();
                Ok::<_, Error>(())
            });
            read.unwrap();
        });
        has_begun
            .recv_timeout(Duration::from_mins(1))
            .expect("a read that has begun");
        f();
        drop(end);
    });
}

#[test]
fn a_log_that_grows() {
    let db = TestDb::sqlite();
    migrate(&db);
    let database = open(&db);
    let world = World::new();
    let mut limits = patient();
    limits.wal_size = Limit::new(1 << 20, 2 << 20);
    let examiner = world.examiner(
        world.target(&db.url()).with_database(database.clone()),
        limits,
    );
    let fill = "INSERT INTO players SELECT value, hex(zeroblob(2000)) FROM generate_series(1, 600)";
    let fill = fill.replace(
        "FROM generate_series(1, 600)",
        "FROM (WITH RECURSIVE s (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 600)
               SELECT value FROM s)",
    );
    let found = flips(
        &examiner,
        ("wal", State::Fail),
        || execute(&database, &fill),
        || db.connect().execute("PRAGMA wal_checkpoint(TRUNCATE)"),
    );
    assert!(found.measured(metrics::WAL_FILE_SIZE).unwrap() > f64::from(2 << 20));
}

#[test]
fn a_read_that_stays_open() {
    let db = TestDb::sqlite();
    migrate(&db);
    let database = open(&db);
    let world = World::new();
    let mut limits = patient();
    limits.oldest_transaction = Limit::new(Duration::from_millis(1), Duration::from_hours(1));
    let examiner = world.examiner(
        world.target(&db.url()).with_database(database.clone()),
        limits,
    );
    assert_healthy(&examiner);
    while_reading(&database, || {
        let report = wait_for("a look that sees the read", || {
            let report = examiner.examine(&Selection::Cheap);
            (find(&report, "transactions").state != State::Ok).then_some(report)
        });
        let found = find(&report, "transactions");
        assert_eq!(found.state, State::Warn);
        assert!(found.names[0].contains("sqlite.rs"), "{found:?}");
        let others = report.results.iter().filter(|r| r.name != "transactions");
        others.for_each(|r| assert!(r.state <= State::Unknown, "{r:?}"));
    });
    assert_healthy(&examiner);
}

#[test]
fn a_pool_that_is_exhausted() {
    let db = TestDb::sqlite();
    migrate(&db);
    let database = open(&db);
    let world = World::new();
    let target = world.target(&db.url()).with_database(database.clone());
    let examiner = world.examiner(target, patient());
    assert_healthy(&examiner);
    while_reading(&database, || {
        let refused = database.read(|_| Ok::<_, Error>(())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Timeout);
        let report = examiner.examine(&Selection::Cheap);
        let found = find(&report, "pool");
        assert_eq!(found.state, State::Warn);
        assert_eq!(found.measured(metrics::POOL_REFUSED), Some(1.0));
        assert!(
            found.hint.as_ref().unwrap().contains("sqlite.rs"),
            "{found:?}"
        );
        // The look has a connection of its own.
        assert_eq!(find(&report, "connectivity").state, State::Ok);
        let others = report.results.iter().filter(|r| r.name != "pool");
        others.for_each(|r| assert!(r.state <= State::Unknown, "{r:?}"));
    });
    assert_healthy(&examiner);
}

#[test]
fn transactions_that_fail() {
    let db = TestDb::sqlite();
    migrate(&db);
    let database = open(&db);
    let world = World::new();
    let target = world.target(&db.url()).with_database(database.clone());
    let examiner = world.examiner(target, patient());
    assert_healthy(&examiner);
    let fail = |sql: &str| {
        let failed = database.write(|conn| Ok::<_, Error>(conn.batch_execute(sql)?));
        failed.unwrap_err()
    };
    for _ in 0..50 {
        // An answer, not a failure of the database.
        fail("INSERT INTO players VALUES (1, NULL)");
    }
    assert_healthy(&examiner);
    for _ in 0..50 {
        fail("INSERT INTO nowhere VALUES (1)");
    }
    let report = examiner.examine(&Selection::Cheap);
    let found = find(&report, "failures");
    assert!(found.state >= State::Warn, "{found:?}");
    assert_healthy(&examiner);
}

#[test]
fn a_disk_that_became_read_only() {
    let db = TestDb::sqlite();
    let (world, examiner) = patient_of(&db);
    let set = |read_only| {
        let mut space = world.space.lock().unwrap();
        *space = Space {
            read_only,
            ..*space
        };
    };
    flips(
        &examiner,
        ("writable", State::Fail),
        || set(true),
        || set(false),
    );
}

#[test]
fn a_page_that_is_damaged() {
    let damaged = Damaged::new();
    let found = flips(
        &damaged.examiner(patient()),
        ("integrity", State::Fail),
        || damaged.damage(),
        || damaged.mend(),
    );
    assert!(!found.names.is_empty() && found.hint.is_some(), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let world = World::new();
    let target = world.target(&format!("sqlite://{}", path.display()));
    let report = world.examiner(target, patient()).examine(&Selection::All);
    assert_eq!(find(&report, "connectivity").state, State::Fail);
    assert_eq!(
        report.refused.as_ref().map(Error::kind),
        Some(ErrorKind::DatabaseMissing)
    );
    let broken = report.results.iter().filter(|r| r.state == State::Fail);
    assert_eq!(broken.count(), 1, "{report:#?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_database_in_memory_is_asked_through_its_owner() {
    let config = DatabaseConfig::new("sqlite::memory:");
    let database = Database::open(&config).unwrap();
    execute(&database, "CREATE TABLE t (id INTEGER)");
    let target = Target::from_config(&config)
        .unwrap()
        .with_database(database);
    let report = db_backup::health::Examiner::new(target).examine(&Selection::All);
    assert!(report.is_healthy(), "{report:#?}");
    assert_eq!(find(&report, "integrity").state, State::Ok);
}

/// Row 7: one `open` and `close` of the file past SQLite would drop every lock of this process.
#[test]
fn no_check_drops_the_lock_of_the_open_database() {
    let db = TestDb::sqlite();
    migrate(&db);
    let database = open(&db);
    execute(&database, "INSERT INTO players VALUES (1, 'a')");
    let read = database.read(|conn| Ok::<_, Error>(conn.batch_execute("SELECT 1 FROM players")?));
    read.unwrap();
    let path = db.path().unwrap();
    assert!(
        holds_shared_lock(path),
        "SQLite does not lock as this test believes"
    );
    let world = World::new();
    let real = Target::new(db_core::DatabaseUrl::parse(&db.url()).unwrap())
        .with_database(database.clone());
    // The disk is the machine's own here, and may be as full as it likes.
    let mut limits = patient();
    limits.disk_free = Limit::new(0.0, 0.0);
    let examiner = world.examiner(real, limits);
    for name in examiner.names() {
        let report = examiner.examine(&Selection::Named(vec![name.to_owned()]));
        assert!(find(&report, name).state != State::Fail, "{report:#?}");
        assert!(holds_shared_lock(path), "the check {name} dropped the lock");
    }
    drop(examiner.examine(&Selection::All));
    assert!(
        holds_shared_lock(path),
        "a look at everything dropped the lock"
    );
    // What it is all about: this is how the lock goes.
    drop(fs::File::open(path).unwrap());
    assert!(!holds_shared_lock(path));
}
