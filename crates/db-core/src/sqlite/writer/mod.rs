//! The writer of a SQLite database: one connection, durable commits shared by whoever waits.
//!
//! [`Writer`] is the door. Behind it: `executor` decides who runs where and what shares a COMMIT,
//! `job` lends closures between threads, `connection` speaks to SQLite, `turnstile` makes processes
//! take turns, `checkpoint` keeps the log small. Figures and the shapes that were turned down are
//! in docs/adr.

mod backend;
mod boxed;
mod checkpoint;
mod connection;
mod executor;
mod job;
mod sync;
mod turnstile;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use tracing::Span;

use super::watch::Health;
use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use connection::SqliteBackend;
use executor::{Executor, Limits};

pub(crate) use backend::GroupReport;
pub(crate) use boxed::{Answer, Reply};

/// How long the writer's thread waits for more work before it lets callers write on their own
/// threads again: the time of a COMMIT, in which a caller that was answered comes back.
const LINGER: Duration = Duration::from_micros(100);

/// Whoever keeps a snapshot open for readers' sake, which the writer moves on.
pub(crate) trait SnapshotHolder: Send + Sync {
    /// After a COMMIT or a checkpoint: take the newest snapshot.
    fn advance(&self);
    /// Before a checkpoint: hold none.
    fn release(&self);
}

/// Nobody does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoSnapshot;

impl SnapshotHolder for NoSnapshot {
    fn advance(&self) {}
    fn release(&self) {}
}

/// Whoever counts. Called on the thread that wrote, between two groups, so it must be quick.
pub(crate) trait Observer: Send + Sync {
    /// A group was answered, also one that failed.
    fn group(&self, _group: &GroupReport) {}
    /// A checkpoint was made in this time.
    fn checkpoint(&self, _took: Duration) {}
}

/// Nobody does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoObserver;

impl Observer for NoObserver {}

thread_local! {
    /// The writers whose closures this thread is running.
    static RUNNING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Marks a closure of this writer as running on this thread.
struct Running;

impl Running {
    fn begin(writer: u64) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(writer));
        Self
    }

    fn is_inside(writer: u64) -> bool {
        RUNNING.with_borrow(|running| running.contains(&writer))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

/// The group-commit writer of one SQLite database.
pub(crate) struct Writer {
    id: u64,
    executor: Arc<Executor<SqliteBackend>>,
    health: Arc<Health>,
    wal_pages: Arc<AtomicU32>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the writing connection and starts the writer's thread.
    ///
    /// # Errors
    /// What opening the file says.
    pub(crate) fn open(
        options: SqliteOptions,
        health: Arc<Health>,
        snapshots: Arc<dyn SnapshotHolder>,
        observer: Arc<dyn Observer>,
        clock: Arc<TableClock>,
    ) -> Result<Self, Error> {
        static WRITERS: AtomicU64 = AtomicU64::new(0);
        let limits = Limits {
            group_size: count(options.group_size),
            group_size_async: count(options.async_group_size),
            group_age: options.group_age,
            max_pending: count(options.max_waiters),
            busy_timeout: options.busy_timeout,
            linger: LINGER,
        };
        let backend =
            SqliteBackend::open(options, Arc::clone(&health), snapshots, observer, clock)?;
        let wal_pages = backend.wal_pages();
        let executor = Arc::new(Executor::new(backend, limits));
        let served = Arc::clone(&executor);
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| served.serve())).is_err() {
                    tracing::error!("the writer's thread failed; no more writes are taken");
                    served.bury();
                }
            })
            .map_err(|e| Error::new(ErrorKind::Other, format!("cannot start a thread: {e}")))?;
        Ok(Self {
            id: WRITERS.fetch_add(1, Ordering::Relaxed),
            executor,
            health,
            wal_pages,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `closure` in a write transaction, and returns when that is committed.
    ///
    /// The closure runs once, here or on the writer's thread. Its error or panic rolls back what it
    /// did, and nothing else. The deadline is for the wait until it begins.
    ///
    /// # Errors
    /// The closure's own; or `Timeout`, `Overloaded`, `Closed`, `Nested`, `Busy`, `Corrupt`, with
    /// nothing done; `TransactionEnded` and those of COMMIT, with nothing done either;
    /// `OutcomeUnknown`.
    pub(crate) fn run<T, E>(
        &self,
        deadline: Option<Instant>,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        if Running::is_inside(self.id) {
            return Err(nested().into());
        }
        let answer = self.executor.run(deadline, dressed(self.id, closure));
        answer.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Queues `closure` for the writer's thread and returns at once; `reply` gets the answer after
    /// the COMMIT that holds it. Dropped unrun if nobody waits for the reply any more.
    pub(crate) fn submit<T, E, R>(
        &self,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        reply: R,
    ) where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        R: Reply<T, E> + 'static,
    {
        let job = boxed::Submitted::new(dressed(self.id, closure), reply);
        self.executor.submit(Box::new(job));
    }

    /// Ends the work: nothing new is taken, what is queued is done, the log goes back into the
    /// file. When the deadline passes first, what is queued is refused and what runs goes on.
    ///
    /// # Errors
    /// `Timeout`, when a write was still running; `Nested` from inside a write.
    pub(crate) fn close(&self, deadline: Option<Instant>) -> Result<(), Error> {
        if Running::is_inside(self.id) {
            return Err(nested());
        }
        self.executor.close(deadline)?;
        let thread = self.thread.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            return Err(Error::new(ErrorKind::Other, "the writer's thread failed"));
        }
        Ok(())
    }

    /// Writes that wait for their turn.
    pub(crate) fn pending(&self) -> usize {
        self.executor.pending()
    }

    /// Pages in the write-ahead log, after the last COMMIT made here.
    pub(crate) fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// Damage that was seen by any connection of this database.
    pub(crate) fn damage(&self) -> Option<Error> {
        self.health.damage()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // From inside one of its own writes nobody can wait for it; the thread ends by itself.
        let deadline = Running::is_inside(self.id).then(Instant::now);
        let closed = self.executor.close(deadline);
        let thread = self.thread.get_mut();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if closed.is_ok()
            && let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread failed");
        }
    }
}

/// The closure with its caller's span around it, on whatever thread, and the mark against writes
/// inside it.
fn dressed<F, T, E>(
    id: u64,
    closure: F,
) -> impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + use<F, T, E>
where
    F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
{
    let span = Span::current();
    move |conn| {
        let _running = Running::begin(id);
        span.in_scope(|| closure(conn))
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn nested() -> Error {
    Error::new(
        ErrorKind::Nested,
        "a write inside a write on the same database would wait for itself",
    )
    .with_hint("use the connection that the outer write was given")
}

#[cfg(test)]
mod tests;
