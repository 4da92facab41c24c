//! The end: nothing new, what runs may finish, and no longer than it was told.

use std::thread;
use std::time::{Duration, Instant};

use db_core::{Database, Engine, Error, ErrorKind};
use db_testkit::{Proxy, TestDb, both_engines, cluster};

use super::{Hold, LONG, config, count, execute, hold, insert, number, open, until};

const SHORT: Duration = Duration::from_millis(60);

/// Closes while something runs that ends when it is told to.
fn closes_around(database: &Database, running: impl FnOnce(Hold) -> Result<(), Error> + Send) {
    thread::scope(|scope| {
        let (hold, release) = hold();
        let running = scope.spawn(move || running(hold));
        release.await_inside();
        let closing = scope.spawn(|| database.close(LONG));
        let refused = |result: Result<(), Error>| match result {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                true
            }
        };
        // One that comes just before the close would wait behind what runs.
        let options = db_core::TransactionOptions::new().connection_timeout(LONG);
        until("new work is refused", || match database.engine() {
            Engine::Postgres => super::in_use(database) == 1 && refused(database.read(|_| Ok(()))),
            Engine::Sqlite => refused(database.read(|_| Ok(()))),
        });
        until("new writes are refused", || {
            refused(database.write_with(&options, |_| Ok(())))
        });
        assert!(!closing.is_finished(), "it did not wait for what runs");
        drop(release);
        running.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
    });
}

fn is_closed(database: &Database) {
    for result in [
        database.read(|_| Ok(())),
        database.read_one(|_| Ok(())),
        database.write(|_| Ok(())),
    ] {
        let error: Error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    database.close(Duration::ZERO).unwrap();
}

both_engines! {
    fn a_write_that_runs_may_end(db: TestDb) {
        let database = open(&db);
        closes_around(&database, |hold| {
            database.write(|conn| {
                insert(conn, 1)?;
                hold.wait();
                insert(conn, 2)
            })
        });
        is_closed(&database);
        let stored = number(&mut db.connect().conn(), "SELECT count(*) AS value FROM parents");
        assert_eq!(stored.unwrap(), 2);
    }

    fn a_read_that_runs_may_end(db: TestDb) {
        let database = open(&db);
        database.write(|conn| insert(conn, 1)).unwrap();
        closes_around(&database, |hold| {
            database.read(|conn| {
                let before = count(conn)?;
                hold.wait();
                assert_eq!(count(conn)?, before);
                Ok(())
            })
        });
        is_closed(&database);
    }

    /// Closures that are in no statement of the database cannot be cancelled: they are left.
    fn closing_takes_no_longer_than_it_was_told(db: TestDb) {
        let database = &open(&db);
        let (holds, releases): (Vec<_>, Vec<_>) = (0..4).map(|_| hold()).unzip();
        thread::scope(|scope| {
            let readers: Vec<_> = holds
                .into_iter()
                .map(|hold| {
                    scope.spawn(move || {
                        database.read(|conn| {
                            count(conn)?;
                            hold.wait();
                            count(conn)
                        })
                    })
                })
                .collect();
            for release in &releases {
                release.await_inside();
            }
            let asked = Instant::now();
            let error = database.close(SHORT).unwrap_err();
            let took = asked.elapsed();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            // Those that hang would have it wait for ever.
            assert!((SHORT..LONG).contains(&took), "{took:?}");
            crate::support::report(format_args!("closed after {took:?} of {SHORT:?}"));
            drop(releases);
            for reader in readers {
                // PostgreSQL was asked to end them; whether it has by now is a race.
                match (db.engine(), reader.join().unwrap()) {
                    (_, Ok(count)) => assert_eq!(count, 0),
                    (Engine::Postgres, Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                    }
                    (Engine::Sqlite, Err(error)) => panic!("{error}"),
                }
            }
        });
        database.close(LONG).unwrap();
        is_closed(database);
    }

    fn the_last_clone_closes(db: TestDb) {
        let database = open(&db);
        let clone = database.clone();
        clone.write(|conn| insert(conn, 1)).unwrap();
        clone.read(count).unwrap();
        drop(database);
        clone.write(|conn| insert(conn, 2)).unwrap();
        assert_eq!(clone.read(count).unwrap(), 2);
        drop(clone);
        if let Some(path) = db.path() {
            let log = path.with_extension("db-wal");
            assert!(!log.exists(), "the log was left behind");
        } else {
            let mut other = db.connect();
            let sessions = "SELECT count(*) AS value FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'bitcraps-db'";
            until("all sessions have ended", || {
                number(&mut other.conn(), sessions).unwrap() == 0
            });
        }
        let again = Database::open(&config(&db)).unwrap();
        assert_eq!(again.read(count).unwrap(), 2);
        again.write(|conn| execute(conn, "DELETE FROM parents")).unwrap();
    }
}

/// A caller that has its turn and waits for its connection to be made is not left to its deadline.
#[test]
fn who_waits_for_a_connection_is_told_of_the_close() {
    let server = cluster(&[]);
    let mut proxy = Proxy::to(server.port());
    let set = crate::postgres::options(&server.url_on(proxy.port()))
        .max_connections(2)
        .connection_timeout(2 * LONG);
    let database = &Database::open(&set).unwrap();
    let (hold, release) = hold();
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            database.read(|_| {
                hold.wait();
                Ok::<_, Error>(())
            })
        });
        release.await_inside();
        proxy.hold();
        let waiting = scope.spawn(|| database.read(|_| Ok::<_, Error>(())));
        until("it waits", || super::in_use(database) == 2);
        let asked = Instant::now();
        let closing = scope.spawn(|| database.close(2 * LONG));
        let refused = waiting.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
        assert!(asked.elapsed() < LONG);
        proxy.pass();
        drop(release);
        running.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
    });
}
