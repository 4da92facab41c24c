//! Several processes that work on one file through `Database`.
//!
//! The writer's own tests kill some of such processes and prove that none is passed in the queue;
//! here they read as well, for as long as one likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use db_core::Database;

use crate::support::{
    File, Role, Worker, await_line, execute, integrity, number, open, report, role, say, size,
};

const PROCESSES: u64 = 4;
const THREADS: u64 = 4;
const COUNTERS: u64 = 8;

/// Counts, and reads what was counted, for some seconds. No error is expected, so each is a panic.
fn count(role: &Role) {
    let (me, seconds) = (role.number(0), role.number(1));
    let database = open(&role.path);
    say("ready");
    await_line("go");
    let end = Instant::now() + Duration::from_secs(seconds);
    let (done, worst) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (database, done, worst) = (&database, &done, &worst);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(me * THREADS + thread);
                while Instant::now() < end {
                    let since = Instant::now();
                    increment(database, random.u64(0..COUNTERS), me);
                    let took = u64::try_from(since.elapsed().as_micros()).unwrap();
                    worst.fetch_max(took, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    database.close(Duration::from_secs(10)).unwrap();
    say(format_args!("{} {}", done.into_inner(), worst.into_inner()));
}

/// Reads a counter and writes it back, one larger, and a receipt: an update that another process
/// made in between would be lost.
fn increment(database: &Database, id: u64, me: u64) {
    let before = database
        .write(|conn| {
            let n = number(conn, &format!("SELECT n FROM counters WHERE id = {id}"))?;
            execute(
                conn,
                &format!("UPDATE counters SET n = {} WHERE id = {id}", n + 1),
            )?;
            execute(
                conn,
                &format!("UPDATE receipts SET n = n + 1 WHERE process = {me}"),
            )?;
            Ok::<_, db_core::Error>(n)
        })
        .unwrap();
    let after = database
        .read(|conn| number(conn, &format!("SELECT n FROM counters WHERE id = {id}")))
        .unwrap();
    assert!(
        after > before,
        "a read did not see what was acknowledged before it"
    );
}

#[test]
fn four_processes_lose_no_update_and_meet_no_lock() {
    const TEST: &str = "sqlite::neighbours::four_processes_lose_no_update_and_meet_no_lock";
    if let Some(role) = role() {
        return count(&role);
    }
    let seconds = size("SECONDS", 4);
    let file = File::new();
    let database = open(file.path());
    let zeros = |count| {
        (0..count)
            .map(|id| format!("({id}, 0)"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let create = format!(
        "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
         INSERT INTO counters VALUES {};
         CREATE TABLE receipts (process INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
         INSERT INTO receipts VALUES {};",
        zeros(COUNTERS),
        zeros(PROCESSES)
    );
    database.write(|conn| execute(conn, &create)).unwrap();
    let mut workers: Vec<_> = (0..PROCESSES)
        .map(|process| Worker::start(TEST, file.path(), &[&process, &seconds]))
        .collect();
    for worker in &mut workers {
        worker.await_said("ready");
    }
    for worker in &mut workers {
        worker.tell("go");
    }
    let (mut shares, mut worst) = (Vec::new(), 0);
    for (process, worker) in workers.into_iter().enumerate() {
        let said = worker.finish().pop().unwrap();
        let (done, slowest) = said.split_once(' ').unwrap();
        let done: i64 = done.parse().unwrap();
        let receipts = format!("SELECT n FROM receipts WHERE process = {process}");
        let receipts = database.read(|conn| number(conn, &receipts)).unwrap();
        assert_eq!(receipts, done, "process {process}");
        shares.push(done);
        worst = worst.max(slowest.parse::<u64>().unwrap());
    }
    let total = database
        .read(|conn| number(conn, "SELECT sum(n) AS n FROM counters"))
        .unwrap();
    let done: i64 = shares.iter().sum();
    assert_eq!(total, done, "a lost update");
    database.read(integrity).unwrap();
    report(format_args!(
        "{PROCESSES} processes with {THREADS} threads, {seconds} s: {done} increments, \
         by process {shares:?}, the slowest {worst} us"
    ));
}
