//! Many threads on one database: nobody hears that it is locked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use db_core::{Database, ErrorKind};

use crate::support::{File, execute, integrity, number, open, report, size};

const THREADS: u64 = 64;

/// Of five calls, how many read.
const READS_IN_FIVE: u64 = 4;

/// What a thread has seen.
#[derive(Default)]
struct Seen {
    reads: u64,
    /// Of writes, from the call to the answer.
    waits: Vec<Duration>,
    errors: BTreeMap<String, u64>,
}

fn mixed(database: &Database, lane: u64, end: Instant) -> Seen {
    let mut random = fastrand::Rng::with_seed(lane);
    let mut seen = Seen::default();
    while Instant::now() < end {
        let outcome = if random.u64(0..5) < READS_IN_FIVE {
            seen.reads += 1;
            let id = random.u64(0..THREADS);
            let sql = format!("SELECT n FROM counters WHERE id = {id}");
            database.read(|conn| number(conn, &sql)).map(drop)
        } else {
            let sql = format!("UPDATE counters SET n = n + 1 WHERE id = {lane}");
            let since = Instant::now();
            let outcome = database.write(|conn| execute(conn, &sql));
            if outcome.is_ok() {
                seen.waits.push(since.elapsed());
            }
            outcome
        };
        if let Err(error) = outcome {
            *seen
                .errors
                .entry(format!("{:?}: {error}", error.kind()))
                .or_default() += 1;
        }
    }
    seen
}

#[test]
fn sixty_four_threads_never_hear_that_it_is_locked() {
    let seconds = size("SECONDS", 4);
    let file = File::new();
    let database = open(file.path());
    let counters = (0..THREADS)
        .map(|id| format!("({id}, 0)"))
        .collect::<Vec<_>>()
        .join(", ");
    let create = format!(
        "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
         INSERT INTO counters VALUES {counters};"
    );
    database.write(|conn| execute(conn, &create)).unwrap();
    let all = Mutex::new(Vec::new());
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for lane in 0..THREADS {
            let (database, all) = (&database, &all);
            scope.spawn(move || {
                let seen = mixed(database, lane, end);
                all.lock().unwrap().push((lane, seen));
            });
        }
    });
    let (mut reads, mut waits) = (0, Vec::new());
    for (lane, seen) in all.into_inner().unwrap() {
        // Busy or anything else: no call may fail.
        assert_eq!(seen.errors, BTreeMap::new(), "lane {lane}");
        let sql = format!("SELECT n FROM counters WHERE id = {lane}");
        let n = database.read(|conn| number(conn, &sql)).unwrap();
        assert_eq!(
            usize::try_from(n).unwrap(),
            seen.waits.len(),
            "lane {lane} lost an update"
        );
        reads += seen.reads;
        waits.extend(seen.waits);
    }
    database.read(integrity).unwrap();
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    report(format_args!(
        "{THREADS} threads, {seconds} s: {reads} reads, {} writes, none failed; a write took \
         p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
        waits.len(),
        at(50),
        at(99),
        at(100)
    ));
}

/// A read that goes on to write is refused as such, and not as a lock that it could wait for.
#[test]
fn a_read_cannot_turn_into_a_write_that_finds_it_locked() {
    let file = File::new();
    let (database, other) = (open(file.path()), open(file.path()));
    database
        .write(|conn| execute(conn, "CREATE TABLE t (n INTEGER)"))
        .unwrap();
    let refused = database.read(|conn| {
        number(conn, "SELECT count(*) AS n FROM t")?;
        // Now its snapshot is stale, which a write would find out.
        other.write(|conn| execute(conn, "INSERT INTO t VALUES (1)"))?;
        execute(conn, "INSERT INTO t VALUES (2)")
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
}
