//! Every call of SQLite to the system fails once, and for ever from then on: each is an error with
//! a kind, what was acknowledged is there, and the file is sound.
//!
//! It runs in a process of its own, where the disk of `db_testkit` takes the place of the system's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use db_core::{Conn, Database, DatabaseConfig, Error, ErrorKind};
use db_testkit::disk::{self, Disk, Image};

use crate::support::{alone, durable, execute, integrity, number, open, report, say, size};

/// Writes of the script; a checkpoint after every second one or so.
const WRITES: u64 = 10;

/// How long the script waits for a lock or a turn.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Rows of a database that was left behind.
const BEFORE: [u64; 3] = [1_001, 1_002, 1_003];

/// What no call may exceed: its patience, and what a busy machine takes.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// What an error of the system may become. Others would send a program the wrong way: to believe
/// the file damaged, to correct its SQL, to wait.
const KINDS: [ErrorKind; 4] = [
    ErrorKind::Io,
    ErrorKind::CannotOpen,
    ErrorKind::DiskFull,
    ErrorKind::OutcomeUnknown,
];

/// What the script was told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<u64>,
    /// Nobody knows.
    unknown: Vec<u64>,
    errors: Vec<(&'static str, ErrorKind, String)>,
}

impl Told {
    fn note<T>(
        &mut self,
        what: &'static str,
        since: Instant,
        outcome: Result<T, Error>,
    ) -> Option<T> {
        assert!(
            since.elapsed() < DEADLINE,
            "{what} took {:?}",
            since.elapsed()
        );
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push((what, error.kind(), error.to_string()));
                None
            }
        }
    }
}

fn create(table: &str) -> String {
    format!("CREATE TABLE IF NOT EXISTS {table} (seq INTEGER PRIMARY KEY, filler BLOB) STRICT")
}

fn insert(seq: u64) -> impl Fn(&mut Conn<'_>) -> Result<(), Error> {
    move |conn| {
        for table in ["heads", "tails"] {
            execute(conn, &create(table))?;
            execute(
                conn,
                &format!("INSERT INTO {table} VALUES ({seq}, zeroblob(5000))"),
            )?;
        }
        Ok(())
    }
}

fn config(path: &Path) -> DatabaseConfig {
    durable(path)
        .max_connections(2)
        .checkpoint_pages(8)
        .busy_timeout(PATIENCE)
        .connection_timeout(PATIENCE)
}

/// Opens a database, writes, reads, and closes it. What fails is noted, and the script goes on, as an
/// application would.
fn script(config: &DatabaseConfig) -> Told {
    let mut told = Told::default();
    let mut database = None;
    // A server tries again to open its database.
    for _ in 0..2 {
        let since = Instant::now();
        database = told.note("open", since, Database::open(config));
        if database.is_some() {
            break;
        }
    }
    let Some(database) = database else {
        return told;
    };
    for seq in 1..=WRITES {
        let since = Instant::now();
        let written = database.write(insert(seq));
        match &written {
            Ok(()) => told.acknowledged.push(seq),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => told.unknown.push(seq),
            Err(_) => {}
        }
        told.note("write", since, written);
        let since = Instant::now();
        let read = database.read(|conn| number(conn, "SELECT count(*) AS n FROM sqlite_schema"));
        told.note("read", since, read);
    }
    let since = Instant::now();
    let closed = database.close(PATIENCE);
    told.note("close", since, closed);
    told
}

/// A database as a process leaves it that was killed: 3 rows, of which a part is in the log only.
fn left_behind(root: &Path) -> Image {
    let folder = root.join("before");
    std::fs::create_dir(&folder).unwrap();
    let disk = Disk::over(&folder);
    disk.record();
    let database = Database::open(&config(&folder.join("test.db"))).unwrap();
    for seq in BEFORE {
        database.write(insert(seq)).unwrap();
    }
    let record = disk.recorded();
    record.cut(record.moments().end - 1, || true)
}

/// What must be true of the file when the disk works again. `before` are the rows that it had.
fn check(path: &Path, told: &Told, before: &[u64]) {
    let database = open(path);
    database.read(integrity).unwrap();
    database.write(insert(WRITES + 1)).unwrap();
    let there = |table: &str, seq: u64| {
        let sql = format!("SELECT count(*) AS n FROM {table} WHERE seq = {seq}");
        database.read(|conn| number(conn, &sql)).unwrap() == 1
    };
    for seq in before.iter().copied().chain(1..=WRITES) {
        assert_eq!(
            there("heads", seq),
            there("tails", seq),
            "half of {seq}: {told:?}"
        );
        let acknowledged = before.contains(&seq) || told.acknowledged.contains(&seq);
        if !told.unknown.contains(&seq) {
            assert_eq!(there("heads", seq), acknowledged, "{seq}: {told:?}");
        }
    }
}

/// Where the script begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Without a file, and without memory mapping.
    Nothing,
    /// With a database that has a log to recover.
    LeftBehind,
}

/// Runs in a row without a call of that number, after which there are no more.
const BEYOND: u32 = 10;

fn all_calls(start: Start, duration: disk::Duration) {
    let root = tempfile::tempdir().unwrap();
    let image = left_behind(root.path());
    let before = if start == Start::LeftBehind {
        &BEFORE[..]
    } else {
        &[]
    };
    let mut calls: BTreeMap<disk::Call, u64> = BTreeMap::new();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let (mut points, mut unknown, mut harmless) = (0, 0, 0);
    // The log is copied beside the writes, so the same script makes a few calls more or less.
    let mut beyond = 0;
    let step = size("STRIDE", 1);
    for n in (0..).step_by(usize::try_from(step).unwrap()) {
        let folder = root.path().join(format!("{n}"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("test.db");
        let mut config = config(&path);
        match start {
            Start::Nothing => config = config.mmap_size(0),
            Start::LeftBehind => image.put_into(&folder).unwrap(),
        }
        let disk = Disk::over(&folder);
        disk.fail(n, duration);
        let told = script(&config);
        let failed = disk.failed();
        disk.heal();
        let Some((call, file)) = failed.first() else {
            assert!(told.errors.is_empty(), "nothing has failed: {told:?}");
            assert_eq!(told.acknowledged.len(), usize::try_from(WRITES).unwrap());
            beyond += 1;
            if beyond == BEYOND {
                break;
            }
            continue;
        };
        beyond = 0;
        let context = format!("call {n}, {call:?} of {}", file.display());
        for (what, kind, text) in &told.errors {
            assert!(
                KINDS.contains(kind),
                "{context}: {what} says {kind:?}: {text}"
            );
            *kinds.entry(format!("{kind:?}")).or_default() += 1;
        }
        if duration == disk::Duration::Once {
            assert!(
                told.errors.len() <= 1,
                "{context}: it did not recover: {told:?}"
            );
        }
        points += 1;
        unknown += told.unknown.len();
        harmless += u64::from(told.errors.is_empty());
        *calls.entry(*call).or_default() += 1;
        check(&path, &told, before);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(points > 100 / step, "only {points} calls");
    report(format_args!(
        "{start:?}: {points} calls failed {duration:?} ({calls:?}): {harmless} times nobody noticed, \
         else {kinds:?}; {unknown} writes with an unknown outcome, no other doubt, none lost"
    ));
}

#[test]
fn each_call_fails_once() {
    alone("sqlite::faults::each_call_fails_once", |_| {
        all_calls(Start::LeftBehind, disk::Duration::Once);
        all_calls(Start::Nothing, disk::Duration::Once);
        say("done");
    });
}

#[test]
fn each_call_fails_and_all_after_it() {
    alone("sqlite::faults::each_call_fails_and_all_after_it", |_| {
        all_calls(Start::LeftBehind, disk::Duration::Forever);
        all_calls(Start::Nothing, disk::Duration::Forever);
        say("done");
    });
}
