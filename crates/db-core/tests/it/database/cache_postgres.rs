//! The query cache where only PostgreSQL can go wrong: standbys, partitions, locks.

use std::time::Duration;

use db_core::{CacheOptions, Database, ErrorKind, Freshness, TransactionOptions};
use db_testkit::{Cluster, TestDb, cluster};

use super::cache::{Counts, own_writes_are_seen, prepare, set};
use super::{LONG, count, execute, insert, number, open, open_with, statement};

/// A primary, a standby, and a database over both.
fn with_standby() -> (Database, Cluster, Cluster) {
    let primary = cluster(&[]);
    let standby = primary.standby().unwrap();
    let set = crate::postgres::options(&primary.url()).replicas(vec![standby.url()]);
    let database = Database::open(&set).unwrap();
    database.write(|conn| execute(conn, super::SCHEMA)).unwrap();
    let recovering = "SELECT pg_is_in_recovery()::int::bigint AS value";
    super::until("reads go to the standby", || {
        database.read(|conn| number(conn, recovering)).unwrap() == 1
    });
    (database, primary, standby)
}

/// Row 43 with a cache in between. Whatever freshness a computation asks for, what it leaves in the
/// cache is for everybody.
#[test]
fn on_a_replica_nobody_gets_a_value_from_before_his_write_either() {
    let (database, _primary, standby) = with_standby();
    own_writes_are_seen(&database, 60, &TransactionOptions::new());
    // A standby that replays nothing shows what a snapshot of any age would do.
    let set = crate::postgres::options(&standby.url()).max_connections(1);
    let on_standby = Database::open(&set).unwrap();
    on_standby
        .read(|conn| execute(conn, "SELECT pg_wal_replay_pause()"))
        .unwrap();
    let cache = database.query_cache(CacheOptions::new(100, LONG));
    let any = TransactionOptions::new().freshness(Freshness::Any);
    let sum = |conn: &mut db_core::Conn<'_>| {
        number(conn, "SELECT CAST(sum(n) AS BIGINT) AS value FROM parents")
    };
    for n in 1..=5 {
        database
            .write(|conn| statement(conn, &format!("UPDATE parents SET n = {n}")))
            .unwrap();
        // A value may be computed in a read that shows the past, and must not stay.
        let _past = database.read_with(&any, |conn| {
            cache.get_or_compute("sum", &["parents"], || sum(conn))
        });
        let now = cache.get_or_compute("sum", &["parents"], || database.read_with(&any, sum));
        assert_eq!(now.unwrap(), 4 * n);
        let kept = cache.get_or_compute("sum", &["parents"], || database.read(sum));
        assert_eq!(kept.unwrap(), 4 * n);
    }
    on_standby
        .read(|conn| execute(conn, "SELECT pg_wal_replay_resume()"))
        .unwrap();
}

/// The server counts a partition's rows for the partition, and the query names its parent.
#[test]
fn a_write_to_a_partition_is_a_write_to_its_parents() {
    let db = TestDb::postgres();
    let database = open(&db);
    database
        .write(|conn| {
            execute(
                conn,
                "CREATE TABLE bets (id BIGINT NOT NULL, at BIGINT NOT NULL) PARTITION BY RANGE (at);
                 CREATE TABLE bets_1 PARTITION OF bets FOR VALUES FROM (0) TO (100)
                     PARTITION BY RANGE (at);
                 CREATE TABLE bets_1_1 PARTITION OF bets_1 FOR VALUES FROM (0) TO (50);
                 CREATE TABLE old (id BIGINT NOT NULL);
                 CREATE TABLE older () INHERITS (old);",
            )
        })
        .unwrap();
    let cache = database.query_cache(CacheOptions::new(100, LONG));
    let get = |table: &'static str| {
        let sql = format!("SELECT count(*) AS value FROM {table}");
        let value =
            cache.get_or_compute(table, &[table], || database.read(|conn| number(conn, &sql)));
        value.unwrap()
    };
    for (sql, tables) in [
        (
            "INSERT INTO bets (id, at) VALUES (1, 1)",
            ["bets", "bets_1"],
        ),
        (
            "INSERT INTO bets_1_1 (id, at) VALUES (1, 1)",
            ["bets", "bets_1"],
        ),
        ("INSERT INTO older (id) VALUES (1)", ["old", "older"]),
    ] {
        let before = tables.map(get);
        database.write(|conn| statement(conn, sql)).unwrap();
        assert_eq!(tables.map(get), before.map(|count| count + 1), "{sql}");
    }
}

/// What the server does behind a plain statement's back is in its locks.
#[test]
fn what_a_function_truncates_and_a_view_passes_on_is_noticed() {
    let db = TestDb::postgres();
    let database = open(&db);
    prepare(&database);
    database
        .write(|conn| {
            execute(
                conn,
                "CREATE VIEW seen AS SELECT id FROM others;
                 CREATE FUNCTION empties() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN TRUNCATE children; RETURN NULL; END $$;
                 CREATE TRIGGER empties AFTER UPDATE ON others
                     FOR EACH STATEMENT EXECUTE FUNCTION empties();",
            )
        })
        .unwrap();
    let counts = Counts::of(&database);
    counts.outdated();
    for (sql, tables) in [
        ("INSERT INTO seen (id) VALUES (60)", &["others"][..]),
        (
            "UPDATE others SET id = 61 WHERE id = 60",
            &["others", "children"],
        ),
        ("SELECT id FROM parents FOR UPDATE", &[]),
        ("SELECT count(*) FROM parents", &[]),
    ] {
        database.write(|conn| statement(conn, sql)).unwrap();
        assert_eq!(counts.outdated(), set(tables), "{sql}");
    }
}

/// The question for a write's tables can fail. The server then takes its COMMIT, says nothing, and
/// rolls back: the caller must not be told that all is well.
#[test]
fn a_write_whose_tables_cannot_be_told_is_not_committed_in_silence() {
    let db = TestDb::postgres();
    let database = open_with(&db, |config| config.lock_timeout(Duration::from_millis(50)));
    let cache = database.query_cache(CacheOptions::new(10, LONG));
    let get = || cache.get_or_compute("rows", &["parents"], || database.read(count));
    assert_eq!(get().unwrap(), 0);
    let mut other = db.connect();
    other.execute("BEGIN; LOCK TABLE pg_catalog.pg_inherits IN ACCESS EXCLUSIVE MODE");
    let refused = database.write(|conn| insert(conn, 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LockTimeout);
    other.execute("ROLLBACK");
    assert_eq!(database.read(count).unwrap(), 0);
    database.write(|conn| insert(conn, 1)).unwrap();
    assert_eq!(get().unwrap(), 1);
}
