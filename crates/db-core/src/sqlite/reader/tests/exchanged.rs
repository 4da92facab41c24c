//! Closures that leave another connection in the place of the one that they were lent.

use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, InstrumentationEvent, TransactionManager};
use diesel::prelude::*;

use super::support::{Fixture, classify, count, execute, insert, numbers, open, sqlite, work};
use crate::Conn;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::sqlite::database::SqliteDatabase;

fn lost<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{error}");
    assert!(error.message().contains("another connection"), "{error}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a connection of the closure's own"
)]
fn fresh() -> SqliteConnection {
    SqliteConnection::establish(":memory:").unwrap()
}

/// What was taken out of a slot cannot be closed, since our statements on it are not.
#[expect(clippy::mem_forget, reason = "Diesel panics when it cannot close")]
fn leave(stolen: SqliteConnection) {
    mem::forget(stolen);
}

fn rows(conn: &mut SqliteConnection) -> i64 {
    numbers::table.count().get_result(conn).unwrap()
}

fn whole(it: &Fixture) {
    let sound = it.read(|c| {
        let check =
            diesel::dsl::sql::<diesel::sql_types::Text>("SELECT * FROM pragma_integrity_check");
        classify(check.get_result::<String>(sqlite(c)))
    });
    assert_eq!(sound.unwrap(), "ok");
}

#[test]
fn reads_of_two_threads_that_exchange_their_connections_are_told_and_nobody_else_is_hurt() {
    const ROUNDS: u64 = 20;
    let it = Fixture::new();
    it.insert(1);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert!(it.count() >= 1);
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                it.insert(1);
            }
        });
        for _ in 0..ROUNDS {
            let outer = it.read(|c| {
                let mine = Mutex::new(sqlite(c));
                let (exchanged, is_exchanged) = channel();
                std::thread::scope(|scope| {
                    let inner = scope.spawn(|| {
                        it.read(|c| {
                            mem::swap(&mut **mine.lock().unwrap(), sqlite(c));
                            exchanged.send(()).unwrap();
                            Ok::<_, Error>(())
                        })
                    });
                    is_exchanged.recv().unwrap();
                    // The connection of the other read, which is ending meanwhile.
                    for _ in 0..50 {
                        assert!(rows(&mut mine.lock().unwrap()) >= 1);
                    }
                    lost(inner.join().unwrap());
                });
                work(&mut Conn::Sqlite(mine.into_inner().unwrap()), 10)
            });
            lost(outer);
        }
        over.store(true, Ordering::Relaxed);
    });
    let stats = it.stats();
    assert!(stats.opened >= 2 * ROUNDS, "{stats:?}");
    assert_eq!((stats.in_use, stats.timeouts), (0, 0));
    whole(&it);
}

#[test]
fn a_connection_that_a_read_keeps_is_not_touched_any_more() {
    let it = Fixture::with(|options| options.max_readers = 1);
    it.insert(1);
    let mut stolen = None;
    lost(it.read(|c| {
        count(c)?;
        stolen = Some(mem::replace(sqlite(c), fresh()));
        Ok::<_, Error>(())
    }));
    let mut stolen = stolen.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                // Of its snapshot.
                assert_eq!(rows(&mut stolen), 1);
            }
        });
        for n in 0..20 {
            it.insert(n);
            assert_eq!(it.count(), n + 2);
        }
    });
    assert_eq!(it.stats().opened, 2);
    leave(stolen);
    whole(&it);
}

#[test]
fn what_comes_back_in_time_was_never_away() {
    let it = Fixture::with(|options| options.max_readers = 1);
    it.read(|c| {
        let mut other = fresh();
        mem::swap(sqlite(c), &mut other);
        mem::swap(sqlite(c), &mut other);
        count(c)
    })
    .unwrap();
    assert_eq!(it.count(), 0);
    assert_eq!(it.stats().opened, 1);
}

#[test]
fn an_instrumentation_of_the_closures_ends_with_it() {
    let it = Fixture::with(|options| options.max_readers = 1);
    let heard = std::sync::Arc::new(Mutex::new(0));
    let hears = std::sync::Arc::clone(&heard);
    let listen = move |_: InstrumentationEvent<'_>| *hears.lock().unwrap() += 1;
    it.read(|c| {
        sqlite(c).set_instrumentation(listen.clone());
        count(c)
    })
    .unwrap();
    let before = *heard.lock().unwrap();
    assert!(before > 0);
    // Codes are recorded again.
    let failed = it
        .read(|c| execute(c, "SELECT * FROM nowhere"))
        .unwrap_err();
    assert!(failed.sqlite_code().is_some(), "{failed:?}");
    it.write(|c| {
        sqlite(c).set_instrumentation(listen);
        insert(c, 1)
    })
    .unwrap();
    let written = *heard.lock().unwrap();
    assert!(written > before);
    it.insert(2);
    assert_eq!(it.count(), 2);
    assert_eq!(*heard.lock().unwrap(), written);
    assert_eq!(it.stats().opened, 1);
}

#[test]
fn a_panic_after_an_exchange_goes_on_and_the_slot_is_cleared() {
    let it = Fixture::with(|options| options.max_readers = 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        it.read(|c| -> Result<(), Error> {
            leave(mem::replace(sqlite(c), fresh()));
            resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(it.count(), 0);
    assert_eq!(it.stats().opened, 2);
}

#[test]
fn a_write_that_loses_its_connection_commits_nothing_wherever_that_is() {
    let it = Fixture::with(|options| options.busy_timeout = Duration::from_millis(50));
    it.insert(1);
    let mut stolen = None;
    lost(it.write(|c| {
        insert(c, 2)?;
        stolen = Some(mem::replace(sqlite(c), fresh()));
        Ok::<_, Error>(())
    }));
    let mut stolen = stolen.unwrap();
    assert_eq!(rows(&mut stolen), 2);
    assert!(execute(&mut Conn::Sqlite(&mut stolen), "COMMIT").is_err());
    let committed = AnsiTransactionManager::commit_transaction(&mut stolen);
    assert!(committed.is_err());
    assert_eq!(it.count(), 1);
    // It still has the right to write.
    let error = it.write(|c| insert(c, 3)).unwrap_err();
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::Busy | ErrorKind::Timeout),
        "{error}"
    );
    leave(stolen);
    assert_eq!(it.count(), 1);
    whole(&it);
}

#[test]
fn a_read_and_a_write_that_exchange_their_connections_both_fail() {
    let it = Fixture::with(|options| options.busy_timeout = Duration::from_millis(50));
    it.insert(1);
    lost(it.write(|w| {
        insert(w, 2)?;
        std::thread::scope(|scope| {
            let w = &mut *w;
            let read = scope.spawn(|| {
                it.read(|r| {
                    mem::swap(sqlite(w), sqlite(r));
                    insert(r, 3)
                })
            });
            lost(read.join().unwrap());
        });
        count(w)
    }));
    assert_eq!(it.count(), 1);
    whole(&it);
}

#[test]
fn a_database_in_memory_goes_with_its_connection() {
    let memory = || open(&SqliteOptions::defaults("sqlite::memory:"));
    let (one, two) = (memory(), memory());
    let read = |db: &SqliteDatabase| {
        db.read(None, Location::caller(), |c| {
            classify(c.batch_execute("SELECT 1"))
        })
    };
    read(&one).unwrap();
    lost(one.write(None, Location::caller(), |c| {
        lost(two.read(None, Location::caller(), |d| {
            mem::swap(sqlite(c), sqlite(d));
            Ok::<_, Error>(())
        }));
        Ok::<_, Error>(())
    }));
    for db in [one, two] {
        assert_eq!(read(&db).unwrap_err().kind(), ErrorKind::ConnectionLost);
        db.close(Duration::ZERO).unwrap();
        assert_eq!(read(&db).unwrap_err().kind(), ErrorKind::Closed);
    }
}

/// Where it is not so, everything above holds as well, and reads are slower.
#[test]
fn connections_have_no_lock_of_their_own_here() {
    assert_eq!(crate::sqlite::handle::threading(), 2);
}
