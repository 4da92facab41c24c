//! Reads on a standby show what was written, whatever happens to it (reliability, row 43).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Database, Error, ErrorKind, Freshness, TransactionOptions};
use db_testkit::{Cluster, Stop, cluster};

use super::{execute, number, options, stats, word};

const IN_RECOVERY: &str = "SELECT pg_is_in_recovery()::int::bigint AS value";

struct Pair {
    database: Database,
    standby: Cluster,
    primary: Cluster,
}

fn pair() -> Pair {
    let primary = cluster(&[]);
    let standby = primary.standby().unwrap();
    let set = options(&primary.url()).replicas(vec![standby.url()]);
    let database = Database::open(&set).unwrap();
    database
        .write(|conn| {
            execute(
                conn,
                "CREATE TABLE t (id int PRIMARY KEY, n bigint NOT NULL);
                 INSERT INTO t SELECT g, 0 FROM generate_series(1, 64) g",
            )
        })
        .unwrap();
    Pair {
        database,
        standby,
        primary,
    }
}

impl Pair {
    /// A connection to the standby that the database under test does not know of.
    fn on_standby(&self) -> Database {
        let set = options(&self.standby.url()).max_connections(1);
        Database::open(&set).unwrap()
    }

    fn reads_standby(&self) -> bool {
        let place = self.database.read(|conn| number(conn, IN_RECOVERY));
        place.unwrap() == 1
    }

    /// Waits until reads go to the standby again.
    fn returns_to_standby(&self) {
        let began = Instant::now();
        while !self.reads_standby() {
            assert!(began.elapsed() < Duration::from_mins(1), "never came back");
        }
    }

    fn count(&self) -> i64 {
        let sql = "SELECT sum(n)::bigint AS value FROM t";
        self.database.read(|conn| number(conn, sql)).unwrap()
    }

    fn add(&self) {
        self.database
            .write(|conn| execute(conn, "UPDATE t SET n = n + 1 WHERE id = 1"))
            .unwrap();
    }
}

#[test]
fn reads_go_to_the_standby_and_writes_to_the_primary() {
    let pair = pair();
    pair.returns_to_standby();
    let on_primary = pair.database.write(|conn| number(conn, IN_RECOVERY));
    assert_eq!(on_primary.unwrap(), 0);
    let options = TransactionOptions::default().freshness(Freshness::Primary);
    let decided = pair
        .database
        .read_with(&options, |conn| number(conn, IN_RECOVERY));
    assert_eq!(decided.unwrap(), 0);
    let one = pair.database.read_one(|conn| number(conn, IN_RECOVERY));
    assert_eq!(one.unwrap(), 1);
}

#[test]
fn a_paused_standby_is_left_alone_and_comes_back() {
    let pair = pair();
    pair.returns_to_standby();
    let standby = pair.on_standby();
    standby
        .read(|conn| execute(conn, "SELECT pg_wal_replay_pause()"))
        .unwrap();
    for n in 1..=20 {
        pair.add();
        assert_eq!(pair.count(), n);
    }
    assert!(!pair.reads_standby());
    standby
        .read(|conn| execute(conn, "SELECT pg_wal_replay_resume()"))
        .unwrap();
    pair.returns_to_standby();
    assert_eq!(pair.count(), 20);
}

#[test]
fn a_standby_that_is_gone_is_replaced_by_the_primary() {
    let pair = pair();
    pair.returns_to_standby();
    for how in [Stop::Fast, Stop::Immediate] {
        pair.standby.stop(how).unwrap();
        for _ in 0..20 {
            let before = pair.count();
            pair.add();
            assert_eq!(pair.count(), before + 1);
        }
        pair.standby.start_again().unwrap();
        pair.returns_to_standby();
    }
}

#[test]
fn a_promoted_standby_serves_no_reads() {
    let pair = pair();
    pair.returns_to_standby();
    pair.standby.promote().unwrap();
    for n in 1..=20 {
        pair.add();
        assert_eq!(pair.count(), n);
    }
    assert!(!pair.reads_standby());
    let stats = stats(&pair.database);
    assert!(!stats.replicas[0].0, "it is in rotation still");
}

#[test]
fn another_process_hands_its_place_over() {
    let pair = pair();
    let set = options(&pair.primary.url()).replicas(vec![pair.standby.url()]);
    let other = Database::open(&set).unwrap();
    for n in 1..=100 {
        pair.add();
        let token = pair.database.last_written().unwrap().to_string();
        let options =
            TransactionOptions::default().freshness(Freshness::After(token.parse().unwrap()));
        let sql = "SELECT sum(n)::bigint AS value FROM t";
        let seen = other.read_with(&options, |conn| number(conn, sql)).unwrap();
        assert_eq!(seen, n);
    }
}

#[test]
fn a_commit_that_did_not_wait_keeps_reads_on_the_primary() {
    let pair = pair();
    pair.returns_to_standby();
    pair.database
        .write(|conn| {
            execute(conn, "SET LOCAL synchronous_commit = off")?;
            execute(conn, "UPDATE t SET n = n + 1 WHERE id = 1")
        })
        .unwrap();
    assert_eq!(pair.database.last_written(), None);
    assert!(!pair.reads_standby());
    assert_eq!(pair.count(), 1);
    // The next one that waits flushes the log up to itself.
    pair.add();
    assert_eq!(pair.count(), 2);
    pair.returns_to_standby();
}

#[test]
fn a_commit_of_a_function_that_does_not_wait_keeps_reads_on_the_primary() {
    let pair = pair();
    pair.returns_to_standby();
    for relax in [
        "SET LOCAL Synchronous_Commit = OFF",
        "DO $$ BEGIN PERFORM set_config('synchronous' || '_commit', 'off', true); END $$",
    ] {
        pair.database.write(|conn| execute(conn, relax)).unwrap();
        assert_eq!(pair.database.last_written(), None, "{relax}");
        pair.add();
        assert!(pair.database.last_written().is_some());
    }
}

/// On a server that writes its log out only for those who wait, so that a commit that did not wait
/// is on no standby for long.
#[test]
fn a_trigger_does_not_make_a_commit_wait_for_nothing() {
    let primary = cluster(&[("wal_writer_delay", "10s"), ("wal_writer_flush_after", "0")]);
    let standby = primary.standby().unwrap();
    let set = options(&primary.url())
        .replicas(vec![standby.url()])
        .replica_wait(Duration::from_secs(5));
    let database = Database::open(&set).unwrap();
    // A commit that waits for more than the disk goes on doing so: this one for the standby.
    let strict = "CREATE TABLE strict (id int PRIMARY KEY, n bigint NOT NULL);
        INSERT INTO strict VALUES (1, 0);
        CREATE FUNCTION insist() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('synchronous_commit', 'remote_apply', true); RETURN NEW;
        END $$;
        CREATE TRIGGER insist BEFORE UPDATE ON strict FOR EACH ROW EXECUTE FUNCTION insist();
        CREATE TABLE seen (setting text NOT NULL);
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW;
        END $$;
        CREATE CONSTRAINT TRIGGER look AFTER UPDATE ON strict DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION look()";
    database.write(|conn| execute(conn, strict)).unwrap();
    database
        .write(|conn| execute(conn, "UPDATE strict SET n = n + 1 WHERE id = 1"))
        .unwrap();
    let seen = database.read(|conn| word(conn, "SELECT setting AS value FROM seen"));
    assert_eq!(seen.unwrap(), "remote_apply");
    for (local, trigger) in [("true", "transaction"), ("false", "session")] {
        let relax = format!(
            "CREATE TABLE {trigger} (id int PRIMARY KEY, n bigint NOT NULL);
             INSERT INTO {trigger} VALUES (1, 0);
             CREATE FUNCTION relax_{trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM set_config('synchronous_commit', 'off', {local}); RETURN NEW;
             END $$;
             CREATE TRIGGER relax BEFORE UPDATE ON {trigger}
             FOR EACH ROW EXECUTE FUNCTION relax_{trigger}()"
        );
        database.write(|conn| execute(conn, &relax)).unwrap();
        for n in 1..=20 {
            let update = format!("UPDATE {trigger} SET n = n + 1 WHERE id = 1");
            database.write(|conn| execute(conn, &update)).unwrap();
            assert!(database.last_written().is_some());
            let look = format!("SELECT n AS value FROM {trigger} WHERE id = 1");
            let (seen, place) = database
                .read(|conn| Ok::<_, Error>((number(conn, &look)?, number(conn, IN_RECOVERY)?)))
                .unwrap();
            assert_eq!((seen, place), (n, 1), "{trigger}");
        }
    }
}

/// With the settings as they come.
#[test]
fn a_frozen_standby_does_not_hold_a_read() {
    let pair = pair();
    pair.returns_to_standby();
    let frozen = pair.standby.freeze().unwrap();
    for n in 1..=5 {
        // It has to be asked whether it shows that.
        pair.add();
        let asked = Instant::now();
        assert_eq!(pair.count(), n);
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
    }
    assert!(
        !stats(&pair.database).replicas[0].0,
        "it is in rotation still"
    );
    drop(frozen);
    pair.returns_to_standby();
}

/// Row 43: eight clients write and read their own, while the standby is paused, restarted and
/// promoted.
#[test]
fn everybody_reads_what_they_wrote() {
    let rounds = i64::try_from(db_testkit::size("PAIRS", 2_000) / 8).unwrap();
    let pair = pair();
    pair.returns_to_standby();
    let (pairs, places) = (AtomicI64::new(0), std::sync::Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        let clients: Vec<_> = (1..=8)
            .map(|id| {
                let (pair, pairs, places) = (&pair, &pairs, &places);
                scope.spawn(move || {
                    for n in 1..=rounds {
                        let update = format!("UPDATE t SET n = {n} WHERE id = {id}");
                        pair.database.write(|conn| execute(conn, &update)).unwrap();
                        let look = format!("SELECT n AS value FROM t WHERE id = {id}");
                        let (seen, place) = loop {
                            let read = pair.database.read(|conn| {
                                Ok::<_, Error>((number(conn, &look)?, number(conn, IN_RECOVERY)?))
                            });
                            match read {
                                Ok(found) => break found,
                                // It was under way on a standby that was stopped.
                                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionLost),
                            }
                        };
                        assert_eq!(seen, n, "client {id} on {place}");
                        places.lock().unwrap().insert(place);
                        pairs.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let standby = pair.on_standby();
        while pairs.load(Ordering::Relaxed) < rounds {
            thread::yield_now();
        }
        standby
            .read(|conn| execute(conn, "SELECT pg_wal_replay_pause()"))
            .unwrap();
        while pairs.load(Ordering::Relaxed) < 3 * rounds {
            thread::yield_now();
        }
        standby
            .read(|conn| execute(conn, "SELECT pg_wal_replay_resume()"))
            .unwrap();
        pair.standby.stop(Stop::Immediate).unwrap();
        pair.standby.start_again().unwrap();
        while pairs.load(Ordering::Relaxed) < 7 * rounds {
            thread::yield_now();
        }
        // From here on it has a history of its own.
        pair.standby.promote().unwrap();
        for client in clients {
            client.join().unwrap();
        }
    });
    assert_eq!(pairs.load(Ordering::Relaxed), 8 * rounds);
    assert_eq!(places.into_inner().unwrap(), BTreeSet::from([0, 1]));
}
