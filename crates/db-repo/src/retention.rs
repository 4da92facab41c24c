//! What is old goes: in short writes, now or from time to time.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::TimeDelta;
use db_core::{Clock, Database, ErrorKind, RetryPolicy};
use db_schema::types::UtcTime;

use crate::{
    MetricsRepository, NotificationRepository, OutboxRepository, Result, UsageSnapshotRepository,
    check,
};

/// Rows of one write by default: milliseconds, so that others hardly wait.
const BATCH: i64 = 1_000;

/// The shortest rest between two runs.
const LEAST: Duration = Duration::from_millis(1);

/// What is let go when it is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained {
    /// Snapshots of usage.
    UsageSnapshots,
    /// Samples of the health of the system.
    Metrics,
    /// Entries of the outbox that were delivered, by when they were added. Those that wait, and those
    /// that were given up, stay.
    DeliveredOutbox,
    /// Messages to players, read or not.
    Notifications,
}

/// Removes what is older than it is to be kept.
///
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use db_core::{Database, SystemClock};
/// # use db_repo::{Retained, RetentionTask};
/// # fn run(database: Database) -> Result<(), db_repo::Error> {
/// let task = RetentionTask::new(database, Arc::new(SystemClock))
///     .keep(Retained::Metrics, Duration::from_hours(7 * 24))
///     .keep(Retained::DeliveredOutbox, Duration::from_hours(7 * 24))
///     .keep(Retained::Notifications, Duration::from_hours(365 * 24));
/// let running = task.start(Duration::from_hours(1))?;
/// // Until the program ends:
/// running.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RetentionTask {
    database: Database,
    clock: Arc<dyn Clock>,
    rules: Vec<(Retained, Duration)>,
    batch: i64,
}

impl fmt::Debug for RetentionTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetentionTask")
            .field("rules", &self.rules)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl RetentionTask {
    /// Keeps snapshots of usage and samples for 30 days, and removes 1,000 rows in a write. Delivered
    /// entries of the outbox and messages are kept for ever unless [`keep`](Self::keep) says how long.
    #[must_use]
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            clock,
            rules: vec![
                (Retained::UsageSnapshots, UsageSnapshotRepository::KEEP),
                (Retained::Metrics, UsageSnapshotRepository::KEEP),
            ],
            batch: BATCH,
        }
    }

    /// Keeps these for so long.
    #[must_use]
    pub fn keep(mut self, what: Retained, how_long: Duration) -> Self {
        self.rules.retain(|(other, _)| *other != what);
        self.rules.push((what, how_long));
        self
    }

    /// Keeps these for ever.
    #[must_use]
    pub fn keep_all(mut self, what: Retained) -> Self {
        self.rules.retain(|(other, _)| *other != what);
        self
    }

    /// Removes at most so many rows in a write.
    #[must_use]
    pub const fn with_batch(mut self, rows: i64) -> Self {
        self.batch = rows;
        self
    }

    /// Removes what is old now; how many rows.
    ///
    /// # Errors
    /// `Invalid` for a batch of less than one row, `Database`: the first of them, after all kinds
    /// were tried. What was removed stays so.
    pub fn run(&self) -> Result<usize> {
        self.run_until(|| false)
    }

    /// Removes what is old on a thread: at once, and again after each `interval`, whose end begins
    /// with the end of the run before. A run that fails is reported, and the next one tries again.
    ///
    /// # Errors
    /// `Invalid` for a batch of less than one row, `Database` when no thread can be started.
    pub fn start(self, interval: Duration) -> Result<RunningRetention> {
        self.check()?;
        let (end, ended) = mpsc::channel();
        // What it reports goes to whoever listens where it is started.
        let listener = tracing::dispatcher::get_default(Clone::clone);
        let thread = thread::Builder::new()
            .name("db-retention".to_owned())
            .spawn(move || {
                tracing::dispatcher::with_default(&listener, || self.repeat(interval, &ended));
            })
            .map_err(|error| {
                db_core::Error::new(ErrorKind::Other, format!("cannot start a thread: {error}"))
            })?;
        Ok(RunningRetention(Some((end, thread))))
    }

    fn repeat(&self, interval: Duration, ended: &Receiver<()>) {
        let is_stopped = || ended.try_recv() == Err(TryRecvError::Disconnected);
        loop {
            match self.run_until(is_stopped) {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "removed what was old"),
                Err(error) => tracing::warn!(%error, "could not remove what is old"),
            }
            if ended.recv_timeout(interval.max(LEAST)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn run_until(&self, is_stopped: impl Fn() -> bool) -> Result<usize> {
        self.check()?;
        let now = self.clock.now();
        let mut removed = 0;
        let mut failed = None;
        for (what, keep) in &self.rules {
            // Longer than there are dates: nothing is that old.
            let before = TimeDelta::from_std(*keep)
                .ok()
                .and_then(|keep| now.checked_sub_signed(keep));
            let Some(before) = before else {
                continue;
            };
            let before = UtcTime::from(before).max(UtcTime::FIRST);
            // What cannot be removed of one kind is no reason to keep the others.
            match self.remove_all(*what, before, &is_stopped) {
                Ok(rows) => removed += rows,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    /// All of one kind, in short writes, until it is stopped.
    fn remove_all(
        &self,
        what: Retained,
        before: UtcTime,
        is_stopped: impl Fn() -> bool,
    ) -> Result<usize> {
        let mut removed = 0;
        while !is_stopped() {
            let rows = self.remove(what, before)?;
            removed += rows;
            if i64::try_from(rows).is_ok_and(|rows| rows < self.batch) {
                break;
            }
        }
        Ok(removed)
    }

    /// One short write.
    fn remove(&self, what: Retained, before: UtcTime) -> Result<usize> {
        self.database
            .write_with_retry(&RetryPolicy::default(), |conn| match what {
                Retained::UsageSnapshots => {
                    UsageSnapshotRepository::delete_older_than(conn, before, self.batch)
                }
                Retained::Metrics => MetricsRepository::delete_older_than(conn, before, self.batch),
                Retained::DeliveredOutbox => {
                    OutboxRepository::delete_older_than(conn, before, self.batch)
                }
                Retained::Notifications => {
                    NotificationRepository::delete_older_than(conn, before, self.batch)
                }
            })
    }

    fn check(&self) -> Result<()> {
        check::within("batch", self.batch, 1..=i64::MAX)
    }
}

/// A [`RetentionTask`] on its thread, which ends when this is stopped or dropped.
#[derive(Debug)]
#[must_use = "what is dropped is stopped"]
pub struct RunningRetention(Option<(Sender<()>, JoinHandle<()>)>);

impl RunningRetention {
    /// Ends it: at once while it rests, otherwise after the write that it is in.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some((end, thread)) = self.0.take() else {
            return;
        };
        drop(end);
        if thread.join().is_err() {
            tracing::error!("the thread that removes what is old has panicked");
        }
    }
}

impl Drop for RunningRetention {
    fn drop(&mut self) {
        self.end();
    }
}
