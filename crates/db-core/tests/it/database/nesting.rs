//! A call inside another one is refused at once, before it can wait for itself.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use db_core::{Conn, Database, DatabaseConfig, Engine, Error, ErrorKind, TransactionOptions};
use db_testkit::{TestDb, both_engines};

use super::{LONG, count, insert, open_with};

/// Above what PostgreSQL's gate foresees after calls that held nothing up.
const SHORT: Duration = Duration::from_millis(500);

/// The calls that can be nested, by name.
const CALLS: [&str; 4] = ["read", "read_one", "write", "close"];

fn call(
    database: &Database,
    name: &str,
    f: &mut (dyn FnMut() -> Result<(), Error> + Send),
) -> Result<(), Error> {
    let closure = |_: &mut Conn<'_>| f();
    match name {
        "read" => database.read(closure),
        "read_one" => database.read_one(closure),
        "write" => database.write(closure),
        _ => database.close(LONG),
    }
}

/// Runs every call in every other; `allowed` tells which are let through.
fn check(database: &Database, allowed: impl Fn(&str, &str) -> bool) {
    for outer in ["read", "read_one", "write"] {
        for inner in CALLS {
            let mut ran = false;
            let mut result = Ok(());
            call(database, outer, &mut || {
                result = call(database, inner, &mut || {
                    ran = true;
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
            assert_eq!(ran, allowed(outer, inner), "{inner} in {outer}");
            if ran {
                result.unwrap();
            } else {
                let error = result.unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::Nested,
                    "{inner} in {outer}: {error}"
                );
                assert!(!error.is_retryable());
            }
        }
    }
}

both_engines! {
    fn a_call_in_a_call_is_refused(db: TestDb) {
        let database = open_with(&db, |config| config.max_connections(1).connection_timeout(LONG));
        let sqlite = db.engine() == Engine::Sqlite;
        check(&database, |outer, inner| {
            sqlite && outer == "write" && inner.starts_with("read")
        });
        // Nothing was closed by it, and nothing is held.
        database.write(|conn| insert(conn, 1)).unwrap();
        assert_eq!(database.read(count).unwrap(), 1);
        assert_eq!(super::in_use(&database), 0);
    }

    fn two_databases_are_two(db: TestDb) {
        let database = open_with(&db, |config| config);
        let other = Database::open(&DatabaseConfig::new("sqlite::memory:")).unwrap();
        database
            .write(|_| {
                other.write(|_| {
                    // It finds the outermost call, although another database stands between.
                    let error = database.write(|conn| insert(conn, 1)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Nested);
                    Ok::<_, Error>(())
                })
            })
            .unwrap();
        other
            .read(|_| database.write(|conn| insert(conn, 2)))
            .unwrap();
        assert_eq!(database.read(count).unwrap(), 1);
    }
}

both_engines! {
    /// Each of two threads writes to one database and, within that, to the other one, in another
    /// order than its neighbour. Neither can go on; the first deadline ends it, by name, and the
    /// other thread goes on.
    fn writes_into_each_other_end_at_the_deadline(db: TestDb) {
        let other_db = TestDb::sqlite();
        let other = open_with(&other_db, |config| config.connection_timeout(LONG));
        let database = open_with(&db, |config| config.max_connections(1).connection_timeout(LONG));
        let meet = Barrier::new(2);
        let cross = |outer: &Database, inner: &Database, patience, id| {
            let options = TransactionOptions::new().connection_timeout(patience);
            outer.write(|conn| {
                meet.wait();
                insert(conn, id)?;
                inner.write_with(&options, |conn| insert(conn, id))
            })
        };
        for (round, (outer, inner)) in (1..).zip([(&other, &database), (&database, &other)]) {
            let (gives_up, goes_on) = thread::scope(|scope| {
                let short = scope.spawn(|| cross(outer, inner, SHORT, round));
                let long = scope.spawn(|| cross(inner, outer, LONG, round));
                (short.join().unwrap(), long.join().unwrap())
            });
            let error = gives_up.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            let said = format!("{} {}", error.message(), error.hint().unwrap_or_default());
            assert!(said.contains(file!()), "it does not say who: {said}");
            goes_on.unwrap();
            // Who gave up has written nothing to either, who went on, to both.
            for database in [outer, inner] {
                assert_eq!(database.read(count).unwrap(), round);
            }
        }
    }
}

#[test]
fn in_memory_everything_is_refused() {
    let database = Database::open(&DatabaseConfig::new("sqlite::memory:")).unwrap();
    check(&database, |_, _| false);
}

/// Without a log such a read could wait for the very write that it is in.
#[test]
fn without_a_log_a_read_in_a_write_is_refused() {
    let db = TestDb::sqlite();
    let database = open_with(&db, |config| config.enable_wal(false));
    check(&database, |_, _| false);
}

/// On a SQLite file a read inside a write sees the last commit, not what the write has done.
#[test]
fn a_read_in_a_write_sees_the_last_commit() {
    let db = TestDb::sqlite();
    let database = open_with(&db, |config| config.max_connections(1));
    database.write(|conn| insert(conn, 1)).unwrap();
    let seen = database.write(|conn| {
        insert(conn, 2)?;
        Ok::<_, Error>((count(conn)?, database.read(count)?))
    });
    assert_eq!(seen.unwrap(), (2, 1));
    assert_eq!(database.read(count).unwrap(), 2);
}
