//! Many callers and few connections: fair, and quick to say no.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Database, Error, ErrorKind, TransactionOptions};

use super::{execute, number, open_with, stats};

const CONNECTIONS: u32 = 4;

/// Reliability, row 11.
#[test]
fn checkouts_are_fair() {
    const THREADS: usize = 256;
    const ROUNDS: u32 = 5;
    let (_db, database) = open_with(|o| o.max_connections(CONNECTIONS));
    let barrier = Barrier::new(THREADS);
    let done = AtomicBool::new(false);
    // All begin together; the first to finish its rounds ends the test for all.
    let results: Vec<(u32, Vec<Duration>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let mut waits = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        database
                            .read(|conn| {
                                waits.push(asked.elapsed());
                                execute(conn, "SELECT pg_sleep(0.02)")
                            })
                            .unwrap();
                        if waits.len() >= ROUNDS as usize {
                            done.store(true, Ordering::Relaxed);
                        }
                    }
                    (u32::try_from(waits.len()).unwrap(), waits)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let stats = stats(&database);
    assert_eq!((stats.gate.timeouts, stats.gate.shed), (0, 0));
    let most = results.iter().map(|(count, _)| *count).max().unwrap();
    let least = results.iter().map(|(count, _)| *count).min().unwrap();
    // A queue serves all others in between; a stack leaves most with their first turn. A slow
    // machine lets single threads come late for one.
    assert!(2 * least >= most, "{least} to {most} checkouts");
    // In a queue, everybody waits for all the others: the mean is the ideal, whatever the
    // machine's speed. The first round is short for those at the head of the queue.
    let mut waits: Vec<Duration> = results.into_iter().flat_map(|(_, w)| w).skip(1).collect();
    waits.sort();
    let mean = waits.iter().sum::<Duration>() / u32::try_from(waits.len()).unwrap();
    let p99 = waits[waits.len() * 99 / 100];
    crate::support::report(format_args!(
        "{least} to {most} checkouts; wait: p99 {p99:?}, mean {mean:?}"
    ));
}

/// Reliability, row 13: four times as many requests as the connections can answer.
#[test]
fn overload_is_refused_at_once() {
    const HOLD: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_millis(400);
    let (_db, database) =
        open_with(|o| o.max_connections(CONNECTIONS).connection_timeout(PATIENCE));
    let peak = offer(&database, CONNECTIONS, None);
    // 4 connections answer 200 a second; 160 clients that ask every 100 ms want 1,600. If all of them
    // waited, it would be for 800 ms, twice their patience.
    let overload = offer(&database, 160, Some(5 * HOLD));
    // How many depends on the machine, which has so many clients more to run.
    assert!(overload.served > 0, "nobody was served");
    let mut shed = overload.refusals;
    shed.sort();
    assert!(!shed.is_empty(), "nothing was refused");
    let p95 = shed[shed.len() * 95 / 100];
    crate::support::report(format_args!(
        "{} served, {} at the peak; {} refused, p95 after {p95:?}",
        overload.served,
        peak.served,
        shed.len()
    ));
    // At once, and not when the patience of the caller ends.
    let median = shed[shed.len() / 2];
    assert!(median < PATIENCE, "refused after {median:?}");
}

struct Offered {
    served: u64,
    refusals: Vec<Duration>,
}

/// Clients that ask for two seconds: each at its own pace, or again as soon as it is answered.
fn offer(database: &Database, clients: u32, every: Option<Duration>) -> Offered {
    let served = AtomicU64::new(0);
    let refusals = Mutex::new(Vec::new());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while began.elapsed() < Duration::from_secs(2) {
                    let asked = Instant::now();
                    let result = database.read(|conn| execute(conn, "SELECT pg_sleep(0.02)"));
                    match result.map_err(|e| e.kind()) {
                        Ok(()) => drop(served.fetch_add(1, Ordering::Relaxed)),
                        Err(ErrorKind::Overloaded) => {
                            refusals.lock().unwrap().push(asked.elapsed());
                        }
                        // Let in by a queue that was slower than it had been.
                        Err(ErrorKind::Timeout) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                    if let Some(every) = every {
                        // The pace of a client.
                        thread::park_timeout(every.saturating_sub(asked.elapsed()));
                    }
                }
            });
        }
    });
    Offered {
        served: served.into_inner(),
        refusals: refusals.into_inner().unwrap(),
    }
}

#[test]
fn a_full_queue_refuses() {
    let (_db, database) = open_with(|o| o.max_connections(1).max_waiters(1));
    let look = || database.read(|conn| number(conn, "SELECT 1::bigint AS value"));
    thread::scope(|scope| {
        let (first, second) = database
            .read(|_| {
                let first = scope.spawn(look);
                while stats(&database).gate.waiting == 0 {
                    thread::yield_now();
                }
                Ok::<_, Error>((first, scope.spawn(look).join().unwrap()))
            })
            .unwrap();
        let second = second.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Overloaded);
        assert!(second.message().contains("1 others wait"), "{second}");
        assert!(!second.message().contains("deadline"), "{second}");
        assert!(second.hint().unwrap().contains("`max_waiters`"), "{second}");
        assert_eq!(first.join().unwrap().unwrap(), 1);
    });
    let gate = stats(&database).gate;
    assert_eq!((gate.in_use, gate.shed), (0, 1));
}

#[test]
fn who_waits_too_long_is_told_so() {
    let (_db, database) = open_with(|o| o.max_connections(1));
    let options = TransactionOptions::default().connection_timeout(Duration::from_millis(100));
    let second = || {
        let asked = Instant::now();
        let second = database.read_with(&options, |conn| execute(conn, "SELECT 1"));
        let second = second.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Timeout);
        for setting in ["`max_connections`", "`connection_timeout`"] {
            assert!(second.hint().unwrap().contains(setting), "{second}");
        }
        assert!(second.message().contains("load.rs:"), "{second}");
        assert!(asked.elapsed() >= Duration::from_millis(100));
    };
    let answer: Result<(), Error> = database.read(|_| {
        thread::scope(|scope| scope.spawn(second).join().unwrap());
        Ok(())
    });
    answer.unwrap();
    assert_eq!(stats(&database).gate.timeouts, 1);
}

#[test]
fn panics_lose_no_connection() {
    let (_db, database) = open_with(|o| o.max_connections(2));
    for _ in 0..200 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            database.write(|conn| -> Result<(), Error> {
                execute(conn, "CREATE TABLE t (a int)")?;
                std::panic::resume_unwind(Box::new("on purpose"))
            })
        }));
        assert!(panicked.is_err());
    }
    let tables = database
        .read(|conn| {
            number(
                conn,
                "SELECT count(*) AS value FROM pg_tables WHERE tablename = 't'",
            )
        })
        .unwrap();
    assert_eq!(tables, 0);
    let stats = stats(&database);
    assert_eq!((stats.gate.in_use, stats.connections), (0, 1));
}

#[test]
fn a_closed_database_says_so() {
    let (_db, database) = open_with(|o| o.max_connections(1));
    let inside = Barrier::new(2);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            database.write(|conn| {
                inside.wait();
                execute(conn, "SELECT pg_sleep(0.2)")
            })
        });
        inside.wait();
        database.close(Duration::from_secs(30)).unwrap();
        running.join().unwrap().unwrap();
    });
    let after = database.read(|conn| execute(conn, "SELECT 1"));
    assert_eq!(after.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(stats(&database).connections, 0);
}

#[test]
fn closing_cancels_what_does_not_end() {
    let (db, database) = open_with(|o| o.max_connections(1));
    let mut observer = db.connect();
    thread::scope(|scope| {
        let running = scope.spawn(|| database.write(|conn| execute(conn, "SELECT pg_sleep(600)")));
        // The statement must have reached the server, or there is nothing to cancel.
        let sleeping = "SELECT count(*) AS value FROM pg_stat_activity
             WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'
               AND datname = current_database()";
        while number(&mut observer.conn(), sleeping).unwrap() == 0 {
            thread::yield_now();
        }
        let closed = database.close(Duration::from_millis(100));
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::Timeout);
        let ended = running.join().unwrap();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    });
}
