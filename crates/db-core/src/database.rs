//! The database as an application sees it: closures that read, closures that write.

use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "tokio")]
use crate::asynchronous::Threads;
use crate::cache::{CacheOptions, Changed, QueryCache, TableClock};
use crate::config::{DatabaseConfig, Options};
use crate::error::{DatabaseFailure, Error, ErrorKind};
use crate::failure::{self, Failure};
#[cfg(feature = "tokio")]
use crate::held::Holder;
use crate::held::{Held, Watcher};
use crate::metrics::{DatabaseMetrics, Operation, PoolMetrics, Stopwatch};
#[cfg(feature = "tokio")]
use crate::nesting::Use;
use crate::postgres::{PostgresDatabase, PostgresStats};
use crate::retry::{RetryBudget, RetryPolicy};
#[cfg(feature = "tokio")]
use crate::sqlite::Writer;
use crate::sqlite::{GroupReport, Observer, SqliteDatabase, SqliteStats};
use crate::{Conn, DatabaseUrl, Engine, Lsn, TransactionOptions};

/// An open database. Clones share it; it is closed when the last one is dropped.
///
/// ```
/// use db_core::{Database, DatabaseConfig, Error, with_conn};
/// use diesel::prelude::*;
///
/// # fn main() -> Result<(), Error> {
/// diesel::table! { dice (id) { id -> Integer, face -> Integer } }
///
/// let database = Database::open(&DatabaseConfig::new("sqlite::memory:"))?;
/// let face = 6;
/// database.write(|conn| {
///     conn.batch_execute("CREATE TABLE dice (id INTEGER PRIMARY KEY, face INTEGER NOT NULL)")?;
///     let row = dice::face.eq(face);
///     with_conn!(conn, |c| diesel::insert_into(dice::table).values(row).execute(c))?;
///     Ok::<_, Error>(())
/// })?;
/// let faces: Vec<i32> = database.read(|conn| {
///     Ok::<_, Error>(with_conn!(conn, |c| dice::table.select(dice::face).load(c))?)
/// })?;
/// assert_eq!(faces, [6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Half,
    url: DatabaseUrl,
    clock: Arc<TableClock>,
    metrics: Arc<DatabaseMetrics>,
    budget: RetryBudget,
    limits: AsyncLimits,
    /// Transactions that failed for a reason that is the database's.
    failed: AtomicU64,
    /// Reports who holds a connection too long, if anybody is to.
    watcher: Option<Watcher>,
    /// Of all async doors together, so that they are no more than connections.
    #[cfg(feature = "tokio")]
    threads: OnceLock<Threads>,
}

/// What the async door needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsyncLimits {
    /// How long a call waits to begin.
    pub(crate) patience: Duration,
    /// Threads that run calls.
    pub(crate) threads: usize,
    /// Calls that may wait for one.
    pub(crate) waiting: usize,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them, in an `Arc`"
)]
enum Half {
    Sqlite(SqliteDatabase),
    Postgres(PostgresDatabase),
}

/// What a database is doing, for gauges and health checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DatabaseStats {
    /// SQLite's readers and writer.
    Sqlite(SqliteStats),
    /// PostgreSQL's connections.
    Postgres(PostgresStats),
}

/// Passes on what the writer of SQLite reports.
struct Groups(Arc<DatabaseMetrics>);

impl Observer for Groups {
    fn group(&self, group: &GroupReport, log: u64) {
        tracing::trace!(
            members = group.members,
            inline = group.inline,
            open_us = micros(group.open),
            commit_us = micros(group.commit),
            committed = group.committed,
            "a group of writes"
        );
        if group.committed {
            self.0.committed(group.members, group.commit, log);
        }
    }
}

impl Database {
    /// Opens the database. A SQLite file is created where there is none, unless `create_if_missing`
    /// is off; a PostgreSQL server must answer.
    ///
    /// # Errors
    /// `Configuration` for a setting that cannot be, with its name; `DatabaseMissing`; what opening the file or
    /// connecting to the server says; `UnsafeEngine`.
    #[track_caller]
    pub fn open(config: &DatabaseConfig) -> Result<Self, Error> {
        let place = Location::caller();
        let clock = Arc::new(TableClock::new());
        let options = config.options()?;
        let inner = match options {
            Options::Sqlite(options) => {
                let name = sqlite_name(&options.url);
                let metrics = Arc::new(DatabaseMetrics::new(Engine::Sqlite, name.clone()));
                let observer = Arc::new(Groups(Arc::clone(&metrics)));
                let pool = PoolMetrics::new(Engine::Sqlite, name);
                let database = SqliteDatabase::open(&options, observer, pool, &clock)?;
                Inner {
                    watcher: watcher(database.held(), options.held_threshold)?,
                    engine: Half::Sqlite(database),
                    clock,
                    #[cfg(feature = "tokio")]
                    threads: OnceLock::new(),
                    metrics,
                    budget: RetryBudget::new(),
                    failed: AtomicU64::new(0),
                    limits: AsyncLimits {
                        patience: options.acquire_timeout,
                        threads: count(options.max_readers),
                        waiting: count(options.max_waiters),
                    },
                    url: options.url,
                }
            }
            Options::Postgres(options) => {
                let name = options.url.database_name().unwrap_or_default();
                let metrics = Arc::new(DatabaseMetrics::new(Engine::Postgres, name.clone()));
                let limits = AsyncLimits {
                    patience: options.acquire_timeout,
                    threads: count(options.max_connections),
                    waiting: count(options.max_waiters),
                };
                let threshold = options.held_threshold;
                let url = options.url.clone();
                let database = PostgresDatabase::open(options, &name, &clock, place)?;
                Inner {
                    metrics,
                    budget: RetryBudget::new(),
                    failed: AtomicU64::new(0),
                    limits,
                    url,
                    watcher: watcher(database.held(), threshold)?,
                    engine: Half::Postgres(database),
                    clock,
                    #[cfg(feature = "tokio")]
                    threads: OnceLock::new(),
                }
            }
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.inner.engine {
            Half::Sqlite(_) => Engine::Sqlite,
            Half::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a closure in a read-only transaction: all of its statements see one snapshot, which
    /// holds every write that was acknowledged before.
    ///
    /// On PostgreSQL it may run on a replica that has caught up with this program's writes; what
    /// other programs wrote it may show later.
    ///
    /// # Errors
    /// The closure's own. Or, before it began, `Timeout`, `Overloaded`, `Closed`, `Nested` inside
    /// another `read` on the same thread (on PostgreSQL and in memory inside a `write` as well),
    /// and what connecting says.
    #[track_caller]
    pub fn read<T, E>(&self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.read_at(Location::caller(), &TransactionOptions::default(), f)
    }

    /// [`read`](Self::read), with options.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_with<T, E>(
        &self,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.read_at(Location::caller(), options, f)
    }

    /// [`read_with`](Self::read_with), called at this place.
    pub(crate) fn read_at<T, E>(
        &self,
        place: &'static Location<'static>,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.measured(Operation::Read, || {
            let f = |conn: &mut Conn<'_>| failure::of_caller(|| f(conn));
            match &self.inner.engine {
                Half::Sqlite(database) => database.read(options.connection_timeout, place, f),
                Half::Postgres(database) => database.read(options, place, f),
            }
        })
    }

    /// [`read`](Self::read) for a closure of one statement, which is a snapshot by itself: on
    /// PostgreSQL without BEGIN and COMMIT, one round trip instead of three.
    ///
    /// # Errors
    /// As [`read`](Self::read); on PostgreSQL `Statement` if there was more than one statement.
    #[track_caller]
    pub fn read_one<T, E>(&self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        let options = TransactionOptions::default();
        let place = Location::caller();
        self.measured(Operation::Read, || {
            let f = |conn: &mut Conn<'_>| failure::of_caller(|| f(conn));
            match &self.inner.engine {
                Half::Sqlite(database) => database.read(None, place, f),
                Half::Postgres(database) => database.read_one(&options, place, f),
            }
        })
    }

    /// Runs a closure in a transaction, once, and returns when that is committed: durably, as far
    /// as the database was opened so. Its error or panic rolls back all that it did.
    ///
    /// On SQLite it may run on another thread, which is why it must be [`Send`], and share its
    /// COMMIT with others.
    ///
    /// # Errors
    /// The closure's own. Or `Timeout`, `Overloaded`, `Closed`, `Nested`, and what connecting says,
    /// before it began; `TransactionEnded` and those of COMMIT, with nothing done;
    /// `OutcomeUnknown` if nobody can tell whether it was committed.
    #[track_caller]
    pub fn write<T, E>(&self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.write_at(Location::caller(), &TransactionOptions::default(), f)
    }

    /// [`write`](Self::write), with options.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_with<T, E>(
        &self,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.write_at(Location::caller(), options, f)
    }

    /// [`write_with`](Self::write_with), called at this place.
    pub(crate) fn write_at<T, E>(
        &self,
        place: &'static Location<'static>,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.measured(Operation::Write, || {
            let f = |conn: &mut Conn<'_>| failure::of_caller(|| f(conn));
            match &self.inner.engine {
                Half::Sqlite(database) => database.write(options.connection_timeout, place, f),
                Half::Postgres(database) => database.write(options, place, f),
            }
        })
    }

    /// [`write`](Self::write), run again from its start when the engine says that this may help,
    /// as often as the policy and the retry budget of this database allow.
    ///
    /// # Errors
    /// Those of the last attempt.
    #[track_caller]
    pub fn write_with_retry<T, E>(
        &self,
        policy: &RetryPolicy,
        mut f: impl FnMut(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + DatabaseFailure + Send,
    {
        let place = Location::caller();
        let options = TransactionOptions::default();
        let mut first = true;
        policy.run(&self.inner.budget, || {
            if !std::mem::take(&mut first) {
                self.inner.metrics.retried();
            }
            self.write_at(place, &options, &mut f)
        })
    }

    /// A cache of query results that knows which tables the writes through this database touch.
    #[must_use]
    pub fn query_cache<K, V>(&self, options: CacheOptions<K, V>) -> QueryCache<K, V>
    where
        K: Hash + Eq + Clone,
        V: Clone,
    {
        let metrics = Arc::clone(&self.inner.metrics);
        QueryCache::new(
            Arc::clone(&self.inner.clock),
            options,
            Box::new(Instant::now),
            move |way| metrics.cached(way),
        )
    }

    /// Tells the caches that somebody else has changed these tables.
    pub fn note_changes(&self, tables: &[&str]) {
        self.inner.clock.changed(Changed::Tables(tables));
    }

    /// The place in PostgreSQL's log that a replica must have replayed to show all that this
    /// program has written; hand it to another process as
    /// [`Freshness::After`](crate::Freshness::After). None on SQLite, without replicas, or when it
    /// cannot be told.
    #[must_use]
    pub fn last_written(&self) -> Option<Lsn> {
        match &self.inner.engine {
            Half::Sqlite(_) => None,
            Half::Postgres(database) => database.last_written(),
        }
    }

    /// What it is doing at this moment.
    #[must_use]
    pub fn stats(&self) -> DatabaseStats {
        match &self.inner.engine {
            Half::Sqlite(database) => DatabaseStats::Sqlite(database.stats()),
            Half::Postgres(database) => DatabaseStats::Postgres(database.stats()),
        }
    }

    /// Reads and writes that failed since it was opened for a reason that is the database's: not a
    /// constraint, a value or a row that is missing, which are answers to what was asked.
    #[must_use]
    pub fn failed_transactions(&self) -> u64 {
        self.inner.failed.load(Ordering::Relaxed)
    }

    /// Ends the work: nothing new is taken, what runs may end within `patience`, SQLite's log goes
    /// back into the file. Closing what is closed is no error.
    ///
    /// # Errors
    /// `Timeout` when something was still running: on SQLite it ends by itself, on PostgreSQL the
    /// server is asked to end it. `Nested` inside a read or write of this database.
    pub fn close(&self, patience: Duration) -> Result<(), Error> {
        match &self.inner.engine {
            Half::Sqlite(database) => database.close(patience),
            Half::Postgres(database) => database.close(patience),
        }?;
        if let Some(watcher) = &self.inner.watcher {
            watcher.stop();
        }
        Ok(())
    }

    /// Who has held longest what is needed for this.
    #[cfg(feature = "tokio")]
    pub(crate) fn oldest(&self, what: Use) -> Option<Holder> {
        match &self.inner.engine {
            Half::Sqlite(database) => database.oldest(what),
            Half::Postgres(database) => database.oldest(),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn limits(&self) -> AsyncLimits {
        self.inner.limits
    }

    /// The threads that run async callers' closures.
    #[cfg(feature = "tokio")]
    pub(crate) fn threads(&self) -> &Threads {
        let limits = self.inner.limits;
        self.inner
            .threads
            .get_or_init(|| Threads::new(limits.threads, limits.waiting))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn budget(&self) -> &RetryBudget {
        &self.inner.budget
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn metrics(&self) -> &DatabaseMetrics {
        &self.inner.metrics
    }

    /// The writer that takes writes without a thread that waits, on a SQLite file.
    #[cfg(feature = "tokio")]
    pub(crate) fn queue(&self) -> Option<&Writer> {
        match &self.inner.engine {
            Half::Sqlite(database) => database.writer(),
            Half::Postgres(_) => None,
        }
    }

    /// Runs a transaction in a span of its own, with its time taken.
    fn measured<T, E: From<Error>>(
        &self,
        operation: Operation,
        run: impl FnOnce() -> Result<T, Failure<E>>,
    ) -> Result<T, E> {
        let since = Stopwatch::start();
        let span = operation.span(self.engine());
        let result = span.in_scope(run);
        self.count(operation, since, result)
    }

    /// As `measured`, for a call that waits without a thread.
    #[cfg(feature = "tokio")]
    pub(crate) async fn measured_async<T, E: From<Error>>(
        &self,
        operation: Operation,
        run: impl Future<Output = Result<T, Failure<E>>>,
    ) -> Result<T, E> {
        let since = Stopwatch::start();
        let span = operation.span(self.engine());
        let mut run = std::pin::pin!(run);
        let result =
            std::future::poll_fn(|context| span.in_scope(|| run.as_mut().poll(context))).await;
        self.count(operation, since, result)
    }

    fn count<T, E: From<Error>>(
        &self,
        operation: Operation,
        since: Stopwatch,
        result: Result<T, Failure<E>>,
    ) -> Result<T, E> {
        let metrics = &self.inner.metrics;
        match result {
            Ok(value) => {
                metrics.succeeded(operation, since);
                Ok(value)
            }
            Err(Failure::Ours(error)) => {
                self.note_failure(Some(error.kind()));
                metrics.failed(operation, Some(error.kind()), since);
                Err(error.into())
            }
            Err(Failure::Callers(error, met)) => {
                self.note_failure(met);
                metrics.failed(operation, met, since);
                Err(error)
            }
        }
    }

    fn note_failure(&self, kind: Option<ErrorKind>) {
        let is_answer = |kind| {
            matches!(
                kind,
                ErrorKind::Constraint
                    | ErrorKind::NotFound
                    | ErrorKind::InvalidValue
                    | ErrorKind::Cancelled
                    | ErrorKind::Nested
                    | ErrorKind::Closed
            )
        };
        if kind.is_some_and(|kind| !is_answer(kind)) {
            self.inner.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Shows no password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &format_args!("{}", self.inner.url))
            .finish_non_exhaustive()
    }
}

/// The name of the file without folder and ending, or that of a database in memory.
fn sqlite_name(url: &DatabaseUrl) -> Cow<'static, str> {
    match url.path().and_then(std::path::Path::file_stem) {
        Some(name) => name.to_string_lossy().into_owned().into(),
        None => ":memory:".into(),
    }
}

/// Watches over these connections, if what is held too long is to be reported.
fn watcher<'h>(
    held: impl Iterator<Item = &'h Arc<Held>>,
    threshold: Option<Duration>,
) -> Result<Option<Watcher>, Error> {
    let start = |threshold| Watcher::start(held.cloned().collect(), threshold);
    threshold.map(start).transpose()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
