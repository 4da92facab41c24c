//! What a cache is told of writes on PostgreSQL.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use db_core::{CacheOptions, Database, Error, QueryCache};
use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;

use super::{execute, number, open, raw};

const COUNT: &str = "SELECT count(*) AS value FROM t";

fn cache(database: &Database) -> QueryCache<&'static str, i64> {
    database.query_cache(CacheOptions::new(10, Duration::from_hours(1)))
}

fn count(database: &Database, cache: &QueryCache<&'static str, i64>) -> i64 {
    cache
        .get_or_compute("t", &["t"], || database.read(|conn| number(conn, COUNT)))
        .unwrap()
}

#[test]
fn a_cache_that_is_made_during_a_commit_hears_of_it() {
    let (db, database) = open();
    let mut other = db.connect();
    other.execute(
        "CREATE TABLE t (a int);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION f();
         SELECT pg_advisory_lock(7);",
    );
    let committing = "SELECT count(*) AS value FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'COMMIT%' AND wait_event = 'advisory'";
    std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| database.write(|conn| execute(conn, "INSERT INTO t VALUES (1)")));
        while database.read(|conn| number(conn, committing)).unwrap() == 0 {
            std::thread::yield_now();
        }
        let cache = cache(&database);
        assert_eq!(count(&database, &cache), 0);
        other.execute("SELECT pg_advisory_unlock(7)");
        writer.join().unwrap().unwrap();
        assert_eq!(count(&database, &cache), 1);
    });
}

#[test]
fn a_nested_transaction_leaves_other_tables_alone() {
    let (db, database) = open();
    db.connect()
        .execute("CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE SEQUENCE s");
    let (cache, computed) = (cache(&database), AtomicI64::new(0));
    let look = || {
        cache
            .get_or_compute("t", &["t"], || {
                computed.fetch_add(1, Ordering::Relaxed);
                database.read(|conn| number(conn, COUNT))
            })
            .unwrap()
    };
    assert_eq!(look(), 0);
    let nested = |table: &str| {
        database.write(|conn| {
            raw(conn)
                .transaction(|c| c.batch_execute(&format!("INSERT INTO {table} VALUES (1)")))?;
            number(conn, "SELECT nextval('s') AS value")?;
            Ok::<_, Error>(())
        })
    };
    nested("u").unwrap();
    assert_eq!((look(), computed.load(Ordering::Relaxed)), (0, 1));
    nested("t").unwrap();
    assert_eq!((look(), computed.load(Ordering::Relaxed)), (1, 2));
}

#[test]
fn a_read_that_makes_itself_a_write_is_noted() {
    let (db, database) = open();
    db.connect().execute("CREATE TABLE t (a int)");
    let cache = cache(&database);
    assert_eq!(count(&database, &cache), 0);
    database
        .read(|conn| {
            execute(conn, "SET TRANSACTION READ WRITE")?;
            execute(conn, "INSERT INTO t VALUES (1)")
        })
        .unwrap();
    assert_eq!(count(&database, &cache), 1);
}
