//! What closures may do to a connection, and what the next one finds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::{Connection as _, SimpleConnection as _};

use super::support::{Fixture, classify, count, execute, sqlite};
use crate::error::{Error, ErrorKind};

fn other() -> Error {
    Error::new(ErrorKind::Other, "on purpose")
}

#[test]
fn panics_and_errors_leave_the_pool_whole() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 12_500;
    let it = Fixture::with(|options| options.max_readers = 3);
    it.insert(1);
    let panics = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (it, panics) = (&it, &panics);
            scope.spawn(move || {
                // A multiplicative generator: the same in each run.
                let mut random = thread * 2 + 1;
                for _ in 0..CALLS {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        it.read(|c| match random >> 60 {
                            // Not `panic!`, which would print 10,000 lines.
                            0 => resume_unwind(Box::new("before")),
                            1 => {
                                count(c)?;
                                resume_unwind(Box::new("after"))
                            }
                            2 => sqlite(c)
                                .transaction(|_| -> Result<i64, diesel::result::Error> {
                                    resume_unwind(Box::new("in a savepoint"))
                                })
                                .map_err(|_| other()),
                            3 => execute(c, "SELECT nonsense").map(|()| 1),
                            4 => Err(other()),
                            _ => count(c),
                        })
                    }));
                    match (random >> 60, outcome) {
                        (0..=2, Err(_)) => drop(panics.fetch_add(1, Ordering::Relaxed)),
                        (3 | 4, Ok(Err(_))) | (5.., Ok(Ok(1))) => {}
                        (case, outcome) => panic!("case {case}: {outcome:?}"),
                    }
                }
            });
        }
    });
    assert!(panics.into_inner() > 10_000);
    let stats = it.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.timeouts), (0, 0, 0));
    assert!(stats.open <= 3, "{stats:?}");
    assert!(stats.oldest.is_none());
    assert_eq!(it.count(), 1);
}

#[test]
fn a_panic_outside_of_savepoints_keeps_the_connection() {
    let it = Fixture::with(|options| options.max_readers = 1);
    for _ in 0..100 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            it.read(|c| -> Result<(), Error> {
                count(c)?;
                resume_unwind(Box::new("on purpose"))
            })
        }));
        assert!(outcome.is_err());
    }
    assert_eq!(it.count(), 0);
    assert_eq!(it.stats().opened, 1);
}

#[test]
fn a_closure_cannot_end_its_transaction() {
    let it = Fixture::with(|options| options.max_readers = 1);
    for sql in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"] {
        let error = it
            .read(|c| {
                count(c)?;
                execute(c, sql)?;
                count(c)
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}");
        // The next read is a transaction again.
        it.read(|c| execute(c, "SAVEPOINT s; RELEASE s")).unwrap();
        assert_eq!(it.count(), 0);
    }
}

#[test]
fn a_closure_that_leaves_a_transaction_open_is_told() {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};
    let it = Fixture::with(|options| options.max_readers = 1);
    let error = it
        .read(|c| classify(AnsiTransactionManager::begin_transaction(sqlite(c))))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded);
    assert_eq!(it.count(), 0);
    assert_eq!(it.stats().opened, 2);
}

#[test]
fn transactions_inside_a_read_are_savepoints() {
    let it = Fixture::new();
    it.insert(1);
    let rows = it
        .read(|c| {
            let undone = sqlite(c).transaction(|c| {
                c.batch_execute("SELECT 1")?;
                Err::<(), _>(diesel::result::Error::RollbackTransaction)
            });
            assert!(undone.is_err());
            let done = sqlite(c).transaction(|c| c.batch_execute("SELECT 1"));
            classify(done)?;
            count(c)
        })
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(it.stats().opened, 1);
}

#[test]
fn a_statement_left_running_does_not_keep_its_snapshot() {
    use diesel::RunQueryDsl;
    let it = Fixture::with(|options| options.max_readers = 1);
    it.insert(1);
    it.insert(2);
    it.read(|c| {
        let mut rows = classify(
            super::support::numbers::table
                .load_iter::<(i64, i64), diesel::connection::DefaultLoadingMode>(sqlite(c)),
        )?;
        assert!(rows.next().is_some());
        #[expect(clippy::mem_forget, reason = "the statement is to stay open")]
        std::mem::forget(rows);
        Ok::<_, Error>(())
    })
    .unwrap();
    it.insert(3);
    assert_eq!(it.count(), 3);
}

#[test]
fn a_call_that_could_wait_for_itself_is_refused() {
    let it = Fixture::with(|options| options.max_readers = 1);
    let nested = |error: Error| assert_eq!(error.kind(), ErrorKind::Nested, "{error}");
    it.read(|_| {
        nested(it.read(count).unwrap_err());
        nested(it.write(count).unwrap_err());
        Ok::<_, Error>(())
    })
    .unwrap();
    // What was committed before is there to read; what the write has done is not.
    let rows = it
        .write(|c| {
            super::support::insert(c, 1)?;
            it.read(count)
        })
        .unwrap();
    assert_eq!(rows, 0);
    // Another database is another matter.
    let second = Fixture::new();
    assert_eq!(it.read(|_| second.read(count)).unwrap(), 0);
    assert_eq!(it.count(), 1);
}
