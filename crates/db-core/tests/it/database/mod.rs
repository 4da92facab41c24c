//! `Database` as an application uses it: the same on both engines.

#[cfg(feature = "tokio")]
mod asynchronous;
mod cache;
mod cache_postgres;
mod calls;
mod closing;
mod condemned;
mod isolation;
mod leaks;
mod limits;
mod memory;
mod metrics;
mod nesting;
mod opening;
mod recorder;
mod retries;
mod secrets;
mod spans;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_core::{Conn, Database, DatabaseConfig, DatabaseStats, Error, with_conn};
use db_testkit::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_mins(1);

/// The tables of these tests.
const SCHEMA: &str = "
    CREATE TABLE parents (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL CHECK (n >= 0));
    CREATE TABLE children (
        id BIGINT NOT NULL PRIMARY KEY,
        parent_id BIGINT NOT NULL REFERENCES parents (id) ON DELETE CASCADE
            DEFERRABLE INITIALLY DEFERRED
    );
    CREATE TABLE others (id BIGINT NOT NULL PRIMARY KEY);";

fn config(db: &TestDb) -> DatabaseConfig {
    DatabaseConfig::new(db.url())
}

/// A database with the tables, opened with these settings.
fn open_with(db: &TestDb, set: impl FnOnce(DatabaseConfig) -> DatabaseConfig) -> Database {
    let database = Database::open(&set(config(db))).unwrap();
    database.write(|conn| execute(conn, SCHEMA)).unwrap();
    database
}

fn open(db: &TestDb) -> Database {
    open_with(db, |config| config)
}

/// Runs SQL; its error goes the way of every application's, through `?`.
fn execute(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    Ok(conn.batch_execute(sql)?)
}

/// Runs one prepared statement.
fn statement(conn: &mut Conn<'_>, sql: &str) -> Result<usize, Error> {
    Ok(with_conn!(conn, |c| sql_query(sql).execute(c))?)
}

fn insert(conn: &mut Conn<'_>, id: i64) -> Result<(), Error> {
    let sql = "INSERT INTO parents (id, n) VALUES (";
    statement(conn, &format!("{sql}{id}, 0)")).map(drop)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// `sql` must return one BIGINT called `value`.
fn number(conn: &mut Conn<'_>, sql: &str) -> Result<i64, Error> {
    let row: Number = with_conn!(conn, |c| sql_query(sql).get_result(c))?;
    Ok(row.value)
}

fn count(conn: &mut Conn<'_>) -> Result<i64, Error> {
    number(conn, "SELECT count(*) AS value FROM parents")
}

/// Connections that are held.
fn in_use(database: &Database) -> usize {
    match database.stats() {
        DatabaseStats::Sqlite(stats) => stats.readers.map_or(0, |readers| readers.in_use),
        DatabaseStats::Postgres(stats) => stats.gate.in_use,
        other => panic!("{other:?}"),
    }
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}

/// The inside of a closure that stays there until it is let go.
struct Hold {
    inside: Sender<()>,
    held: Receiver<()>,
}

/// Waits for a [`Hold`], and lets it go when it is dropped.
struct Release {
    is_inside: Receiver<()>,
    _release: Sender<()>,
}

fn hold() -> (Hold, Release) {
    let (inside, is_inside) = channel();
    let (release, held) = channel();
    let release = Release {
        is_inside,
        _release: release,
    };
    (Hold { inside, held }, release)
}

impl Hold {
    fn wait(self) {
        self.inside.send(()).unwrap();
        // The other end says nothing, it goes.
        self.held.recv().unwrap_err();
    }
}

impl Release {
    fn await_inside(&self) {
        self.is_inside.recv_timeout(LONG).unwrap();
    }
}

/// Everything that `tracing` says, at every level, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Runs `f` with this as the listener of its thread.
    fn of<T>(&self, f: impl FnOnce() -> T) -> T {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, f)
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
