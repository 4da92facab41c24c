//! Reads and writes: what they see, and what is left when they fail.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use db_core::{ConstraintKind, Engine, Error, ErrorKind};
use db_testkit::{TestDb, both_engines};

use super::{count, execute, insert, number, open, open_with, statement};

/// An application's own error.
#[derive(Debug)]
enum Mine {
    Database(Error),
    Refused(&'static str),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

both_engines! {
    fn a_read_sees_every_write_that_was_acknowledged(db: TestDb) {
        let database = &open(&db);
        thread::scope(|scope| {
            for client in 0..4 {
                scope.spawn(move || {
                    for round in 0..50 {
                        let id = client * 1_000 + round;
                        database.write(|conn| insert(conn, id)).unwrap();
                        let own = format!(
                            "SELECT count(*) AS value FROM parents
                             WHERE id BETWEEN {} AND {id}",
                            client * 1_000
                        );
                        let seen = database.read(|conn| number(conn, &own)).unwrap();
                        assert_eq!(seen, round + 1);
                        let seen = database.read_one(|conn| number(conn, &own)).unwrap();
                        assert_eq!(seen, round + 1);
                    }
                });
            }
        });
        assert_eq!(database.read(count).unwrap(), 200);
    }

    fn a_read_is_one_snapshot(db: TestDb) {
        let database = &open(&db);
        let seen = database.read(|conn| {
            let before = count(conn)?;
            thread::scope(|scope| {
                let write = scope.spawn(|| database.write(|conn| insert(conn, 1)));
                write.join().unwrap()
            })?;
            Ok::<_, Error>((before, count(conn)?))
        });
        assert_eq!(seen.unwrap(), (0, 0));
        assert_eq!(database.read(count).unwrap(), 1);
    }

    fn an_error_rolls_back_and_comes_back_as_it_is(db: TestDb) {
        let database = open(&db);
        let refused = database.write(|conn| {
            insert(conn, 1)?;
            insert(conn, 2)?;
            Err::<(), _>(Mine::Refused("on purpose"))
        });
        assert!(matches!(refused, Err(Mine::Refused("on purpose"))), "{refused:?}");
        let broken = database.write(|conn| {
            insert(conn, 1)?;
            insert(conn, 1)?;
            Ok::<_, Mine>(())
        });
        let Err(Mine::Database(error)) = broken else { panic!("{broken:?}") };
        assert_eq!(error.kind(), ErrorKind::Constraint);
        assert_eq!(database.read(count).unwrap(), 0);
    }

    fn a_panic_rolls_back_and_goes_on_at_the_caller(db: TestDb) {
        let database = open(&db);
        for _ in 0..20 {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                database.write(|conn| {
                    insert(conn, 1)?;
                    resume_unwind(Box::new("on purpose"));
                    #[expect(unreachable_code, reason = "it tells the type")]
                    Ok::<_, Error>(())
                })
            }));
            assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
            let panic = catch_unwind(AssertUnwindSafe(|| {
                database.read(|conn| {
                    count(conn)?;
                    resume_unwind(Box::new("while reading"));
                    #[expect(unreachable_code, reason = "it tells the type")]
                    Ok::<_, Error>(())
                })
            }));
            assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "while reading");
        }
        assert_eq!(database.read(count).unwrap(), 0);
        assert_eq!(super::in_use(&database), 0);
        database.write(|conn| insert(conn, 1)).unwrap();
        assert_eq!(database.read(count).unwrap(), 1);
    }

    /// Writes that share a COMMIT, on SQLite, fail each for itself.
    fn among_many_each_fails_for_itself(db: TestDb) {
        let database = &open(&db);
        thread::scope(|scope| {
            for id in 0..64_i64 {
                scope.spawn(move || {
                    let result = catch_unwind(AssertUnwindSafe(|| {
                        database.write(|conn| {
                            insert(conn, id)?;
                            match id % 4 {
                                0 => Ok(()),
                                1 => Err(Mine::Refused("odd")),
                                2 => Ok(insert(conn, id)?),
                                _ => resume_unwind(Box::new(id)),
                            }
                        })
                    }));
                    match (id % 4, result) {
                        (0, Ok(Ok(()))) | (1, Ok(Err(Mine::Refused("odd")))) => {}
                        (2, Ok(Err(Mine::Database(error)))) => {
                            assert_eq!(error.kind(), ErrorKind::Constraint);
                        }
                        (3, Err(panic)) => assert_eq!(*panic.downcast::<i64>().unwrap(), id),
                        (_, other) => panic!("{id}: {other:?}"),
                    }
                });
            }
        });
        assert_eq!(database.read(count).unwrap(), 16);
    }

    fn diesels_errors_have_their_kind_through_the_question_mark(db: TestDb) {
        let database = open(&db);
        database.write(|conn| insert(conn, 1)).unwrap();
        for (sql, kind, constraint) in [
            (
                "INSERT INTO parents (id, n) VALUES (1, 0)",
                ErrorKind::Constraint,
                Some(ConstraintKind::Unique),
            ),
            (
                "INSERT INTO parents (id, n) VALUES (2, -1)",
                ErrorKind::Constraint,
                Some(ConstraintKind::Check),
            ),
            (
                "INSERT INTO parents (id, n) VALUES (2, NULL)",
                ErrorKind::Constraint,
                Some(ConstraintKind::NotNull),
            ),
            // It fails at COMMIT.
            (
                "INSERT INTO children (id, parent_id) VALUES (1, 77)",
                ErrorKind::Constraint,
                Some(ConstraintKind::ForeignKey),
            ),
            ("SELEC 1", ErrorKind::Statement, None),
            ("DELETE FROM nowhere", ErrorKind::Statement, None),
            ("CREATE TABLE parents (id BIGINT)", ErrorKind::AlreadyExists, None),
        ] {
            for prepared in [false, true] {
                let result = database.write(|conn| {
                    if prepared {
                        statement(conn, sql).map(drop)
                    } else {
                        execute(conn, sql)
                    }
                });
                let error = result.expect_err(sql);
                assert_eq!(error.kind(), kind, "{sql}: {error}");
                assert_eq!(error.violation().map(db_core::Violation::kind), constraint, "{sql}");
            }
        }
        let nothing = database.read(|conn| number(conn, "SELECT id AS value FROM others"));
        assert_eq!(nothing.unwrap_err().kind(), ErrorKind::NotFound);
        for read in [
            database.read(|conn| insert(conn, 5)),
            database.read_one(|conn| insert(conn, 5)),
            database.read(|conn| execute(conn, "DELETE FROM parents")),
        ] {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::ReadOnly);
        }
        assert_eq!(database.read(count).unwrap(), 1);
    }

    fn closures_borrow_from_their_caller(db: TestDb) {
        let database = &open_with(&db, |config| config.max_connections(2));
        thread::scope(|scope| {
            for client in 0..16 {
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    let name = format!("client {client}");
                    for round in 0..5 {
                        let (seen, name) = (&mut seen, name.as_str());
                        let written = database.write(|conn| {
                            insert(conn, client * 10 + round)?;
                            seen.push(name.len());
                            Ok::<_, Error>(name)
                        });
                        assert_eq!(written.unwrap(), name);
                        let ids = database.read(|conn| {
                            seen.push(0);
                            count(conn).map(|count| (name, count))
                        });
                        assert_eq!(ids.unwrap().0, name);
                    }
                    assert_eq!(seen.len(), 10);
                });
            }
        });
        assert_eq!(database.read(count).unwrap(), 80);
    }

    fn a_closure_that_ends_its_transaction_is_told(db: TestDb) {
        let database = open(&db);
        let ended = database.write(|conn| {
            insert(conn, 1)?;
            execute(conn, "ROLLBACK")
        });
        let kind = match database.engine() {
            // On SQLite the statement is refused, so the closure fails.
            Engine::Sqlite => ErrorKind::PermissionDenied,
            Engine::Postgres => ErrorKind::OutcomeUnknown,
        };
        assert_eq!(ended.unwrap_err().kind(), kind);
        assert_eq!(database.read(count).unwrap(), 0);
        database.write(|conn| insert(conn, 1)).unwrap();
        assert_eq!(database.read(count).unwrap(), 1);
    }
}
