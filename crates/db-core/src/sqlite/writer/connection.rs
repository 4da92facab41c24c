//! The executor's transactions, on a SQLite connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use libsqlite3_sys as ffi;

use super::backend::{Backend, BeginError, Chores, GroupReport, Transaction, Turn, Waiting};
use super::checkpoint::{Effort, Schedule};
use super::checkpointer::{Checkpointer, Source};
use super::turnstile::{Entry, Line, Turnstile};
use super::{Observer, SnapshotHolder};
use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::sqlite::file::Pinned;
use crate::sqlite::guard::Guard;
use crate::sqlite::raw_statement::RawStatement;
use crate::sqlite::touched::Touched;
use crate::sqlite::transactional::Transactional;
use crate::sqlite::watch::{Health, Watch};
use crate::sqlite::{identity, session};

/// How long the last checkpoint waits for readers that are still there.
const CLOSING_PATIENCE: Duration = Duration::from_millis(200);

/// The one connection that writes, the turnstile before it and the checkpoints after it.
pub(super) struct SqliteBackend {
    options: SqliteOptions,
    /// None in memory.
    file: Option<Arc<Pinned>>,
    health: Arc<Health>,
    /// None after a failure that only a new connection gets over.
    lane: Option<Lane>,
    /// After the connection, whose close still calls the hook (see `watch::attach`).
    pub(super) watch: Arc<Watch>,
    touched: Arc<Touched>,
    guard: Arc<Guard>,
    clock: Arc<TableClock>,
    /// What a page takes in the log.
    frame_bytes: u64,
    pub(super) turnstile: Option<Turnstile>,
    pub(super) snapshots: Arc<dyn SnapshotHolder>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) schedule: Schedule,
    /// None where there is no log.
    pub(super) checkpointer: Option<Checkpointer>,
    /// How long the last step of a checkpoint waits for the turn.
    pub(super) turn_until: Option<Instant>,
    /// Pages in the log, for whoever asks.
    wal_pages: Arc<AtomicU32>,
    /// Rollbacks that the connection had seen when the present transaction began.
    rollbacks: u64,
    /// Whether a member has a part in the transaction, which the next one's failure must not undo.
    shared: bool,
}

/// The connection, and the statements around each member of a group.
///
/// Not Diesel's savepoints: closures see the same depth in a group and alone, and cannot release
/// this one by Diesel's own means.
struct Lane {
    // Statements before the connection: it cannot be closed while they exist.
    savepoint: RawStatement,
    release: RawStatement,
    rollback_to: RawStatement,
    connection: Transactional,
}

impl Lane {
    fn new(connection: Transactional) -> Result<Self, Error> {
        Ok(Self {
            savepoint: connection.prepare(c"SAVEPOINT bitcraps_member")?,
            release: connection.prepare(c"RELEASE bitcraps_member")?,
            rollback_to: connection.prepare(c"ROLLBACK TO bitcraps_member")?,
            connection,
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // After a panic beside a closure. Before the statements go, which are leaked otherwise.
        let _ = self.connection.returned();
    }
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
        let wal_pages = Arc::default();
        let checkpointer = file.clone().filter(|_| options.wal).map(|file| {
            Checkpointer::new(Source {
                options: options.clone(),
                file,
                health: Arc::clone(&health),
                snapshots: Arc::clone(&snapshots),
                log: Arc::clone(&wal_pages),
                remind: Box::new(|| ()),
            })
        });
        Ok(Self {
            checkpointer,
            turn_until: None,
            schedule: Schedule::new(options.checkpoint_interval, options.checkpoint_pages),
            options,
            file,
            health,
            lane: Some(Lane::new(writing.connection)?),
            watch: writing.watch,
            touched: writing.touched,
            guard: writing.guard,
            frame_bytes: writing.frame_bytes,
            clock,
            turnstile,
            snapshots,
            observer,
            wal_pages,
            rollbacks: 0,
            shared: false,
        })
    }

    /// What to call when there are chores that nobody asks for.
    pub(super) fn set_reminder(&mut self, remind: impl Fn() + Send + 'static) {
        if let Some(copier) = &mut self.checkpointer {
            copier.set_reminder(Box::new(remind));
        }
    }

    /// Where the size of the log can be read, in pages.
    pub(super) fn wal_pages(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.wal_pages)
    }

    /// Where writing processes queue; none where they do not.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.turnstile.as_ref().map(Turnstile::line)
    }

    /// The file; none in memory.
    pub(super) fn file(&self) -> Option<Arc<Pinned>> {
        self.file.clone()
    }

    /// The connection, opened again if a failure took it away.
    fn reopen(&mut self) -> Result<&mut Lane, Error> {
        if self.lane.is_none() {
            let Some(file) = &self.file else {
                return Err(Error::new(
                    ErrorKind::ConnectionLost,
                    "the database in memory went with its connection",
                ));
            };
            let writing =
                session::open_writer(&self.options, Some(file), &self.health, &self.clock)?;
            self.lane = Some(Lane::new(writing.connection)?);
            tracing::info!("the writing connection was opened again");
            self.watch = writing.watch;
            self.touched = writing.touched;
            self.guard = writing.guard;
        }
        self.lane
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "no connection"))
    }

    /// The connection, for what the writer itself does between two transactions.
    pub(super) fn writing(&mut self) -> Result<&mut SqliteConnection, Error> {
        Ok(self.reopen()?.connection.conn())
    }

    fn enter(&mut self, turn: Turn) -> Result<(), BeginError> {
        let Some(turnstile) = &mut self.turnstile else {
            return Ok(());
        };
        let entered = match turn {
            Turn::IfFree => turnstile
                .try_enter()
                .map(|entered| if entered { Entry::Inside } else { Entry::Late }),
            Turn::Wait(until) => turnstile.enter(until),
        };
        match (entered, turn) {
            (Ok(Entry::Inside), _) => Ok(()),
            (Ok(Entry::Queue), Turn::Wait(until)) => Err(BeginError::Queue(until)),
            (Ok(_), Turn::Wait(_)) if let Some(error) = turnstile.line().obstacle() => {
                Err(BeginError::Failed(error))
            }
            (Ok(_), _) => Err(BeginError::Contended),
            (Err(error), _) => {
                alone(&error);
                self.turnstile = None;
                Ok(())
            }
        }
    }

    pub(super) fn leave(&mut self) {
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
    fn open_lane(&mut self) -> &mut Lane {
        self.lane.as_mut().expect("a transaction is open")
    }

    /// The next member's foreign keys are checked at once again, whatever this one asked for.
    fn undefer(&mut self) -> Result<(), Error> {
        if self.guard.take_defers() {
            let connection = &mut self.open_lane().connection;
            connection.execute("PRAGMA defer_foreign_keys = OFF")?;
        }
        Ok(())
    }

    /// Undoes the transaction, which nobody else has a part in, and opens it anew with the same turn.
    fn begin_again(&mut self) -> Result<(), Error> {
        self.touched.rolled_back();
        self.guard.take_defers();
        self.guard.take_savepoints();
        let connection = &mut self.open_lane().connection;
        connection.rollback()?;
        connection.begin()?;
        self.rollbacks = self.watch.rollbacks();
        if let Some(lane) = &mut self.lane {
            self.touched.begin(lane.connection.conn());
        }
        Ok(())
    }

    /// The connection comes back from a closure. False if it is another one: the lane is given up, with
    /// its watch sealed and its guard closed, so that nobody commits what it had begun.
    fn taken_back(&mut self) -> bool {
        let Some(lane) = &mut self.lane else {
            return false;
        };
        let known = lane.connection.returned().is_ok();
        if known {
            // Of a failure while rows were read Diesel tells nobody (see `handle`).
            self.health.note(lane.connection.last_code());
        } else {
            self.lane = None;
        }
        known
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

    fn waiting(&self) -> Option<Arc<dyn Waiting>> {
        let line = self.line()?;
        Some(line)
    }

    fn begin(&mut self, turn: Turn) -> Result<(), BeginError> {
        let damage = self.health.damage();
        if let Some(error) = damage.or_else(|| self.reopen().err()) {
            // The turn may have come meanwhile.
            self.leave();
            return Err(BeginError::Failed(error));
        }
        self.enter(turn)?;
        self.watch.set_patience(match turn {
            Turn::IfFree => Duration::ZERO,
            Turn::Wait(until) => until.saturating_duration_since(Instant::now()),
        });
        let begun = self.reopen().and_then(|lane| lane.connection.begin());
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
        self.shared = false;
        self.guard.take_savepoints();
        self.watch.set_patience(self.options.busy_timeout);
        if let Some(lane) = &mut self.lane {
            self.touched.begin(lane.connection.conn());
        }
        self.watch.seal(true);
        Ok(())
    }

    fn conn(&mut self) -> &mut SqliteConnection {
        self.open_lane().connection.lend()
    }

    fn transaction(&mut self) -> Result<Transaction, Error> {
        if !self.taken_back() {
            return Err(identity::lost());
        }
        let connection = &mut self.open_lane().connection;
        let is_open = connection.in_transaction() && connection.depth().is_some();
        Ok(if is_open && self.watch.rollbacks() == self.rollbacks {
            Transaction::Intact
        } else {
            Transaction::Ended
        })
    }

    /// The first needs none: nobody else is there to be kept. Under a savepoint SQLite keeps all pages that
    /// change as they were, in a list in memory, and walks it at the end of each statement: a member of
    /// ten thousand statements takes minutes (`memjrnlTruncate`).
    fn savepoint(&mut self) -> Result<(), Error> {
        if !self.shared {
            return Ok(());
        }
        let lane = self.open_lane();
        lane.connection.noted(lane.savepoint.run())
    }

    fn unsatisfied(&mut self) -> Option<Error> {
        // SQLite's own words for it, at COMMIT.
        self.open_lane().connection.owes_foreign_keys().then(|| {
            let message = "FOREIGN KEY constraint failed";
            Error::from_sqlite_code(ffi::SQLITE_CONSTRAINT_FOREIGNKEY, message)
        })
    }

    fn release(&mut self) -> Result<(), Error> {
        let under_savepoint = std::mem::replace(&mut self.shared, true);
        let left = self.guard.take_savepoints();
        let lane = self.open_lane();
        lane.connection.release_nested()?;
        if under_savepoint {
            lane.connection.noted(lane.release.run())?;
        } else {
            // The next member could release them, and its own savepoint with them.
            for name in &left {
                lane.connection.release_savepoints(name);
            }
        }
        self.undefer()
    }

    fn rollback_to(&mut self) -> Result<(), Error> {
        let lane = self.open_lane();
        lane.connection.undo_nested()?;
        if !self.shared {
            return self.begin_again();
        }
        let lane = self.open_lane();
        lane.connection.noted(lane.rollback_to.run())?;
        lane.connection.noted(lane.release.run())?;
        self.undefer()
    }

    fn commit(&mut self) -> Result<(), Error> {
        if let Some(lane) = &mut self.lane {
            self.touched.before_commit(lane.connection.conn());
        }
        let released = self.open_lane().connection.release_nested();
        self.watch.seal(false);
        let committed = released.and_then(|()| self.open_lane().connection.commit());
        let Err(error) = committed else {
            self.touched.committed();
            self.schedule.committed(self.watch.wal_pages());
            if !self.keeps_turn() {
                self.leave();
            }
            return Ok(());
        };
        // Not for want of room: what was opened again might find none either.
        let broken = matches!(error.kind(), ErrorKind::Io | ErrorKind::ConnectionLost);
        let error = outcome(error);
        if error.kind() == ErrorKind::OutcomeUnknown {
            self.touched.committed();
        }
        tracing::warn!(%error, "a COMMIT failed");
        self.rollback();
        if broken && self.file.is_some() {
            self.lane = None;
        }
        Err(error)
    }

    fn rollback(&mut self) {
        if self.taken_back() {
            self.touched.rolled_back();
            self.watch.seal(false);
            if let Err(error) = self.open_lane().connection.settle() {
                tracing::warn!(%error, "a transaction could not be rolled back; its connection is closed");
                self.lane = None;
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
        self.checkpoints_due()
    }

    fn do_chores(&mut self) {
        self.checkpoint_if_due();
        self.leave();
    }

    fn close(&mut self) {
        if let Some(mut copier) = self.checkpointer.take() {
            copier.stop();
        }
        self.snapshots.release();
        self.watch.set_patience(CLOSING_PATIENCE);
        if self.file.is_some() && self.lane.is_some() {
            match self.checkpoint(Effort::Truncate) {
                Ok(complete) => {
                    if complete {
                        self.wal_pages.store(0, Ordering::Relaxed);
                    }
                }
                Err(error) => tracing::warn!(%error, "the last checkpoint failed"),
            }
            self.lane = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::transactional::execute;
    use crate::sqlite::writer::{NoObserver, NoSnapshot};

    /// The first is whoever has the transaction to itself, also after others who failed.
    #[test]
    fn the_first_member_runs_without_a_savepoint() {
        let mut backend = SqliteBackend::open(
            SqliteOptions::defaults("sqlite::memory:"),
            Arc::default(),
            Arc::new(NoSnapshot),
            Arc::new(NoObserver),
            Arc::new(TableClock::new()),
        )
        .unwrap();
        for round in 0..2 {
            backend.begin(Turn::IfFree).ok().unwrap();
            for (member, stays, savepoints) in
                [(0, false, 0), (1, true, 0), (2, true, 1), (3, false, 2)]
            {
                backend.savepoint().unwrap();
                let table = format!("CREATE TABLE t{round}{member} (id INTEGER)");
                execute(backend.conn(), &table).unwrap();
                assert_eq!(backend.transaction().unwrap(), Transaction::Intact);
                if stays {
                    backend.release().unwrap();
                } else {
                    backend.rollback_to().unwrap();
                }
                assert_eq!(backend.transaction().unwrap(), Transaction::Intact);
                let runs = backend.open_lane().savepoint.runs();
                assert_eq!(runs, 2 * round + savepoints, "member {member}");
            }
            backend.commit().unwrap();
        }
        let mut tables =
            backend.lane.as_ref().unwrap().connection.prepare(
                c"SELECT group_concat(substr(name, 2), '') FROM sqlite_schema ORDER BY name",
            );
        assert_eq!(tables.as_mut().unwrap().run().unwrap(), Some(1_021_112));
    }
}
