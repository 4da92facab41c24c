//! The server is gone, or does not answer: callers are told within their deadline, and served soon
//! after it is back (reliability, row 12).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Database, ErrorKind, TransactionOptions};
use db_testkit::{Proxy, cluster};

use super::{execute, options, stats};

const DEADLINE: Duration = Duration::from_millis(500);

/// What a loaded machine may take on top of the deadline. A call without one waits for TCP, 15 s
/// and more; how long the slowest took is printed.
const SLACK: Duration = Duration::from_secs(10);

fn open(url: &str) -> Database {
    let set = options(url).max_connections(4).connection_timeout(DEADLINE);
    Database::open(&set).unwrap()
}

fn works(database: &Database) -> bool {
    database.read(|conn| execute(conn, "SELECT 1")).is_ok()
}

/// Sixteen clients during a fault: each of their calls returns in time.
fn suffers(database: &Database, fault: impl FnOnce(), end: impl FnOnce()) {
    let options = TransactionOptions::default().connection_timeout(DEADLINE);
    let (done, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    let slowest = AtomicU64::new(0);
    assert!(works(database));
    fault();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let result = database.read_with(&options, |conn| execute(conn, "SELECT 1"));
                    let took = asked.elapsed();
                    assert!(took <= DEADLINE + SLACK, "{took:?}: {result:?}");
                    let millis = u64::try_from(took.as_millis()).unwrap();
                    slowest.fetch_max(millis, Ordering::Relaxed);
                    if result.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let enough = Instant::now() + 3 * DEADLINE;
        while Instant::now() < enough || failed.load(Ordering::Relaxed) < 16 {
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    crate::support::report(format_args!(
        "the slowest call took {} ms of {DEADLINE:?}",
        slowest.into_inner()
    ));
    end();
    recovers(database);
}

/// Nineteen of twenty calls in a row succeed soon after the server is back: within five seconds on
/// a machine with nothing else to do.
fn recovers(database: &Database) {
    let back = Instant::now();
    let mut latest = Vec::new();
    loop {
        latest.push(works(database));
        let tail = latest.iter().rev().take(20);
        if latest.len() >= 20 && tail.filter(|ok| **ok).count() >= 19 {
            crate::support::report(format_args!("served again after {:?}", back.elapsed()));
            return;
        }
        assert!(
            back.elapsed() < Duration::from_secs(30),
            "not back after {:?}: {:?}",
            back.elapsed(),
            database.read(|conn| execute(conn, "SELECT 1"))
        );
    }
}

#[test]
fn refused() {
    let server = cluster(&[]);
    let mut proxy = Proxy::to(server.port());
    let database = open(&server.url_on(proxy.port()));
    let cell = std::cell::RefCell::new(&mut proxy);
    suffers(
        &database,
        || cell.borrow_mut().refuse(),
        || cell.borrow_mut().pass(),
    );
}

#[test]
fn who_needs_a_server_that_is_gone_is_told_at_once() {
    let server = cluster(&[]);
    let mut proxy = Proxy::to(server.port());
    let set = options(&server.url_on(proxy.port())).connection_timeout(Duration::from_mins(1));
    let database = Database::open(&set).unwrap();
    proxy.refuse();
    let asked = Instant::now();
    for _ in 0..100 {
        let error = database.read(|conn| execute(conn, "SELECT 1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(30), "nobody waited");
    proxy.pass();
    recovers(&database);
}

#[test]
fn reset_connections_are_replaced() {
    let server = cluster(&[]);
    let proxy = Proxy::to(server.port());
    let database = open(&server.url_on(proxy.port()));
    let mut cut_off = 0;
    for _ in 0..20 {
        proxy.reset();
        // BEGIN meets a dead connection, and nobody is told.
        match database.read(|conn| execute(conn, "SELECT 1")) {
            Ok(()) => {}
            // The reset has met the making of a new connection, twice in a row.
            Err(error) if error.kind() == ErrorKind::Unavailable => cut_off += 1,
            Err(error) => panic!("{error}"),
        }
        recovers(&database);
    }
    assert!(cut_off <= 5, "{cut_off} of 20 were not replaced");
}

#[test]
fn a_read_that_meets_a_dead_connection_makes_the_others_suspect() {
    let server = cluster(&[]);
    let proxy = Proxy::to(server.port());
    for single in [true, false] {
        let database = open(&server.url_on(proxy.port()));
        let read = || {
            if single {
                database.read_one(|conn| execute(conn, "SELECT 1"))
            } else {
                database.read(|conn| execute(conn, "SELECT 1"))
            }
        };
        // Four connections at once.
        let barrier = std::sync::Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    database.read(|conn| {
                        barrier.wait();
                        execute(conn, "SELECT 1")
                    })
                });
            }
        });
        assert_eq!(stats(&database).connections, 4);
        proxy.reset();
        let failed = (0..8).filter(|_| read().is_err()).count();
        assert!(failed <= 1, "{failed} calls met a dead connection");
    }
}

#[test]
fn a_black_hole_is_left_in_time() {
    let server = cluster(&[]);
    let mut proxy = Proxy::to(server.port());
    let set = options(&server.url_on(proxy.port()))
        .max_connections(4)
        .connection_timeout(DEADLINE)
        .health_check_after(Duration::ZERO);
    let database = Database::open(&set).unwrap();
    let cell = std::cell::RefCell::new(&mut proxy);
    suffers(
        &database,
        || cell.borrow_mut().hold(),
        || cell.borrow_mut().pass(),
    );
}

#[test]
fn a_frozen_server_is_left_in_time() {
    let server = cluster(&[]);
    let set = options(&server.url())
        .max_connections(4)
        .connection_timeout(DEADLINE)
        .health_check_after(Duration::ZERO);
    let database = Database::open(&set).unwrap();
    let frozen = std::cell::RefCell::new(None);
    suffers(
        &database,
        || *frozen.borrow_mut() = Some(server.freeze().unwrap()),
        || drop(frozen.borrow_mut().take()),
    );
}

/// Without looking first, a call that is in flight hangs with the server; all others keep to their
/// deadline.
#[test]
fn who_waits_behind_a_hanging_call_is_told_in_time() {
    let server = cluster(&[]);
    let set = options(&server.url())
        .max_connections(1)
        .health_check_after(Duration::from_hours(1));
    let database = Database::open(&set).unwrap();
    assert!(works(&database));
    let frozen = server.freeze().unwrap();
    let options = TransactionOptions::default().connection_timeout(DEADLINE);
    thread::scope(|scope| {
        let hanging = scope.spawn(|| works(&database));
        while stats(&database).gate.in_use == 0 {
            thread::yield_now();
        }
        for _ in 0..3 {
            let asked = Instant::now();
            let error = database
                .read_with(&options, |conn| execute(conn, "SELECT 1"))
                .unwrap_err();
            assert!(asked.elapsed() <= DEADLINE + SLACK, "{:?}", asked.elapsed());
            assert!(
                matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Overloaded),
                "{error}"
            );
        }
        drop(frozen);
        assert!(hanging.join().unwrap());
    });
    recovers(&database);
}

#[test]
fn a_restarted_server_is_met_again() {
    let server = cluster(&[]);
    let database = open(&server.url());
    assert!(works(&database));
    server.stop(db_testkit::Stop::Immediate).unwrap();
    let error = database.read(|conn| execute(conn, "SELECT 1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.start_again().unwrap();
    recovers(&database);
}

#[test]
fn a_wrong_password_is_said_when_opening() {
    let server = cluster(&[]);
    let url = server.url().replace('@', "x@");
    let error = Database::open(&options(&url)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
}
