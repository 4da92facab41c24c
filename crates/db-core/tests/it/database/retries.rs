//! What is run again: the whole closure, when it may help, and within a budget (reliability,
//! row 39).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Engine, Error, ErrorKind, IsolationLevel, Pacer, RetryPolicy};
use db_testkit::{Proxy, TestDb, both_engines, cluster};

use super::{count, execute, insert, number, open, open_with, statement};

/// Pauses that take no time, and are counted.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU32>);

impl Pacer for Counting {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn up_to(&self, _bound: Duration) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, _length: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn quick(attempts: u32) -> RetryPolicy {
    RetryPolicy::new()
        .with_attempts(attempts)
        .with_pacer(Counting::default())
}

const AGAIN: [ErrorKind; 7] = [
    ErrorKind::Busy,
    ErrorKind::BusySnapshot,
    ErrorKind::Serialization,
    ErrorKind::Deadlock,
    ErrorKind::LockTimeout,
    ErrorKind::TransactionEnded,
    ErrorKind::ConnectionLost,
];

const NEVER: [ErrorKind; 14] = [
    ErrorKind::OutcomeUnknown,
    ErrorKind::Constraint,
    ErrorKind::NotFound,
    ErrorKind::Statement,
    ErrorKind::StatementTimeout,
    ErrorKind::Cancelled,
    ErrorKind::DiskFull,
    ErrorKind::Corrupt,
    ErrorKind::ReadOnly,
    ErrorKind::Timeout,
    ErrorKind::Overloaded,
    ErrorKind::Closed,
    ErrorKind::Nested,
    ErrorKind::Other,
];

both_engines! {
    fn what_may_help_is_run_again_as_a_whole(db: TestDb) {
        let database = open(&db);
        for (id, kind) in (0..).zip(AGAIN) {
            let pacer = Counting::default();
            let policy = RetryPolicy::new().with_pacer(pacer.clone());
            let mut runs = 0;
            let result = database.write_with_retry(&policy, |conn| {
                runs += 1;
                // A part of the attempt before would be in the way.
                insert(conn, id)?;
                if runs < 3 {
                    return Err(Error::new(kind, "once more"));
                }
                Ok(runs)
            });
            assert_eq!(result.unwrap(), 3, "{kind:?}");
            assert_eq!(pacer.0.load(Ordering::Relaxed), 2, "{kind:?}");
            // The budget holds ten at first, and a tenth comes with each call.
            for _ in 0..20 {
                database.write_with_retry(&policy, |_| Ok::<_, Error>(())).unwrap();
            }
        }
        assert_eq!(database.read(count).unwrap(), 7);
    }

    /// Row 39: an error before any statement of a script leaves what the script alone would.
    fn wherever_it_fails_the_end_is_the_same(db: TestDb) {
        const SCRIPT: [&str; 5] = [
            "INSERT INTO parents (id, n) VALUES (1, 10)",
            "UPDATE parents SET n = 2 * n + 1 WHERE id = 1",
            "INSERT INTO children (id, parent_id) VALUES (1, 1)",
            "DELETE FROM parents WHERE id = 1",
            "INSERT INTO parents (id, n) SELECT 2, 5 + count(*) FROM children",
        ];
        let database = open(&db);
        let run = |fail: Option<(usize, ErrorKind)>| {
            let mut first = true;
            let result = database.write_with_retry(&quick(5), |conn| {
                execute(conn, "DELETE FROM parents")?;
                let fail = fail.filter(|_| std::mem::take(&mut first));
                for (at, sql) in SCRIPT.iter().enumerate() {
                    if let Some((_, kind)) = fail.filter(|(place, _)| *place == at) {
                        return Err(Error::new(kind, "here"));
                    }
                    statement(conn, sql)?;
                }
                number(conn, "SELECT n AS value FROM parents WHERE id = 2")
            });
            // So that the budget holds.
            for _ in 0..10 {
                database.write_with_retry(&quick(1), |_| Ok::<_, Error>(())).unwrap();
            }
            (result.unwrap(), database.read(count).unwrap())
        };
        let alone = run(None);
        assert_eq!(alone, (5, 1));
        for (at, sql) in SCRIPT.iter().enumerate() {
            for kind in [ErrorKind::Serialization, ErrorKind::Deadlock, ErrorKind::Busy] {
                assert_eq!(run(Some((at, kind))), alone, "{kind:?} before {sql}");
            }
        }
    }

    fn what_cannot_help_is_run_once(db: TestDb) {
        let database = open(&db);
        for kind in NEVER {
            let mut runs = 0;
            let result = database.write_with_retry(&quick(9), |conn| {
                runs += 1;
                insert(conn, 1)?;
                Err::<(), _>(Error::new(kind, "no"))
            });
            assert_eq!(result.unwrap_err().kind(), kind);
            assert_eq!(runs, 1, "{kind:?}");
        }
        assert_eq!(database.read(count).unwrap(), 0);
    }

    fn attempts_and_the_budget_are_bounds(db: TestDb) {
        const CALLS: u32 = 100;
        let database = open(&db);
        let fail = |attempts| {
            let mut runs = 0;
            let result = database.write_with_retry(&quick(attempts), |_| {
                runs += 1;
                Err::<(), _>(Error::new(ErrorKind::Serialization, "always"))
            });
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Serialization);
            runs
        };
        assert_eq!(fail(1), 1);
        assert_eq!(fail(4), 4);
        let runs: u32 = (0..CALLS).map(|_| fail(5)).sum();
        // A reserve of ten, of which three are gone, and one for ten calls.
        assert!((CALLS..=CALLS + 10 + CALLS / 10).contains(&runs), "{runs} runs");
    }

    /// Read, think, write: what one thread read, another may have changed. Under SERIALIZABLE the
    /// sum is right, whatever fails on the way.
    fn conflicts_end_as_one_after_the_other(db: TestDb) {
        const ROUNDS: i64 = 25;
        let database = &open_with(&db, |config| config.isolation(IsolationLevel::Serializable));
        database.write(|conn| insert(conn, 1)).unwrap();
        let again = &AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        // The budget may be used up: then the caller is told, and comes back.
                        loop {
                            let result = database.write_with_retry(&quick(5), |conn| {
                                let n = number(conn, "SELECT n AS value FROM parents WHERE id = 1")?;
                                statement(conn, &format!("UPDATE parents SET n = {} WHERE id = 1", n + 1))
                            });
                            match result {
                                Ok(_) => break,
                                Err(error) => {
                                    assert!(error.is_retryable(), "{error}");
                                    again.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    }
                });
            }
        });
        let sum = database.read(|conn| number(conn, "SELECT n AS value FROM parents WHERE id = 1"));
        assert_eq!(sum.unwrap(), 4 * ROUNDS);
        if db.engine() == Engine::Sqlite {
            assert_eq!(again.load(Ordering::Relaxed), 0, "one writer has no conflicts");
        }
    }

    /// Two transactions that want the same rows in opposite order both succeed.
    fn a_deadlock_is_got_over(db: TestDb) {
        let database = &open(&db);
        database.write(|conn| { insert(conn, 1)?; insert(conn, 2) }).unwrap();
        let both = &Barrier::new(2);
        let runs = &AtomicU32::new(0);
        let engine = db.engine();
        let add = |conn: &mut db_core::Conn<'_>, id: i64| {
            statement(conn, &format!("UPDATE parents SET n = n + 1 WHERE id = {id}"))
        };
        thread::scope(|scope| {
            for (first, second) in [(1, 2), (2, 1)] {
                scope.spawn(move || {
                    let mut met = engine == Engine::Sqlite;
                    let result = database.write_with_retry(&quick(5), |conn| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        add(conn, first)?;
                        // Only on PostgreSQL can both be inside.
                        if !std::mem::replace(&mut met, true) {
                            both.wait();
                        }
                        add(conn, second)
                    });
                    assert_eq!(result.unwrap(), 1);
                });
            }
        });
        let sum = database.read(|conn| number(conn, "SELECT CAST(sum(n) AS BIGINT) AS value FROM parents"));
        assert_eq!(sum.unwrap(), 4);
        let runs = runs.load(Ordering::Relaxed);
        match database.engine() {
            Engine::Sqlite => assert_eq!(runs, 2),
            // The one that was ended comes back, and may come too early again.
            Engine::Postgres => assert!(runs >= 3, "{runs} runs"),
        }
    }
}

/// The connection breaks in the middle, before COMMIT: nothing was done, and it is done again.
#[test]
fn a_connection_that_breaks_before_commit_is_replaced() {
    let server = cluster(&[]);
    let proxy = Proxy::to(server.port());
    let set = crate::postgres::options(&server.url_on(proxy.port()));
    let database = db_core::Database::open(&set).unwrap();
    database.write(|conn| execute(conn, super::SCHEMA)).unwrap();
    let mut runs = 0;
    let result = database.write_with_retry(&quick(5), |conn| {
        runs += 1;
        insert(conn, 1)?;
        if runs == 1 {
            proxy.reset();
        }
        insert(conn, 2)
    });
    result.unwrap();
    assert_eq!(runs, 2);
    assert_eq!(database.read(count).unwrap(), 2);
}
