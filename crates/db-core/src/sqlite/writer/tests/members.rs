//! One member's failure is its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::Connection as _;

use super::*;

/// Runs the case before and between two good members of one group, and then alone. What the case did
/// must be gone, and the others' work there. The first member of a group runs without a savepoint.
fn beside_others(case: impl Fn(&Bed) + Sync) {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        scope.spawn(|| case(&bed));
        bed.await_pending(1);
        scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 1)).unwrap());
        bed.await_pending(2);
        scope.spawn(|| case(&bed));
        bed.await_pending(3);
        scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)).unwrap());
        bed.await_pending(4);
        hold.let_go();
    });
    assert_eq!(bed.groups.sizes(4), [4]);
    case(&bed);
    assert_eq!(bed.entries(), 2);
    bed.writer.run(None, |conn| insert(conn, 3)).unwrap();
    assert_eq!(bed.number("SELECT sum(id) AS n FROM entry"), 6);
}

#[test]
fn an_error_rolls_back_its_own_work_only() {
    beside_others(|bed| {
        let failed = bed.writer.run(None, |conn| {
            insert(conn, 10)?;
            insert(conn, 10)
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Constraint);
    });
}

/// An error of the caller's own.
#[derive(Debug, PartialEq)]
enum Own {
    Refused(i64),
    Database,
}

impl From<Error> for Own {
    fn from(_: Error) -> Self {
        Self::Database
    }
}

#[test]
fn a_callers_own_error_comes_back_as_it_is() {
    beside_others(|bed| {
        let refused: Result<(), Own> = bed.writer.run(None, |conn| {
            insert(conn, 10)?;
            Err(Own::Refused(7))
        });
        assert_eq!(refused, Err(Own::Refused(7)));
    });
}

#[test]
fn a_panic_goes_to_its_caller_and_rolls_back_its_own_work_only() {
    beside_others(|bed| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            bed.writer.run(None, |conn| -> Result<(), Error> {
                insert(conn, 10)?;
                std::panic::panic_any(13_u8)
            })
        }));
        let payload = caught.unwrap_err();
        assert_eq!(payload.downcast_ref::<u8>(), Some(&13));
    });
}

#[test]
fn a_panic_in_nested_transactions_leaves_none_open() {
    beside_others(|bed| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            bed.writer.run(None, |conn| {
                conn.transaction(|conn| {
                    insert(conn, 10)?;
                    conn.transaction(|conn| -> Result<(), TransactionError> {
                        insert(conn, 11)?;
                        panic!("deep")
                    })
                })
                .map_err(|e| e.0)
            })
        }));
        assert!(caught.is_err());
    });
}

struct TransactionError(Error);

impl From<diesel::result::Error> for TransactionError {
    fn from(error: diesel::result::Error) -> Self {
        Self(Error::classify(Engine::Sqlite, &error))
    }
}

impl From<Error> for TransactionError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[test]
fn a_nested_transaction_may_fail_alone() {
    let bed = Bed::new();
    let write = |id: i64| {
        bed.writer.run(None, |conn| {
            insert(conn, id)?;
            let nested = conn.transaction(|conn| {
                insert(conn, id + 100)?;
                Err::<(), _>(TransactionError(Error::new(ErrorKind::Other, "no")))
            });
            assert!(nested.is_err());
            Ok::<_, Error>(())
        })
    };
    write(1).unwrap();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| write(2));
        bed.await_pending(1);
        hold.let_go();
        queued.join().unwrap().unwrap();
    });
    assert_eq!(bed.number("SELECT sum(id) AS n FROM entry"), 3);
}

#[test]
fn what_a_closure_left_open_is_kept_or_undone_with_it() {
    use diesel::connection::{AnsiTransactionManager as Manager, TransactionManager};
    beside_others(|bed| {
        let failed = bed.writer.run(None, |conn| {
            Manager::begin_transaction(conn).unwrap();
            insert(conn, 10)?;
            insert(conn, 10)
        });
        assert!(failed.is_err());
    });
    let bed = Bed::new();
    bed.writer
        .run(None, |conn| {
            Manager::begin_transaction(conn).unwrap();
            insert(conn, 1)
        })
        .unwrap();
    assert_eq!(bed.entries(), 1);
}

/// The first member has no savepoint of the database's around its own.
#[test]
fn savepoints_that_the_first_member_leaves_are_not_there_for_the_next() {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let first = scope.spawn(|| {
            bed.writer.run(None, |conn| {
                for (id, name) in [(1, "mine"), (2, "MINE"), (3, "\"the \"\"other\"\"\"")] {
                    execute(conn, &format!("SAVEPOINT {name}"))?;
                    insert(conn, id)?;
                }
                Ok::<_, Error>(())
            })
        });
        bed.await_pending(1);
        let second = scope.spawn(|| {
            bed.writer.run(None, |conn| {
                insert(conn, 4)?;
                for sql in [
                    "RELEASE mine",
                    "ROLLBACK TO mine",
                    "ROLLBACK TO \"the \"\"other\"\"\"",
                ] {
                    assert!(execute(conn, sql).is_err(), "{sql}");
                }
                // Of its own there may be some, and of the same name.
                execute(conn, "SAVEPOINT mine")?;
                insert(conn, 100)?;
                execute(conn, "ROLLBACK TO mine")
            })
        });
        bed.await_pending(2);
        let third = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 5)));
        bed.await_pending(3);
        hold.let_go();
        for member in [first, second, third] {
            member.join().unwrap().unwrap();
        }
    });
    assert_eq!(bed.groups.sizes(3), [3]);
    assert_eq!(bed.number("SELECT sum(id) AS n FROM entry"), 15);
}

#[test]
fn a_deferred_foreign_key_fails_who_broke_it_and_nobody_else() {
    beside_others(|bed| {
        let orphan = bed.writer.run(None, |conn| {
            statement(conn, "INSERT INTO child VALUES (1, 77)")
        });
        let error = orphan.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
        assert!(!error.is_retryable());
        let broken = error.violation().map(crate::Violation::kind);
        assert_eq!(broken, Some(crate::ConstraintKind::ForeignKey));
        assert_eq!(bed.number("SELECT count(*) AS n FROM child"), 0);
    });
    let bed = Bed::new();
    // Broken for a while only, also in a group.
    let family = |id: i64| {
        bed.writer.run(None, |conn| {
            statement(conn, &format!("INSERT INTO child VALUES ({id}, {id})"))?;
            statement(conn, &format!("INSERT INTO parent VALUES ({id})"))
        })
    };
    family(1).unwrap();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| family(2));
        bed.await_pending(1);
        hold.let_go();
        queued.join().unwrap().unwrap();
    });
    assert_eq!(bed.number("SELECT count(*) AS n FROM child"), 2);
}

#[test]
fn foreign_keys_that_one_member_puts_off_are_not_put_off_for_the_next() {
    let bed = Bed::new();
    let create = "CREATE TABLE at_once (parent_id INTEGER NOT NULL REFERENCES parent (id)) STRICT";
    bed.writer.run(None, |conn| execute(conn, create)).unwrap();
    let orphan = "INSERT INTO at_once VALUES (5)";
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let first = scope.spawn(|| {
            bed.writer.run(None, |conn| {
                execute(conn, "PRAGMA defer_foreign_keys = ON")?;
                statement(conn, orphan)?;
                statement(conn, "INSERT INTO parent VALUES (5)")
            })
        });
        bed.await_pending(1);
        let second = scope.spawn(|| {
            bed.writer.run(None, |conn| {
                let broken = statement(conn, "INSERT INTO at_once VALUES (6)");
                assert_eq!(broken.unwrap_err().kind(), ErrorKind::Constraint);
                Ok::<_, Error>(())
            })
        });
        bed.await_pending(2);
        hold.let_go();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(bed.groups.sizes(2), [2]);
    assert_eq!(bed.number("SELECT count(*) AS n FROM at_once"), 1);
}
