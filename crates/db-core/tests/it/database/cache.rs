//! The query cache over real writes: told of each, and never of too much.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use db_core::{CacheOptions, Database, Engine, Error, ErrorKind, QueryCache, TransactionOptions};
use db_testkit::{TestDb, both_engines};

use super::{LONG, count, execute, insert, number, open, open_with, statement};

/// Their rows are counted, each under its own key.
const TABLES: [&str; 4] = ["parents", "children", "log", "others"];

/// A row of `log` for each new parent, and some rows to begin with.
pub(super) fn prepare(database: &Database) {
    let trigger = match database.engine() {
        Engine::Sqlite => {
            "CREATE TRIGGER logged AFTER INSERT ON parents
             BEGIN INSERT INTO log (id) VALUES (NEW.id); END"
        }
        Engine::Postgres => {
            "CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO log (id) VALUES (NEW.id); RETURN NULL; END $$;
             CREATE TRIGGER logged AFTER INSERT ON parents
                 FOR EACH ROW EXECUTE FUNCTION logged()"
        }
    };
    database
        .write(|conn| {
            execute(conn, "CREATE TABLE log (id BIGINT NOT NULL)")?;
            execute(conn, trigger)?;
            for id in 1..=9 {
                insert(conn, id)?;
                statement(
                    conn,
                    &format!("INSERT INTO children (id, parent_id) VALUES ({id}, {id})"),
                )?;
            }
            statement(conn, "INSERT INTO others (id) VALUES (1)").map(drop)
        })
        .unwrap();
}

pub(super) struct Counts<'d> {
    database: &'d Database,
    cache: QueryCache<&'static str, i64>,
}

impl<'d> Counts<'d> {
    pub(super) fn of(database: &'d Database) -> Self {
        let cache = database.query_cache(CacheOptions::new(100, LONG));
        // On SQLite the first write cannot tell who wrote before, and counts for all tables.
        database
            .write(|conn| statement(conn, "UPDATE others SET id = 1"))
            .unwrap();
        Self { database, cache }
    }

    /// A digest of the table, and whether it was computed now.
    fn get(&self, table: &'static str) -> (i64, bool) {
        let sum = match table {
            "parents" => "1000 * count(*) + coalesce(sum(n), 0)",
            "children" => "1000 * count(*) + coalesce(sum(parent_id), 0)",
            _ => "1000 * count(*) + coalesce(sum(id), 0)",
        };
        let sql = format!("SELECT CAST({sum} AS BIGINT) AS value FROM {table}");
        let mut computed = false;
        let value = self.cache.get_or_compute(table, &[table], || {
            computed = true;
            self.database.read(|conn| number(conn, &sql))
        });
        let truth = self.database.read(|conn| number(conn, &sql)).unwrap();
        let value = value.unwrap();
        assert_eq!(value, truth, "{table} is out of date");
        (value, computed)
    }

    /// The tables that have to be computed again. Each value is right in any case.
    pub(super) fn outdated(&self) -> BTreeSet<&'static str> {
        TABLES
            .into_iter()
            .filter(|table| self.get(table).1)
            .collect()
    }
}

pub(super) fn set(tables: &[&'static str]) -> BTreeSet<&'static str> {
    tables.iter().copied().collect()
}

/// SQL, and what it changes; no table means all of them.
const WRITES: &[(&str, &[&str])] = &[
    ("INSERT INTO others (id) VALUES (2)", &["others"]),
    ("UPDATE parents SET n = n + 1 WHERE id = 1", &["parents"]),
    ("UPDATE PARENTS SET n = n + 1 WHERE id = 1", &["parents"]),
    (
        "INSERT INTO others (id) VALUES (2) ON CONFLICT (id) DO UPDATE SET id = 3",
        &["others"],
    ),
    // A trigger writes the log.
    (
        "INSERT INTO parents (id, n) VALUES (50, 0)",
        &["parents", "log"],
    ),
    // A cascade takes the children.
    ("DELETE FROM parents WHERE id = 2", &["parents", "children"]),
    ("DELETE FROM children", &["children"]),
    (
        "WITH x AS (SELECT 77 AS id) INSERT INTO others (id) SELECT id FROM x",
        &["others"],
    ),
    ("ALTER TABLE others ADD COLUMN extra BIGINT", &[]),
    ("CREATE INDEX idx_others_extra ON others (extra)", &[]),
    ("CREATE TABLE another (id BIGINT)", &[]),
    ("DROP TABLE another", &[]),
];

both_engines! {
    fn every_kind_of_write_is_noticed_and_no_other_table_suffers(db: TestDb) {
        let database = open(&db);
        prepare(&database);
        let counts = Counts::of(&database);
        assert_eq!(counts.outdated().len(), 4);
        let truncate: &[(&str, &[&str])] = match db.engine() {
            Engine::Sqlite => &[],
            Engine::Postgres => &[("TRUNCATE log", &[])],
        };
        for (sql, tables) in WRITES.iter().chain(truncate) {
            assert_eq!(counts.outdated(), BTreeSet::new(), "before {sql}");
            database.write(|conn| statement(conn, sql)).unwrap();
            let all = if tables.is_empty() { TABLES.as_slice() } else { tables };
            assert_eq!(counts.outdated(), set(all), "{sql}");
        }
        // As text, and several at once.
        database
            .write(|conn| {
                execute(conn, "DELETE FROM others")?;
                execute(conn, "INSERT INTO log (id) VALUES (8)")
            })
            .unwrap();
        assert_eq!(counts.outdated(), BTreeSet::from(["log", "others"]));
        database
            .write(|conn| execute(conn, "DELETE FROM log; INSERT INTO others (id) VALUES (4)"))
            .unwrap();
        let outdated = counts.outdated();
        assert!(outdated.is_superset(&BTreeSet::from(["log", "others"])), "{outdated:?}");
    }

    fn what_is_rolled_back_changes_nothing(db: TestDb) {
        let database = open(&db);
        prepare(&database);
        let counts = Counts::of(&database);
        counts.outdated();
        let failed = database.write(|conn| {
            statement(conn, "DELETE FROM others")?;
            Err::<(), _>(Error::new(ErrorKind::Other, "no"))
        });
        failed.unwrap_err();
        assert_eq!(counts.outdated(), BTreeSet::new());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            database.write(|conn| {
                statement(conn, "DELETE FROM others")?;
                resume_unwind(Box::new("no"));
                #[expect(unreachable_code, reason = "it tells the type")]
                Ok::<_, Error>(())
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(counts.outdated(), BTreeSet::new());
        // It fails at COMMIT.
        let broken = "INSERT INTO children (id, parent_id) VALUES (99, 99)";
        database.write(|conn| statement(conn, broken)).unwrap_err();
        counts.outdated();
        database.write(|conn| statement(conn, "DELETE FROM others")).unwrap();
        assert_eq!(counts.outdated(), BTreeSet::from(["others"]));
    }

    /// Within a write nothing is taken from the cache, and nothing of it stays there.
    fn what_a_write_sees_is_nobody_elses_business(db: TestDb) {
        let database = &open(&db);
        let cache = database.query_cache(CacheOptions::new(100, LONG));
        let get = |conn: &mut db_core::Conn<'_>| {
            cache.get_or_compute("parents", &["parents"], || count(conn))
        };
        assert_eq!(database.read(get).unwrap(), 0);
        let seen = database.write(|conn| {
            insert(conn, 1)?;
            assert_eq!(get(conn)?, 1);
            Err::<(), _>(Error::new(ErrorKind::Other, "no"))
        });
        seen.unwrap_err();
        assert_eq!(database.read(get).unwrap(), 0);
        database.write(|conn| { insert(conn, 1)?; insert(conn, 2) }).unwrap();
        assert_eq!(database.read(get).unwrap(), 2);
    }

    fn many_who_wait_share_one_computation(db: TestDb) {
        const CALLERS: usize = 32;
        let database = &open(&db);
        let cache = &database.query_cache(CacheOptions::new(100, LONG));
        for round in 0..3_usize {
            let (together, computed) = (&Barrier::new(CALLERS), &AtomicUsize::new(0));
            let asked = &AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(move || {
                        together.wait();
                        asked.fetch_add(1, Ordering::SeqCst);
                        let value = cache.get_or_compute("parents", &["parents"], || {
                            computed.fetch_add(1, Ordering::SeqCst);
                            super::until("all have asked", || asked.load(Ordering::SeqCst) == CALLERS);
                            database.read(count)
                        });
                        assert_eq!(value.unwrap(), i64::try_from(round).unwrap());
                    });
                }
            });
            assert_eq!(computed.load(Ordering::SeqCst), 1);
            let id = i64::try_from(round).unwrap();
            database.write(|conn| insert(conn, id)).unwrap();
        }
        let counts = cache.counts();
        assert_eq!(counts.misses, 3, "{counts:?}");
        assert_eq!(counts.hits + counts.shared, 3 * (CALLERS as u64 - 1), "{counts:?}");
    }

    fn what_others_write_is_told_by_hand(db: TestDb) {
        let database = open(&db);
        let cache = database.query_cache(CacheOptions::new(100, LONG));
        let get = || cache.get_or_compute("parents", &["parents"], || database.read(count));
        assert_eq!(get().unwrap(), 0);
        db.connect().execute("INSERT INTO parents (id, n) VALUES (1, 0)");
        assert_eq!(get().unwrap(), 0, "nobody can know");
        database.note_changes(&["others"]);
        assert_eq!(get().unwrap(), 0, "another table is no reason");
        database.note_changes(&["Parents"]);
        assert_eq!(get().unwrap(), 1);
        db.connect().execute("INSERT INTO parents (id, n) VALUES (2, 0)");
        database.write(|conn| statement(conn, "DELETE FROM others")).unwrap();
        // On SQLite the next write notices that somebody has written.
        let noticed = i64::from(db.engine() == Engine::Sqlite);
        assert_eq!(get().unwrap(), 1 + noticed);
    }

    fn nobody_gets_a_value_from_before_his_write(db: TestDb) {
        let database = open_with(&db, |config| config.max_connections(4));
        own_writes_are_seen(&database, 100, &TransactionOptions::new());
    }
}

/// Clients that write and ask the cache, all for the same few keys.
pub(super) fn own_writes_are_seen(database: &Database, rounds: i64, options: &TransactionOptions) {
    const CLIENTS: i64 = 4;
    let cache = &database.query_cache(CacheOptions::new(100, LONG));
    database
        .write(|conn| (1..=CLIENTS).try_for_each(|id| insert(conn, id)))
        .unwrap();
    thread::scope(|scope| {
        for client in 1..=CLIENTS {
            scope.spawn(move || {
                for n in 1..=rounds {
                    let sql = format!("UPDATE parents SET n = {n} WHERE id = {client}");
                    database.write(|conn| statement(conn, &sql)).unwrap();
                    // One key for all, so that values are shared, outdated and computed again.
                    let rows = cache.get_or_compute("rows", &["parents"], || {
                        database.read_with(options, |conn| {
                            (1..=CLIENTS)
                                .map(|id| {
                                    let sql =
                                        format!("SELECT n AS value FROM parents WHERE id = {id}");
                                    number(conn, &sql)
                                })
                                .collect::<Result<Vec<_>, Error>>()
                        })
                    });
                    let own = usize::try_from(client - 1).unwrap();
                    assert_eq!(rows.unwrap()[own], n, "client {client}");
                }
            });
        }
    });
    let counts = cache.counts();
    assert!(counts.misses > 0, "{counts:?}");
}
