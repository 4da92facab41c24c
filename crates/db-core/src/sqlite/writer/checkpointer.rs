//! The thread that copies the log back into the database file while writes go on.
//!
//! Most of a checkpoint's time is the disk's. Made between two groups it holds all writers up for
//! milliseconds; made beside them it never finds the end of the log, so the log would never start
//! anew. So this thread copies what there is, and again what came meanwhile, until little is left,
//! and the writer makes a last short one itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::SqliteConnection;

use super::SnapshotHolder;
use super::checkpoint::{self, Checkpointed, Effort};
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::sqlite::file::Pinned;
use crate::sqlite::session;
use crate::sqlite::watch::Health;

/// Pages that the writer copies itself: they cost it less than a group.
const FEW: u32 = 100;

/// Rounds, after which the writer copies what is left, however much it is.
const ROUNDS: u32 = 4;

/// What the thread needs to open its connection.
pub(super) struct Source {
    pub(super) options: SqliteOptions,
    pub(super) file: Arc<Pinned>,
    pub(super) health: Arc<Health>,
    pub(super) snapshots: Arc<dyn SnapshotHolder>,
    /// Pages in the log after the last commit.
    pub(super) log: Arc<AtomicU32>,
}

/// What became of a copy.
pub(super) struct Copied {
    /// What the last round came to.
    pub(super) last: Result<Checkpointed, Error>,
    /// How long all took.
    pub(super) took: Duration,
}

impl Copied {
    /// Whether all of a log of this size is in the file.
    pub(super) fn is_complete(&self, log: u32) -> bool {
        self.last.as_ref().is_ok_and(|last| {
            last.busy == 0 && u32::try_from(last.checkpointed).is_ok_and(|pages| pages == log)
        })
    }
}

/// The thread, once it was first needed.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    source: Option<Source>,
    thread: Option<JoinHandle<()>>,
    /// Since when it works for somebody who has not fetched the outcome yet.
    busy_since: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Condvar,
    done: AtomicBool,
}

#[derive(Default)]
struct State {
    is_wanted: bool,
    is_over: bool,
    outcome: Option<Copied>,
}

impl Checkpointer {
    pub(super) fn new(source: Source) -> Self {
        Self {
            shared: Arc::default(),
            source: Some(source),
            thread: None,
            busy_since: None,
        }
    }

    /// Since when a copy goes on, or waits to be fetched.
    pub(super) const fn busy_since(&self) -> Option<Instant> {
        self.busy_since
    }

    /// Whether there is a copy to [`fetch`](Self::fetch).
    pub(super) fn is_done(&self) -> bool {
        self.shared.done.load(Ordering::Acquire)
    }

    /// Begins to copy. False when there is no thread that could.
    pub(super) fn start(&mut self) -> bool {
        if let Some(source) = self.source.take() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("db-checkpoint".to_owned())
                .spawn(move || shared.serve(&source));
            match thread {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => tracing::warn!(%error, "writes wait for checkpoints: no thread"),
            }
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return false;
        }
        self.busy_since = Some(Instant::now());
        self.shared.state().is_wanted = true;
        self.shared.wanted.notify_one();
        true
    }

    /// The outcome of the copy, once it is done.
    pub(super) fn fetch(&mut self) -> Option<Copied> {
        if !self.shared.done.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.busy_since = None;
        self.shared.state().outcome.take()
    }

    /// Ends the thread, after what it is doing, and closes its connection.
    pub(super) fn stop(&mut self) {
        self.source = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.state().is_over = true;
        self.shared.wanted.notify_one();
        if thread.join().is_err() {
            tracing::error!("the thread of the checkpoints failed");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, source: &Source) {
        let mut conn = None;
        while self.await_work() {
            let start = Instant::now();
            let last = source.copy(&mut conn);
            if last.is_err() {
                conn = None;
            }
            self.state().outcome = Some(Copied {
                last,
                took: start.elapsed(),
            });
            self.done.store(true, Ordering::Release);
        }
    }

    /// Sleeps until there is something to do; false when there never will be.
    fn await_work(&self) -> bool {
        let mut state = self.state();
        while !state.is_wanted && !state.is_over {
            state = self
                .wanted
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_wanted = false;
        !state.is_over
    }
}

impl Source {
    fn copy(&self, conn: &mut Option<SqliteConnection>) -> Result<Checkpointed, Error> {
        if conn.is_none() {
            *conn = Some(session::open_beside(
                &self.options,
                &self.file,
                &self.health,
            )?);
        }
        let conn = conn
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "no connection"))?;
        let mut left = u32::MAX;
        let mut round = 1;
        loop {
            self.snapshots.release();
            let done = checkpoint::run(conn, Effort::Passive);
            self.snapshots.advance();
            let done = done?;
            tracing::debug!(round, ?done, "checkpoint beside the writes");
            let before = std::mem::replace(&mut left, self.left(done));
            // Readers may hold it up, or writes be as fast as it is.
            if left <= FEW || left >= before / 4 * 3 || round == ROUNDS {
                return Ok(done);
            }
            round += 1;
        }
    }

    /// Pages of the log that are not in the file yet.
    fn left(&self, done: Checkpointed) -> u32 {
        let log = self.log.load(Ordering::Relaxed);
        log.saturating_sub(u32::try_from(done.checkpointed).unwrap_or(0))
    }
}
