//! The file and its locks, beside other processes and other connections of this one.

use std::os::unix::fs::MetadataExt as _;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::connection::InstrumentationEvent;
use diesel::{Connection as _, RunQueryDsl};

use super::support::{Fixture, PATIENCE, classify, count, execute, open, options, sqlite, until};
use crate::error::{Error, ErrorKind};
use crate::sqlite::database::SqliteDatabase;
use crate::{Access, Conn, Connection};

fn holds_a_lock(it: &Fixture) -> bool {
    db_testkit::holds_shared_lock(&it.path())
}

#[test]
fn the_locks_of_the_process_survive_whatever_it_does() {
    let it = Fixture::with(|options| {
        options.idle_timeout = Some(std::time::Duration::from_millis(20));
    });
    it.insert(1);
    it.count();
    assert!(holds_a_lock(&it));
    // Connections beside the pool, as migrations and `status` open them.
    for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
        let mut connection = Connection::open_beside(&it.url(), access);
        count(&mut connection.conn()).unwrap();
        drop(connection);
        assert!(holds_a_lock(&it), "{access:?}");
    }
    // A second pool on the same file, opened and closed.
    let second = open(&options(&it.path()));
    assert_eq!(second.read(None, Location::caller(), count).unwrap(), 1);
    second.close(PATIENCE).unwrap();
    drop(second);
    assert!(holds_a_lock(&it));
    // The pool's own connections, closed when idle.
    until("all readers are closed", || it.stats().open == 0);
    assert!(holds_a_lock(&it));
    assert!(it.process("open and close 1000 times").finish().success());
    assert!(holds_a_lock(&it));
    assert_eq!(it.count(), 1);
}

#[test]
fn another_process_may_open_and_close_the_database_at_any_time() {
    let it = Fixture::new();
    it.insert(0);
    let log = format!("{}-wal", it.path().display());
    let inode = || std::fs::metadata(&log).unwrap().ino();
    let before = inode();
    let stop = AtomicBool::new(false);
    let mut rows = 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                it.count();
            }
        });
        let mut other = it.process("open and close 1000 times");
        while other.is_running() {
            it.insert(rows);
            rows += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(other.finish().success());
    });
    assert_eq!(inode(), before, "the log was taken away");
    assert_eq!(it.count(), rows);
    it.db.close(PATIENCE).unwrap();
    let mut fresh = Connection::open_beside(&it.url(), Access::ReadOnly);
    assert_eq!(count(&mut fresh.conn()).unwrap(), rows);
}

#[test]
fn a_damaged_page_stops_writes_and_not_reads() {
    /// A listener of the closure's own hears of failures in the place of the database's.
    fn count_heard_by_another(c: &mut Conn<'_>) -> Result<i64, Error> {
        sqlite(c).set_instrumentation(|_: InstrumentationEvent<'_>| {});
        count(c)
    }
    let here = Location::caller();
    let (_folder, db) = damaged();
    let error = db.read(None, here, count).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    is_refused_writes(&db);
    let (_folder, db) = damaged();
    db.read(None, here, count_heard_by_another).unwrap_err();
    is_refused_writes(&db);
    // The same where it is a write that reads.
    let (_folder, db) = damaged();
    db.write(None, here, count).unwrap_err();
    is_refused_writes(&db);
    let (_folder, db) = damaged();
    db.write(None, here, count_heard_by_another).unwrap_err();
    is_refused_writes(&db);
}

#[track_caller]
fn is_refused_writes(db: &SqliteDatabase) {
    let here = Location::caller();
    let error = db.write(None, here, add).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(db.stats().damage.is_some());
    db.read(None, here, |c| {
        execute(c, "SELECT y FROM other WHERE x = 1")
    })
    .unwrap();
}

fn add(c: &mut Conn<'_>) -> Result<(), Error> {
    execute(c, "INSERT INTO other (y) VALUES ('more')")
}

/// A folder with a database whose table of numbers cannot be read any more.
fn damaged() -> (tempfile::TempDir, SqliteDatabase) {
    let it = Fixture::new();
    it.write(|c| {
        execute(
            c,
            "CREATE TABLE other (x INTEGER PRIMARY KEY, y TEXT);
                 INSERT INTO other VALUES (1, 'whole');
                 INSERT INTO numbers VALUES (1, 1)",
        )
    })
    .unwrap();
    let page = it
        .read(|c| {
            let root = "(SELECT rootpage FROM sqlite_schema WHERE name = 'numbers')";
            let root = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(root));
            classify(root.get_result::<i64>(sqlite(c)))
        })
        .unwrap();
    let Fixture { db, folder } = it;
    db.close(PATIENCE).unwrap();
    drop(db);
    // Nobody has the file open now.
    let path = folder.path().join("test.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (usize::try_from(page).unwrap() - 1) * 4_096;
    bytes[at..at + 100].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();

    let db = open(&options(&path));
    db.write(None, Location::caller(), add).unwrap();
    (folder, db)
}
