//! The thread that copies the log back into the database file while writes go on.
//!
//! Most of a checkpoint's time is the disk's. Made between two groups it holds all writers up for
//! milliseconds; made beside them it never finds the end of the log, so the log would never start
//! anew. So this thread copies what there is, and again what came meanwhile, until little is left,
//! and the writer makes the last one itself. That one waits until the database file is on the disk,
//! which SQLite asks for only at the end of the log: so each copy here is synced, too.

use std::panic::{AssertUnwindSafe, catch_unwind};
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
use crate::sqlite::flush::flush;
use crate::sqlite::session;
use crate::sqlite::watch::Health;

/// Pages that are left to the writer: to copy them takes it less than the sync that follows.
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
    /// Told when a copy is done.
    pub(super) remind: Box<dyn Fn() + Send>,
}

/// What became of a copy.
pub(super) struct Copied {
    /// What the last round came to.
    pub(super) last: Result<Checkpointed, Error>,
    /// How long all took.
    pub(super) took: Duration,
}

/// The thread, once it was first needed.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    source: Option<Source>,
    thread: Option<JoinHandle<()>>,
    /// Whether a copy goes on, or waits to be fetched.
    is_busy: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Condvar,
    done: AtomicBool,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    is_wanted: bool,
    outcome: Option<Copied>,
}

impl Checkpointer {
    pub(super) fn new(source: Source) -> Self {
        Self {
            shared: Arc::default(),
            source: Some(source),
            thread: None,
            is_busy: false,
        }
    }

    /// What to call when a copy is done; before the first one begins.
    pub(super) fn set_reminder(&mut self, remind: Box<dyn Fn() + Send>) {
        if let Some(source) = &mut self.source {
            source.remind = remind;
        }
    }

    /// Whether a copy goes on, or waits to be fetched.
    pub(super) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether there is a copy to [`fetch`](Self::fetch).
    pub(super) fn is_done(&self) -> bool {
        self.shared.done.load(Ordering::Acquire)
    }

    /// Begins to copy. False when there is no thread that could.
    pub(super) fn start(&mut self) -> bool {
        if let Some(source) = self.source.take() {
            let shared = Arc::clone(&self.shared);
            // Who listens to the thread that writes hears of this one, too.
            let listener = tracing::dispatcher::get_default(Clone::clone);
            let thread = std::thread::Builder::new()
                .name("db-checkpoint".to_owned())
                .spawn(move || {
                    tracing::dispatcher::with_default(&listener, || shared.serve(&source));
                });
            match thread {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => tracing::warn!(%error, "writes wait for checkpoints: no thread"),
            }
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return false;
        }
        self.is_busy = true;
        self.shared.state().is_wanted = true;
        self.shared.wanted.notify_one();
        true
    }

    /// The outcome of the copy, once it is done.
    pub(super) fn fetch(&mut self) -> Option<Copied> {
        if !self.shared.done.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.is_busy = false;
        self.shared.state().outcome.take()
    }

    /// Ends the thread, after what it is doing, and closes its connection.
    pub(super) fn stop(&mut self) {
        self.source = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.over.store(true, Ordering::Relaxed);
        // Under the lock, so that the thread does not miss it on its way to sleep.
        drop(self.shared.state());
        self.shared.wanted.notify_one();
        // The thread itself may be the last to know the writer, while it reminds it.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
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
            // A logger that panics must not keep the writer waiting for ever.
            let copied = catch_unwind(AssertUnwindSafe(|| source.copy(&mut conn, &self.over)));
            let last = copied.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Other,
                    "the thread of the checkpoints panicked",
                ))
            });
            if last.is_err() {
                conn = None;
            }
            self.state().outcome = Some(Copied {
                last,
                took: start.elapsed(),
            });
            self.done.store(true, Ordering::Release);
            (source.remind)();
        }
    }

    /// Sleeps until there is something to do; false when there never will be.
    fn await_work(&self) -> bool {
        let mut state = self.state();
        while !state.is_wanted && !self.over.load(Ordering::Relaxed) {
            state = self
                .wanted
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_wanted = false;
        !self.over.load(Ordering::Relaxed)
    }
}

impl Source {
    fn copy(
        &self,
        conn: &mut Option<SqliteConnection>,
        over: &AtomicBool,
    ) -> Result<Checkpointed, Error> {
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
            let done = checkpoint::run(conn, Effort::Passive)?;
            tracing::debug!(round, ?done, "checkpoint beside the writes");
            if done.busy != 0 {
                return Ok(done);
            }
            flush(conn)?;
            let before = std::mem::replace(&mut left, self.left(done));
            // Readers may hold it up, or writes be as fast as it is.
            let enough = left <= FEW || left >= before / 4 * 3 || round == ROUNDS;
            if enough || over.load(Ordering::Relaxed) {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::super::NoSnapshot;
    use super::*;
    use crate::{Access, Connection, DatabaseUrl};

    const PATIENCE: Duration = Duration::from_mins(1);

    #[test]
    fn it_copies_all_and_tells_what_keeps_it_from_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let url = DatabaseUrl::SqliteFile(path.clone());
        let mut connection = Connection::open_beside(&url, Access::Create);
        let mut conn = connection.conn();
        let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)";
        conn.batch_execute(sql).unwrap();
        let file = Arc::new(Pinned::open_file(&path, Access::ReadWrite).unwrap());
        let (done, is_done) = channel();
        let mut copier = Checkpointer::new(Source {
            options: SqliteOptions::defaults(&url.to_string()),
            file: Arc::clone(&file),
            health: Arc::default(),
            snapshots: Arc::new(NoSnapshot),
            log: Arc::default(),
            remind: Box::new(|| ()),
        });
        copier.set_reminder(Box::new(move || done.send(()).unwrap()));
        let mut copy = || {
            assert!(!copier.is_busy() && copier.fetch().is_none());
            assert!(copier.start() && copier.is_busy());
            is_done.recv_timeout(PATIENCE).unwrap();
            assert!(copier.is_done());
            copier.fetch().unwrap().last
        };
        for _ in 0..2 {
            let done = copy().unwrap();
            assert!(done.log > 0 && done.checkpointed == done.log, "{done:?}");
            conn.batch_execute("INSERT INTO t VALUES (1)").unwrap();
        }
        // A file that is gone, to a thread that has to open it.
        let moved = folder.path().join("moved.db");
        std::fs::rename(&path, &moved).unwrap();
        let mut late = Checkpointer::new(Source {
            options: SqliteOptions::defaults(&url.to_string()),
            file,
            health: Arc::default(),
            snapshots: Arc::new(NoSnapshot),
            log: Arc::default(),
            remind: Box::new(|| ()),
        });
        assert!(late.start());
        let start = Instant::now();
        let copied = loop {
            if let Some(copied) = late.fetch() {
                break copied;
            }
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        };
        assert_eq!(copied.last.unwrap_err().kind(), ErrorKind::CannotOpen);
        late.stop();
        assert!(!late.start());
    }
}
