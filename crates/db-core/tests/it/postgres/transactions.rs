//! Isolation, read-only transactions, and what a COMMIT says.

use std::time::Duration;

use db_core::{Error, ErrorKind, IsolationLevel, RetryPolicy, TransactionOptions};
use db_testkit::{Proxy, cluster};

use super::{execute, number, open, options, word};

const COUNT: &str = "SELECT count(*) AS value FROM t";

fn with_table() -> (db_testkit::TestDb, db_core::Database) {
    let (db, database) = open();
    db.connect().execute(
        "CREATE TABLE t (a int UNIQUE);
         CREATE TABLE u (a int REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)",
    );
    (db, database)
}

#[test]
fn a_read_sees_one_snapshot() {
    let (db, database) = with_table();
    let mut other = db.connect();
    let seen = database
        .read(|conn| {
            let before = number(conn, COUNT)?;
            other.execute("INSERT INTO t VALUES (1)");
            Ok::<_, Error>((before, number(conn, COUNT)?))
        })
        .unwrap();
    assert_eq!(seen, (0, 0));
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 1);
}

#[test]
fn isolation_is_as_asked() {
    let (_db, database) = with_table();
    let look = "SELECT concat_ws(' ', current_setting('transaction_isolation'),
        current_setting('transaction_read_only'),
        current_setting('transaction_deferrable')) AS value";
    let default = TransactionOptions::default();
    let serializable = default.isolation(IsolationLevel::Serializable).deferrable();
    for (options, read, write) in [
        (default, "repeatable read on off", "read committed off off"),
        (
            default.isolation(IsolationLevel::ReadCommitted),
            "read committed on off",
            "read committed off off",
        ),
        (serializable, "serializable on on", "serializable off on"),
    ] {
        let found = database.read_with(&options, |conn| word(conn, look));
        assert_eq!(found.unwrap(), read);
        let found = database.write_with(&options, |conn| word(conn, look));
        assert_eq!(found.unwrap(), write);
    }
}

#[test]
fn a_read_cannot_write() {
    let (_db, database) = with_table();
    let insert = "INSERT INTO t VALUES (1)";
    let refused = database.read(|conn| execute(conn, insert)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnly);
    let refused = database.read_one(|conn| execute(conn, insert)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ReadOnly);
}

#[test]
fn one_statement_means_one() {
    let (_db, database) = with_table();
    let one = database.read_one(|conn| number(conn, COUNT));
    assert_eq!(one.unwrap(), 0);
    let two = database.read_one(|conn| {
        number(conn, COUNT)?;
        number(conn, COUNT)
    });
    assert_eq!(two.unwrap_err().kind(), ErrorKind::Statement);
}

#[test]
fn an_error_rolls_back() {
    let (_db, database) = with_table();
    let refused: Result<(), Error> = database.write(|conn| {
        execute(conn, "INSERT INTO t VALUES (1)")?;
        execute(conn, "INSERT INTO t VALUES (1)")
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Constraint);
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 0);
}

#[test]
fn a_swallowed_error_is_no_success() {
    let (_db, database) = with_table();
    let result: Result<(), Error> = database.write(|conn| {
        execute(conn, "INSERT INTO t VALUES (1)")?;
        // The server takes COMMIT after this, and answers without an error.
        drop(execute(conn, "SELECT 1/0"));
        Ok(())
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Statement);
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 0);
}

#[test]
fn an_error_within_a_savepoint_is_forgiven() {
    use diesel::Connection as _;
    let (_db, database) = with_table();
    database
        .write(|conn| {
            execute(conn, "INSERT INTO t VALUES (1)")?;
            let inner = super::raw(conn).transaction(|c| {
                diesel::connection::SimpleConnection::batch_execute(c, "SELECT 1/0")
            });
            assert!(inner.is_err());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 1);
}

#[test]
fn who_ends_the_transaction_is_told() {
    let (_db, database) = with_table();
    for (end, kind) in [
        ("COMMIT", ErrorKind::OutcomeUnknown),
        ("ROLLBACK", ErrorKind::OutcomeUnknown),
    ] {
        let result = database.write(|conn| execute(conn, end));
        assert_eq!(result.unwrap_err().kind(), kind);
    }
    let result = database.read(|conn| execute(conn, "COMMIT"));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Statement);
    let result = database.write(|conn| execute(conn, "SAVEPOINT a"));
    // The server forgets a savepoint with the COMMIT; only Diesel's are counted.
    result.unwrap();
}

/// The transaction that is open at the end is not the one that was opened.
#[test]
fn who_ends_the_transaction_and_begins_another_is_told() {
    let (_db, database) = with_table();
    for end in [
        "ROLLBACK; BEGIN",
        "ROLLBACK; BEGIN READ WRITE",
        "ROLLBACK AND CHAIN",
        "COMMIT; BEGIN",
        "COMMIT AND CHAIN",
    ] {
        let result = database.write(|conn| {
            execute(conn, "INSERT INTO t SELECT coalesce(max(a), 0) + 1 FROM t")?;
            execute(conn, end)
        });
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{end}: {error}");
        let result = database.read(|conn| {
            number(conn, COUNT)?;
            execute(conn, end)
        });
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement, "{end}: {error}");
    }
    // Only the two commits left something, and nothing is open.
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 2);
    let open = "SELECT count(*) AS value FROM pg_stat_activity
         WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(database.read_one(|conn| number(conn, open)).unwrap(), 0);
}

#[test]
fn what_was_committed_within_is_not_run_again() {
    let (_db, database) = with_table();
    let policy = RetryPolicy::new().with_attempts(3);
    let result: Result<(), Error> = database.write_with_retry(&policy, |conn| {
        execute(conn, "INSERT INTO t SELECT coalesce(max(a), 0) + 1 FROM t")?;
        execute(conn, "COMMIT")?;
        Err(Error::new(ErrorKind::Serialization, "a conflict"))
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(database.read(|conn| number(conn, COUNT)).unwrap(), 1);
}

#[test]
fn a_constraint_that_fails_at_commit_is_an_error() {
    let (_db, database) = with_table();
    let result = database.write(|conn| execute(conn, "INSERT INTO u VALUES (5)"));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Constraint);
    let count = "SELECT count(*) AS value FROM u";
    assert_eq!(database.read(|conn| number(conn, count)).unwrap(), 0);
}

#[test]
fn conflicts_are_serialization_failures() {
    let (db, database) = with_table();
    let elsewhere = db_core::Database::open(&options(&db.url())).unwrap();
    let options = TransactionOptions::default().isolation(IsolationLevel::Serializable);
    database
        .write(|conn| execute(conn, "INSERT INTO t VALUES (1)"))
        .unwrap();
    let result: Result<(), Error> = database.write_with(&options, |conn| {
        number(conn, COUNT)?;
        elsewhere.write_with(&options, |other| {
            number(other, COUNT)?;
            execute(other, "INSERT INTO t VALUES (2)")
        })?;
        execute(conn, "INSERT INTO t VALUES (3)")
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert!(error.is_retryable());
}

#[test]
fn a_statement_has_its_limit() {
    let (_db, database) = open();
    let options = TransactionOptions::default().statement_timeout(Duration::from_millis(50));
    let slow = database.write_with(&options, |conn| execute(conn, "SELECT pg_sleep(60)"));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::StatementTimeout);
}

#[test]
fn a_connection_lost_at_commit_leaves_the_outcome_unknown() {
    let server = cluster(&[]);
    let proxy = Proxy::to(server.port());
    let set = options(&server.url_on(proxy.port())).max_connections(2);
    let database = db_core::Database::open(&set).unwrap();
    // A deferred trigger keeps the COMMIT busy long enough to cut it off.
    database
        .write(|conn| {
            execute(
                conn,
                "CREATE TABLE t (a int);
                 CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
                 CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION slow();",
            )
        })
        .unwrap();
    let direct = db_core::Database::open(&options(&server.url())).unwrap();
    let committing = "SELECT count(*) AS value FROM pg_stat_activity
         WHERE state = 'active' AND query LIKE 'COMMIT%'";
    let error = std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| database.write(|conn| execute(conn, "INSERT INTO t VALUES (1)")));
        while direct.read(|conn| number(conn, committing)).unwrap() == 0 {
            std::thread::yield_now();
        }
        proxy.reset();
        writer.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(!error.is_retryable());
    database.read(|conn| execute(conn, "SELECT 1")).unwrap();
}
