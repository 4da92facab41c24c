//! A call inside another one is refused at once, before it can wait for itself.

use db_core::{Conn, Database, DatabaseConfig, Engine, Error, ErrorKind};
use db_testkit::{TestDb, both_engines};

use super::{LONG, count, insert, open_with};

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
