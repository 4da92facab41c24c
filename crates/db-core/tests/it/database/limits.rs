//! Deadlines on waiting, and settings that cannot be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Database, DatabaseConfig, Engine, Error, ErrorKind, TransactionOptions};
use db_testkit::{TestDb, both_engines};

use super::{LONG, config, count, hold, insert, open_with};

const SHORT: Duration = Duration::from_millis(60);

/// For a connection to be made, on a machine that has much else to do.
const ENOUGH: Duration = Duration::from_secs(3);

fn within(limit: Duration) -> TransactionOptions {
    TransactionOptions::new().connection_timeout(limit)
}

/// Who must wait for this call is told after the limit, and has done nothing.
fn is_refused_in_time(ran: &AtomicBool, limit: Duration, call: impl FnOnce() -> Result<(), Error>) {
    let asked = Instant::now();
    let error = call().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(!error.is_retryable());
    assert!(asked.elapsed() >= limit, "after {:?}", asked.elapsed());
    assert!(asked.elapsed() < LONG, "after {:?}", asked.elapsed());
    assert!(!ran.load(Ordering::Relaxed), "it ran all the same");
}

both_engines! {
    fn a_call_waits_no_longer_than_it_was_told(db: TestDb) {
        let database = &open_with(&db, |config| config.max_connections(1).connection_timeout(LONG));
        let ran = &AtomicBool::new(false);
        let run = || ran.store(true, Ordering::Relaxed);
        for holder_writes in [true, false] {
            let (hold, release) = hold();
            thread::scope(|scope| {
                scope.spawn(move || {
                    if holder_writes {
                        return database.write(|_| {
                            hold.wait();
                            Ok::<_, Error>(())
                        });
                    }
                    database.read(|_| {
                        hold.wait();
                        Ok::<_, Error>(())
                    })
                });
                release.await_inside();
                // On SQLite the readers and the writer have connections of their own.
                if holder_writes || db.engine() == Engine::Postgres {
                    is_refused_in_time(ran, SHORT, || database.write_with(&within(SHORT), |_| {
                        run();
                        Ok(())
                    }));
                }
                if !holder_writes || db.engine() == Engine::Postgres {
                    is_refused_in_time(ran, SHORT, || database.read_with(&within(SHORT), |_| {
                        run();
                        Ok(())
                    }));
                }
                drop(release);
            });
        }
        // No time at all is enough where nobody waits, and no time is too long.
        for limit in [Duration::ZERO, Duration::MAX] {
            database.write_with(&within(limit), |conn| super::execute(conn, "DELETE FROM parents")).unwrap();
            assert_eq!(database.read_with(&within(limit), count).unwrap(), 0);
        }
        database.close(Duration::MAX).unwrap();
    }

    fn the_configured_limit_holds_without_an_option(db: TestDb) {
        let database = &open_with(&db, |config| config.max_connections(1).connection_timeout(ENOUGH));
        let ran = AtomicBool::new(false);
        database
            .write(|_| {
                thread::scope(|scope| {
                    let waits = scope.spawn(|| {
                        is_refused_in_time(&ran, ENOUGH, || database.write(|conn| {
                            ran.store(true, Ordering::Relaxed);
                            insert(conn, 1)
                        }));
                    });
                    waits.join().unwrap();
                });
                Ok::<_, Error>(())
            })
            .unwrap();
        assert_eq!(database.read(count).unwrap(), 0);
    }

    fn a_setting_that_cannot_be_is_named(db: TestDb) {
        for (set, field) in [
            (config(&db).max_connections(0), "max_connections = 0"),
            (config(&db).max_waiters(0), "max_waiters = 0"),
            (config(&db).connection_timeout(Duration::ZERO), "connection_timeout = 0ns"),
            (config(&db).idle_timeout(Duration::MAX), "idle_timeout = "),
            (config(&db).group_size(0), "group_size = 0"),
            (config(&db).cache_size(u64::MAX), "cache_size = "),
            (config(&db).url("mysql://h/d".to_owned()), "url = mysql://h/d"),
        ] {
            let error = Database::open(&set).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            assert!(error.message().starts_with(field), "{error}");
        }
    }
}

#[test]
fn standbys_of_a_file_are_no_setting() {
    let url = "postgres://h/d".to_owned();
    let set = DatabaseConfig::new(url).replicas(vec!["standby.db".to_owned()]);
    let error = Database::open(&set).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().starts_with("replicas"), "{error}");
}
