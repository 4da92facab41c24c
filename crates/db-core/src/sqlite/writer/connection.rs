//! The executor's transactions, on a SQLite connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use libsqlite3_sys as ffi;

use super::backend::{Backend, BeginError, Chores, GroupReport, Transaction, Turn};
use super::checkpoint::{self, Effort, Schedule};
use super::turnstile::Turnstile;
use super::{Observer, SnapshotHolder};
use crate::Engine;
use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::sqlite::file::Pinned;
use crate::sqlite::guard::Guard;
use crate::sqlite::session;
use crate::sqlite::touched::Touched;
use crate::sqlite::watch::{Health, Watch};

/// How long the last checkpoint waits for readers that are still there.
const CLOSING_PATIENCE: Duration = Duration::from_millis(200);

/// The one connection that writes, the turnstile before it and the checkpoints after it.
pub(super) struct SqliteBackend {
    options: SqliteOptions,
    /// None in memory.
    file: Option<Arc<Pinned>>,
    health: Arc<Health>,
    /// None after a failure that only a new connection gets over.
    conn: Option<SqliteConnection>,
    /// After the connection, whose close still calls the hook (see `watch::attach`).
    watch: Arc<Watch>,
    touched: Arc<Touched>,
    guard: Arc<Guard>,
    clock: Arc<TableClock>,
    /// What a page takes in the log.
    frame_bytes: u64,
    turnstile: Option<Turnstile>,
    snapshots: Arc<dyn SnapshotHolder>,
    observer: Arc<dyn Observer>,
    schedule: Schedule,
    /// Pages in the log, for whoever asks.
    wal_pages: Arc<AtomicU32>,
    /// Rollbacks that the connection had seen when the present transaction began.
    rollbacks: u64,
}

impl SqliteBackend {
    pub(super) fn open(
        options: SqliteOptions,
        health: Arc<Health>,
        snapshots: Arc<dyn SnapshotHolder>,
        observer: Arc<dyn Observer>,
        clock: Arc<TableClock>,
    ) -> Result<Self, Error> {
        let file = match options.url.path() {
            Some(path) => Some(Arc::new(Pinned::open_file(path, options.access())?)),
            None => None,
        };
        let writing = session::open_writer(&options, file.as_deref(), &health, &clock)?;
        let turnstile = file
            .as_ref()
            .and_then(|file| Turnstile::open(file.path()).inspect_err(alone).ok());
        Ok(Self {
            schedule: Schedule::new(options.checkpoint_interval, options.checkpoint_pages),
            options,
            file,
            health,
            conn: Some(writing.conn),
            watch: writing.watch,
            touched: writing.touched,
            guard: writing.guard,
            frame_bytes: writing.frame_bytes,
            clock,
            turnstile,
            snapshots,
            observer,
            wal_pages: Arc::default(),
            rollbacks: 0,
        })
    }

    /// Where the size of the log can be read, in pages.
    pub(super) fn wal_pages(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.wal_pages)
    }

    /// The file; none in memory.
    pub(super) fn file(&self) -> Option<Arc<Pinned>> {
        self.file.clone()
    }

    /// The connection, opened again if a failure took it away.
    fn reopen(&mut self) -> Result<&mut SqliteConnection, Error> {
        if self.conn.is_none() {
            let Some(file) = &self.file else {
                return Err(Error::new(
                    ErrorKind::ConnectionLost,
                    "the database in memory went with its connection",
                ));
            };
            let writing =
                session::open_writer(&self.options, Some(file), &self.health, &self.clock)?;
            tracing::info!("the writing connection was opened again");
            self.conn = Some(writing.conn);
            self.watch = writing.watch;
            self.touched = writing.touched;
            self.guard = writing.guard;
        }
        self.conn
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "no connection"))
    }

    fn enter(&mut self, turn: Turn) -> bool {
        let Some(turnstile) = &mut self.turnstile else {
            return true;
        };
        let entered = match turn {
            Turn::IfFree => turnstile.try_enter(),
            Turn::Wait(_) => turnstile.enter().map(|()| true),
        };
        entered.unwrap_or_else(|error| {
            alone(&error);
            self.turnstile = None;
            true
        })
    }

    fn leave(&mut self) {
        if let Some(turnstile) = &mut self.turnstile
            && let Err(error) = turnstile.leave()
        {
            // Closing the files gives the locks back for certain.
            alone(&error);
            self.turnstile = None;
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "`begin` has just opened a transaction on it, and only `rollback` takes it away"
    )]
    fn open_conn(&mut self) -> &mut SqliteConnection {
        self.conn.as_mut().expect("a transaction is open")
    }

    fn execute(&mut self, sql: &str) -> Result<(), Error> {
        session::execute(self.reopen()?, sql)
    }

    /// The next member's foreign keys are checked at once again, whatever this one asked for.
    fn undefer(&mut self) -> Result<(), Error> {
        if self.guard.take_defers() {
            self.execute("PRAGMA defer_foreign_keys = OFF")?;
        }
        Ok(())
    }

    /// Nested levels of Diesel's that a closure left open.
    fn depth(&mut self) -> Option<u32> {
        let conn = self.conn.as_mut()?;
        let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
        status.transaction_depth().ok()?.map(u32::from)
    }

    fn checkpoint(&mut self, effort: Effort) -> Result<bool, Error> {
        let done = checkpoint::run(self.reopen()?, effort)?;
        let log = u32::try_from(done.log).unwrap_or(0);
        let complete = done.busy == 0 && done.checkpointed >= done.log;
        tracing::debug!(?effort, ?done, "checkpoint");
        self.schedule.done(log, complete);
        Ok(complete)
    }
}

/// Without the turnstile SQLite's own lock still keeps writers apart.
fn alone(error: &std::io::Error) {
    tracing::warn!(
        %error,
        "the side files that make writing processes queue cannot be locked; \
         SQLite's lock alone keeps them apart, without fair turns"
    );
}

impl Backend for SqliteBackend {
    type Conn = SqliteConnection;

    fn begin(&mut self, turn: Turn) -> Result<(), BeginError> {
        if let Some(damage) = self.health.damage() {
            return Err(BeginError::Failed(damage));
        }
        self.reopen().map_err(BeginError::Failed)?;
        if !self.enter(turn) {
            return Err(BeginError::Contended);
        }
        self.watch.set_patience(match turn {
            Turn::IfFree => Duration::ZERO,
            Turn::Wait(until) => until.saturating_duration_since(Instant::now()),
        });
        let begun = self.reopen().and_then(|conn| {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
                .map_err(|e| Error::classify(Engine::Sqlite, &e))
        });
        if let Err(error) = begun {
            self.leave();
            return Err(match (error.kind(), turn) {
                (ErrorKind::Busy, Turn::IfFree) => BeginError::Contended,
                (ErrorKind::Busy, Turn::Wait(_)) => BeginError::Failed(error),
                _ => {
                    self.rollback();
                    BeginError::Failed(error)
                }
            });
        }
        self.rollbacks = self.watch.rollbacks();
        self.watch.set_patience(self.options.busy_timeout);
        if let Some(conn) = &mut self.conn {
            self.touched.begin(conn);
        }
        self.watch.seal(true);
        Ok(())
    }

    fn conn(&mut self) -> &mut SqliteConnection {
        self.guard.lent(true);
        self.open_conn()
    }

    fn transaction(&mut self) -> Transaction {
        self.guard.lent(false);
        if self.watch.rollbacks() == self.rollbacks && self.depth().is_some() {
            Transaction::Intact
        } else {
            Transaction::Ended
        }
    }

    // Not Diesel's savepoints: closures see the same depth in a group and alone, and cannot
    // release this one by Diesel's own means.
    fn savepoint(&mut self) -> Result<(), Error> {
        self.execute("SAVEPOINT bitcraps_member")
    }

    fn unsatisfied(&mut self) -> Option<Error> {
        let conn = self.conn.as_mut()?;
        // SQLite's own words for it, at COMMIT.
        self.guard.has_open_references(conn).then(|| {
            let message = "FOREIGN KEY constraint failed".to_owned();
            Error::from_sqlite_code(ffi::SQLITE_CONSTRAINT_FOREIGNKEY, message)
        })
    }

    fn release(&mut self) -> Result<(), Error> {
        while self.depth().is_some_and(|depth| depth > 1) {
            AnsiTransactionManager::commit_transaction(self.open_conn())
                .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        }
        self.execute("RELEASE bitcraps_member")?;
        self.undefer()
    }

    fn rollback_to(&mut self) -> Result<(), Error> {
        while self.depth().is_some_and(|depth| depth > 1) {
            AnsiTransactionManager::rollback_transaction(self.open_conn())
                .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        }
        self.execute("ROLLBACK TO bitcraps_member; RELEASE bitcraps_member")?;
        self.undefer()
    }

    fn commit(&mut self) -> Result<(), Error> {
        if let Some(conn) = &mut self.conn {
            self.touched.before_commit(conn);
        }
        let committed = loop {
            let last = self.depth().is_none_or(|depth| depth <= 1);
            if last {
                self.watch.seal(false);
            }
            let done = AnsiTransactionManager::commit_transaction(self.open_conn());
            if last || done.is_err() {
                break done;
            }
        };
        match committed {
            Ok(()) => {
                self.touched.committed();
                self.schedule.committed(self.watch.wal_pages());
                self.leave();
                Ok(())
            }
            Err(e) => {
                let error = Error::classify(Engine::Sqlite, &e);
                // Not for want of room: what was opened again might find none either.
                let broken = matches!(error.kind(), ErrorKind::Io | ErrorKind::ConnectionLost);
                let error = outcome(error);
                if error.kind() == ErrorKind::OutcomeUnknown {
                    self.touched.committed();
                }
                tracing::warn!(%error, "a COMMIT failed");
                self.rollback();
                if broken && self.file.is_some() {
                    self.conn = None;
                }
                Err(error)
            }
        }
    }

    fn rollback(&mut self) {
        self.guard.lent(false);
        self.touched.rolled_back();
        while self.depth().is_some() {
            let before = self.depth();
            let undone = AnsiTransactionManager::rollback_transaction(self.open_conn());
            if undone.is_err() && self.depth() == before {
                break;
            }
        }
        self.watch.seal(false);
        if let Some(conn) = &mut self.conn {
            let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
            let fit = matches!(status.transaction_depth(), Ok(None));
            if !fit {
                tracing::warn!("a transaction could not be rolled back; its connection is closed");
                self.conn = None;
            }
        }
        self.leave();
    }

    fn damage(&self) -> Option<Error> {
        self.health.damage()
    }

    fn answered(&mut self, group: &GroupReport) {
        if group.committed {
            let pages = self.watch.wal_pages();
            self.wal_pages.store(pages, Ordering::Relaxed);
            self.snapshots.advance();
        }
        let log = u64::from(self.watch.wal_pages()) * self.frame_bytes;
        self.observer.group(group, log);
    }

    fn chores(&self) -> Chores {
        self.schedule.due(self.watch.wal_pages())
    }

    fn do_chores(&mut self) {
        let log = self.watch.wal_pages();
        let effort = self.schedule.effort(log);
        self.watch.set_patience(match effort {
            Effort::Passive => Duration::ZERO,
            Effort::Restart | Effort::Truncate => self.schedule.restart_patience(log),
        });
        self.snapshots.release();
        let start = Instant::now();
        match self.checkpoint(effort) {
            Ok(_) => self.observer.checkpoint(start.elapsed()),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; it is tried again later");
                self.schedule.done(self.watch.wal_pages(), false);
            }
        }
        self.snapshots.advance();
    }

    fn close(&mut self) {
        self.snapshots.release();
        self.watch.set_patience(CLOSING_PATIENCE);
        if self.file.is_some() && self.conn.is_some() {
            match self.checkpoint(Effort::Truncate) {
                Ok(complete) => {
                    if complete {
                        self.wal_pages.store(0, Ordering::Relaxed);
                    }
                }
                Err(error) => tracing::warn!(%error, "the last checkpoint failed"),
            }
            self.conn = None;
        }
        self.turnstile = None;
    }
}

/// What a failed COMMIT means. SQLite has rolled back in its own eyes; but where writing or
/// syncing failed, the log may hold the whole transaction, and a recovery after a crash would
/// find it there. A full disk is certain: the frame that makes it valid is the last one written. But
/// it is not where that frame found room, and then the index of the log did not.
fn outcome(error: Error) -> Error {
    let indexed = error.sqlite_code() != Some(ffi::SQLITE_IOERR_SHMSIZE);
    match error.kind() {
        ErrorKind::DiskFull if indexed => error,
        ErrorKind::Io | ErrorKind::DiskFull | ErrorKind::ConnectionLost => Error::new(
            ErrorKind::OutcomeUnknown,
            format!("COMMIT failed, whether it took effect is not known: {error}"),
        )
        .with_hint("read what the write was to change, and decide"),
        _ => error,
    }
}
