//! A database in memory: one connection, and everything that was said of the others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use db_core::{Database, DatabaseConfig, Error, ErrorKind, TransactionOptions};

use super::{LONG, SCHEMA, count, execute, insert, number};

fn open() -> Database {
    let database = Database::open(&DatabaseConfig::new("sqlite::memory:")).unwrap();
    database.write(|conn| execute(conn, SCHEMA)).unwrap();
    database
}

#[test]
fn what_is_written_is_read_by_everyone() {
    let database = &open();
    thread::scope(|scope| {
        for client in 0..4 {
            scope.spawn(move || {
                for round in 0..50 {
                    database
                        .write(|conn| insert(conn, client * 100 + round))
                        .unwrap();
                    assert!(database.read(count).unwrap() > round);
                }
            });
        }
    });
    assert_eq!(database.read(count).unwrap(), 200);
    let other = open();
    assert_eq!(other.read(count).unwrap(), 0, "two databases share nothing");
}

#[test]
fn errors_panics_and_ended_transactions_leave_nothing() {
    let database = open();
    let broken = database.write(|conn| {
        insert(conn, 1)?;
        insert(conn, 1)
    });
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Constraint);
    // At COMMIT.
    let broken =
        database.write(|conn| execute(conn, "INSERT INTO children (id, parent_id) VALUES (1, 77)"));
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Constraint);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        database.write(|conn| {
            insert(conn, 1)?;
            resume_unwind(Box::new("on purpose"));
            #[expect(unreachable_code, reason = "it tells the type")]
            Ok::<_, Error>(())
        })
    }));
    assert_eq!(
        *panic.unwrap_err().downcast::<&str>().unwrap(),
        "on purpose"
    );
    for end in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"] {
        let ended = database.write(|conn| execute(conn, end));
        let kind = ended.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::PermissionDenied, "{end}");
        let ended = database.read(|conn| execute(conn, end));
        let kind = ended.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::PermissionDenied, "{end}");
    }
    let refused = database.read(|conn| insert(conn, 1));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
    let children = "SELECT count(*) AS value FROM children";
    assert_eq!(
        database.read(|conn| number(conn, children)).unwrap(),
        0,
        "a broken COMMIT left its rows"
    );
    assert_eq!(database.read(count).unwrap(), 0);
    database.write(|conn| insert(conn, 1)).unwrap();
    assert_eq!(database.read(count).unwrap(), 1);
}

#[test]
fn waiting_has_its_deadline_and_the_end_its_order() {
    let database = &open();
    let short = TransactionOptions::new().connection_timeout(Duration::from_millis(50));
    thread::scope(|scope| {
        database
            .write(|conn| {
                insert(conn, 1)?;
                let waits = scope.spawn(move || database.read_with(&short, count));
                assert_eq!(
                    waits.join().unwrap().unwrap_err().kind(),
                    ErrorKind::Timeout
                );
                let closing = scope.spawn(|| database.close(Duration::from_millis(50)));
                let late = closing.join().unwrap().unwrap_err();
                assert_eq!(late.kind(), ErrorKind::Timeout);
                let refused = scope.spawn(|| database.read(count)).join().unwrap();
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
                Ok::<_, Error>(())
            })
            .unwrap();
    });
    database.close(LONG).unwrap();
    database.close(Duration::ZERO).unwrap();
    assert_eq!(database.read(count).unwrap_err().kind(), ErrorKind::Closed);
}
