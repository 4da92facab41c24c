//! What a recorder is told: OpenTelemetry's names and labels, right counts, few series, no data.

use std::time::Duration;

use db_core::{
    CacheOptions, Database, Engine, Error, ErrorKind, Pacer, RetryPolicy, TransactionOptions,
};
use db_testkit::{TestDb, both_engines};
use diesel::sql_types::{BigInt, Text};
use diesel::{RunQueryDsl, sql_query};
use metrics::Unit;

use super::recorder::{Recorded, metrics};
use super::{LONG, SCHEMA, config, count, execute, hold, insert, until};

const DURATION: &str = "db.client.operation.duration";
const OPERATION: &str = "db.operation.name";
const ERROR: &str = "error.type";

/// What every database records.
const NAMES: [&str; 11] = [
    "bitcraps.db.cache.requests",
    "bitcraps.db.retries",
    "db.client.connection.count",
    "db.client.connection.create_time",
    "db.client.connection.max",
    "db.client.connection.pending_requests",
    "db.client.connection.timeouts",
    "db.client.connection.use_time",
    "db.client.connection.wait_time",
    DURATION,
    "bitcraps.db.async.pending",
];

/// What only the writer of SQLite does.
const SQLITE_NAMES: [&str; 3] = [
    "bitcraps.db.commit.duration",
    "bitcraps.db.commit.group_size",
    "bitcraps.db.wal.size",
];

/// Does not wait between attempts.
struct AtOnce;

impl Pacer for AtOnce {
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn up_to(&self, _bound: Duration) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, _length: Duration) {}
}

/// An application's error.
#[derive(Debug)]
struct Own(String);

impl From<Error> for Own {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// A database with a name of its own, and that name.
fn open(db: &TestDb) -> (Database, String) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let config = config(db).max_connections(1).connection_timeout(LONG);
    let (config, name) = if let Some(path) = db.path() {
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("measured_{number}_");
        let path = path.with_file_name(format!("{name}.db"));
        (config.url(format!("sqlite://{}", path.display())), name)
    } else {
        let url = db.url();
        let path = url.rsplit('/').next().unwrap();
        let name = path.split('?').next().unwrap().to_owned();
        (config, name)
    };
    let database = Database::open(&config).unwrap();
    database.write(|conn| execute(conn, SCHEMA)).unwrap();
    (database, name)
}

fn is_one(value: f64) -> bool {
    (value - 1.0).abs() < f64::EPSILON
}

fn is_zero(value: f64) -> bool {
    value < f64::EPSILON
}

fn operations(recorded: &Recorded, operation: &str) -> u64 {
    recorded.count(DURATION, &[(OPERATION, operation)])
}

/// Somebody waits in vain, for the connection or for the readers' one.
fn times_out(database: &Database) {
    let short = TransactionOptions::new().connection_timeout(Duration::from_millis(20));
    let (hold, release) = hold();
    std::thread::scope(|scope| {
        let holds = scope.spawn(|| {
            database.read(|_| {
                hold.wait();
                Ok::<_, Error>(())
            })
        });
        release.await_inside();
        let late = database.read_with(&short, count).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        drop(release);
        holds.join().unwrap().unwrap();
    });
}

both_engines! {
    fn everything_is_recorded_under_its_name(db: TestDb) {
        let metrics = metrics();
        let (database, name) = open(&db);
        let before = metrics.of(&name);
        assert_eq!(operations(&before, "write"), 1);
        for id in 0..5 {
            database.write(|conn| insert(conn, id)).unwrap();
        }
        for _ in 0..7 {
            database.read(count).unwrap();
        }
        database.read_one(count).unwrap();
        // Of an error type that says nothing of the database.
        let own = database.write(|conn| insert(conn, 1).map_err(|e| Own(e.to_string())));
        assert!(!own.unwrap_err().0.is_empty());
        times_out(&database);
        let policy = RetryPolicy::new().with_pacer(AtOnce);
        let mut runs = 0;
        database
            .write_with_retry(&policy, |_| {
                runs += 1;
                match runs {
                    3 => Ok(()),
                    _ => Err(Error::new(ErrorKind::Busy, "once more")),
                }
            })
            .unwrap();
        let cache = database.query_cache(CacheOptions::new(10, LONG));
        for _ in 0..4 {
            cache.get_or_compute(1, &["parents"], || database.read(count)).unwrap();
        }
        database
            .write(|conn| cache.get_or_compute(1, &["parents"], || count(conn)))
            .unwrap();

        // Groups are counted after their callers have been answered.
        until("the last group is counted", || {
            db.engine() == Engine::Postgres
                || metrics.of(&name).count("bitcraps.db.commit.group_size", &[]) >= 8
        });
        let found = metrics.of(&name);
        let system = match db.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgresql",
        };
        assert_eq!(operations(&found, "write"), 1 + 5 + 1 + 3 + 1);
        assert_eq!(operations(&found, "read"), 7 + 1 + 2 + 1);
        let failed = |operation, kind| found.count(DURATION, &[(OPERATION, operation), (ERROR, kind)]);
        // The database's errors have their kinds, although they pass through the closure.
        assert_eq!(failed("write", "Constraint"), 1);
        // What a closure makes itself is the application's.
        assert_eq!(failed("write", "_OTHER"), 2);
        assert_eq!(failed("read", "Timeout"), 1);
        assert_eq!(found.sum("db.client.connection.timeouts", &[]), 1);
        assert_eq!(found.sum("bitcraps.db.retries", &[]), 2);
        for (outcome, times) in [("hit", 3), ("miss", 1), ("bypass", 1), ("shared", 0)] {
            let labels = [("bitcraps.db.cache.outcome", outcome)];
            assert_eq!(found.sum("bitcraps.db.cache.requests", &labels), times, "{outcome}");
        }
        let calls = match db.engine() {
            Engine::Sqlite => 7 + 1 + 1 + 1,
            // Writes, and the first connection of all, are on the same ones.
            Engine::Postgres => 1 + 1 + 5 + 7 + 1 + 1 + 1 + 3 + 1 + 1,
        };
        let pool = [("db.client.connection.pool.name", name.as_str())];
        assert!(is_one(found.last("db.client.connection.max", &pool)));
        assert_eq!(found.count("db.client.connection.wait_time", &[]), calls);
        assert_eq!(found.count("db.client.connection.use_time", &[]), calls);
        assert!(found.most("db.client.connection.use_time", &[]) >= 0.02, "one was held up");
        assert_eq!(found.count("db.client.connection.create_time", &[]), 1);
        let used = [("db.client.connection.state", "used")];
        assert!(is_one(found.most("db.client.connection.count", &used)));
        // Now that nobody does anything, the gauges say so.
        assert!(is_zero(found.last("db.client.connection.count", &used)));
        assert!(is_zero(found.last("db.client.connection.pending_requests", &[])));
        if db.engine() == Engine::Sqlite {
            // All but the failures are committed: alone, each is a group of one.
            assert!(is_one(found.most("bitcraps.db.commit.group_size", &[])));
            assert!(found.last("bitcraps.db.wal.size", &[]) >= 4_096.0);
            assert!(found.most("bitcraps.db.commit.duration", &[]) > 0.0);
        }
        let mut expected: std::collections::BTreeSet<&str> = NAMES.into();
        if db.engine() == Engine::Sqlite {
            expected.extend(SQLITE_NAMES);
        }
        let mut names = found.names();
        // Nobody was turned away, and so it depends on the series being made with the others.
        names.remove("bitcraps.db.rejected");
        if db.engine() == Engine::Postgres {
            // Their handles are made with the rest, and nothing is recorded in them.
            for name in SQLITE_NAMES {
                assert_eq!(found.count(name, &[]), 0, "{name}");
                names.remove(name);
            }
        }
        assert_eq!(names, expected);
        for (name, unit) in [
            (DURATION, Unit::Seconds),
            ("db.client.connection.wait_time", Unit::Seconds),
            ("db.client.connection.count", Unit::Count),
            ("bitcraps.db.wal.size", Unit::Bytes),
        ] {
            assert_eq!(metrics.unit(name), Some(unit), "{name}");
        }
        let systems = found.labels().into_iter().filter(|(key, _)| *key == "db.system.name");
        assert_eq!(systems.collect::<Vec<_>>(), [("db.system.name", system)]);
    }

    /// As many series after a thousand statements as after one, and no value of any of them.
    fn series_are_few_and_hold_no_data(db: TestDb) {
        const CANARY: &str = "cAnArY-51c7";
        let metrics = metrics();
        let (database, name) = open(&db);
        let round = |n: i64| {
            let text = format!("{CANARY} {n}");
            let bound = "SELECT CASE WHEN $1 = $1 THEN $2 ELSE 0 END AS value";
            let sum: i64 = database
                .read(|conn| {
                    let row: super::Number = db_core::with_conn!(conn, |c| {
                        sql_query(bound)
                            .bind::<Text, _>(&text)
                            .bind::<BigInt, _>(n)
                            .get_result(c)
                    })?;
                    Ok::<_, Error>(row.value)
                })
                .unwrap();
            assert_eq!(sum, n);
            database
                .write(|conn| execute(conn, &format!("SELEC '{CANARY} {n}'")))
                .unwrap_err();
            let kind = [ErrorKind::Closed, ErrorKind::NotFound][usize::from(n % 2 == 0)];
            let failed = database.write(|_| Err::<(), _>(Error::new(kind, CANARY)));
            assert_eq!(failed.unwrap_err().kind(), kind);
        };
        round(1);
        round(2);
        let few = metrics.of(&name).len();
        for n in 3..300 {
            round(n);
        }
        let found = metrics.of(&name);
        assert_eq!(found.len(), few);
        assert!(few <= 40, "{few} series");
        for (key, value) in found.labels() {
            assert!(!value.contains(CANARY), "{key}");
            assert!(key.starts_with("db.") || key.starts_with("bitcraps.db.") || key == ERROR, "{key}");
        }
    }
}

/// Writes that share a COMMIT are counted as one group.
#[test]
fn a_group_is_counted_with_its_size() {
    let metrics = metrics();
    let db = TestDb::sqlite();
    let (database, name) = open(&db);
    let (hold, release) = hold();
    std::thread::scope(|scope| {
        let database = &database;
        scope.spawn(move || {
            database.write(|_| {
                hold.wait();
                Ok::<_, Error>(())
            })
        });
        release.await_inside();
        for id in 0..10 {
            scope.spawn(move || database.write(|conn| insert(conn, id)).unwrap());
        }
        until("all are in the queue", || match database.stats() {
            db_core::DatabaseStats::Sqlite(stats) => stats.pending_writes == 10,
            other => panic!("{other:?}"),
        });
        drop(release);
    });
    until("the group is counted", || {
        metrics.of(&name).most("bitcraps.db.commit.group_size", &[]) >= 2.0
    });
}

#[cfg(feature = "tokio")]
both_engines! {
    fn async_calls_are_counted_as_the_others(db: TestDb) {
        let metrics = metrics();
        let (database, name) = open(&db);
        let database = db_core::AsyncDatabase::new(database);
        let of = |operation| operations(&metrics.of(&name), operation);
        let before = [of("read"), of("write")];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for id in 0..5 {
                database.write(move |conn| insert(conn, id)).await.unwrap();
                database.read(count).await.unwrap();
            }
            database.write(|conn| insert(conn, 1)).await.unwrap_err();
            // Here the writer itself refuses.
            database.close(LONG).await.unwrap();
            database.write(|conn| insert(conn, 9)).await.unwrap_err();
        });
        let found = metrics.of(&name);
        let reads = of("read") - before[0];
        let writes = of("write") - before[1];
        assert_eq!(reads, 5);
        let failed = |kind| found.count(DURATION, &[(OPERATION, "write"), (ERROR, kind)]);
        assert_eq!(failed("Constraint"), 1);
        match db.engine() {
            Engine::Sqlite => {
                assert_eq!(writes, 5 + 1 + 1);
                assert_eq!(failed("Closed"), 1);
            }
            // It was refused before it came to the database.
            Engine::Postgres => assert_eq!(writes, 5 + 1),
        }
        assert!(found.count("bitcraps.db.async.pending", &[]) > 0);
        assert!(is_zero(found.last("bitcraps.db.async.pending", &[])));
    }
}
