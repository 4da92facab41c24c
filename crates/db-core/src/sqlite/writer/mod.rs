//! The writer of a SQLite database: one connection, durable commits shared by whoever waits.
//!
//! [`Writer`] is the door. Behind it: `executor` decides who runs where and what shares a COMMIT,
//! `job` lends closures between threads, `connection` speaks to SQLite, `turnstile` makes processes
//! take turns, `threads` serve and wait for these, `checkpoint`, `checkpointer` and `chores` keep the log small.
//! Figures and the shapes that were turned down are in docs/adr.

mod backend;
mod boxed;
mod checkpoint;
mod checkpointer;
mod chores;
mod connection;
mod executor;
mod job;
mod sync;
mod threads;
mod turnstile;

use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use tracing::Span;

use super::file::Pinned;
use super::watch::Health;
use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::held::{Held, Holding};
use crate::nesting::{self, Use};
use connection::SqliteBackend;
use executor::{Executor, Limits};
use threads::Threads;

pub(crate) use backend::GroupReport;
#[cfg(feature = "tokio")]
pub(crate) use boxed::Answer;
pub(crate) use boxed::Reply;

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
    /// A group was answered, also one that failed; the write-ahead log has so many bytes now.
    fn group(&self, _group: &GroupReport, _log: u64) {}
    /// A checkpoint was made in this time.
    fn checkpoint(&self, _took: Duration) {}
}

/// Nobody does.
#[cfg(test)]
pub(crate) struct NoObserver;

#[cfg(test)]
impl Observer for NoObserver {}

/// The group-commit writer of one SQLite database.
pub(crate) struct Writer {
    clock: Arc<TableClock>,
    executor: Arc<Executor<SqliteBackend>>,
    held: Arc<Held>,
    wal_pages: Arc<AtomicU32>,
    file: Option<Arc<Pinned>>,
    threads: Arc<Threads>,
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
        let limits = Limits {
            group_size: count(options.group_size),
            group_size_async: count(options.async_group_size),
            group_age: options.group_age,
            max_pending: count(options.max_waiters),
            busy_timeout: options.busy_timeout,
            linger: LINGER,
        };
        let mut backend =
            SqliteBackend::open(options, health, snapshots, observer, Arc::clone(&clock))?;
        let known = Arc::new(OnceLock::<Weak<Executor<SqliteBackend>>>::new());
        let reminded = Arc::clone(&known);
        backend.set_reminder(move || {
            if let Some(executor) = reminded.get().and_then(Weak::upgrade) {
                executor.remind();
            }
        });
        let wal_pages = backend.wal_pages();
        let file = backend.file();
        let held = Arc::new(Held::new("SQLite writer", 1));
        let line = backend.line();
        let executor = Arc::new(Executor::new(backend, limits, Arc::clone(&held)));
        // Nobody has set it before, and there are no chores before the first write.
        let _ = known.set(Arc::downgrade(&executor));
        let threads = Threads::start(&executor, line)
            .map_err(|e| Error::new(ErrorKind::Other, format!("cannot start a thread: {e}")))?;
        Ok(Self {
            clock,
            executor,
            held,
            wal_pages,
            file,
            threads,
        })
    }

    /// Runs `closure` in a write transaction, and returns when that is committed.
    ///
    /// The closure runs once, here or on the writer's thread. Its error or panic rolls back what it
    /// did, and nothing else. The deadline is for the wait until it begins. `caller` is who is named
    /// when it takes too long.
    ///
    /// # Errors
    /// The closure's own; or `Timeout`, `Overloaded`, `Closed`, `Nested`, `Busy`, `Corrupt`, with
    /// nothing done; `TransactionEnded` and those of COMMIT, with nothing done either;
    /// `OutcomeUnknown`.
    pub(crate) fn write<T, E>(
        &self,
        deadline: Option<Instant>,
        caller: &'static Location<'static>,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        nesting::check(&self.clock, Use::Write)?;
        let answer = self.executor.run(deadline, self.dressed(caller, closure));
        answer.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Queues `closure` for the writer's thread and returns at once; `reply` gets the answer after
    /// the COMMIT that holds it. Dropped unrun if nobody waits for the reply any more.
    pub(crate) fn submit<T, E, R>(
        &self,
        caller: &'static Location<'static>,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
        reply: R,
    ) where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        R: Reply<T, E> + 'static,
    {
        let job = boxed::Submitted::new(self.dressed(caller, closure), reply);
        self.executor.submit(Box::new(job));
    }

    /// Takes no more writes. What is queued is done.
    pub(crate) fn refuse(&self) {
        let closed = Error::new(ErrorKind::Closed, "the database is closed");
        self.executor.refuse(closed);
    }

    /// Ends the work: nothing new is taken, what is queued is done, the log goes back into the
    /// file. When the deadline passes first, what is queued is refused and what runs goes on.
    ///
    /// # Errors
    /// `Timeout`, when a write was still running, or waited for another process; what waited was
    /// refused, so dropping the writer waits for what runs only. `Nested` from inside a write.
    pub(crate) fn close(&self, deadline: Option<Instant>) -> Result<(), Error> {
        nesting::check_close(&self.clock)?;
        self.executor.close(deadline)?;
        if self.threads.join() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Other, "the writer's thread failed"))
        }
    }

    /// The file that is written; none in memory.
    pub(crate) fn file(&self) -> Option<Arc<Pinned>> {
        self.file.clone()
    }

    /// Writes that wait for their turn.
    pub(crate) fn pending(&self) -> usize {
        self.executor.pending()
    }

    /// Whose closure runs.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Pages in the write-ahead log, after the last COMMIT made here.
    pub(crate) fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// The closure with its caller's span around it, on whatever thread, the mark against writes
    /// inside it, and the note of who runs. One runs at a time, so one slot is enough for all.
    fn dressed<F, T, E>(
        &self,
        caller: &'static Location<'static>,
        closure: F,
    ) -> impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + use<F, T, E>
    where
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
    {
        let span = Span::current();
        let clock = Arc::clone(&self.clock);
        let held = Arc::clone(&self.held);
        move |conn| {
            let _inside = nesting::enter_write(&clock);
            let _running = Holding::take(&*held, 0, caller);
            span.in_scope(|| closure(conn))
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // From inside one of its own writes, or on the writer's thread, where closures and answers
        // that nobody waits for are dropped, nobody can wait for it; the thread ends by itself.
        let on_it = self.threads.are_current();
        let deadline = (on_it || nesting::is_in_write(&self.clock)).then(Instant::now);
        if self.executor.close(deadline).is_ok() && !on_it && !self.threads.join() {
            tracing::error!("the writer's thread failed");
        }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
