//! The writer's part of checkpoints, between two groups.
//!
//! The log starts anew only after all of it was copied and nobody has written meanwhile. Most is copied
//! beside the writes (see `checkpointer`); the last step, with the writes of this process and of all others
//! shut out, is made here. Other processes are shut out by the turn of the group before, which is kept until
//! the step is done.

use std::time::{Duration, Instant};

use super::backend::Chores;
use super::checkpoint::{self, Checkpointed, Effort};
use super::checkpointer::Checkpointer;
use super::connection::SqliteBackend;
use super::turnstile::Turnstile;
use crate::error::Error;

/// How long the last step waits for a COMMIT of this process. Without one it is made without the turn, and
/// comes to nothing if others write just then.
const TURN_PATIENCE: Duration = Duration::from_millis(20);

impl SqliteBackend {
    /// When there is something to do.
    pub(super) fn checkpoints_due(&self) -> Chores {
        let due = match &self.checkpointer {
            Some(copier) if copier.is_done() => Chores::Now,
            // It reminds us when it is done.
            Some(copier) if copier.is_busy() => Chores::None,
            _ => self.schedule.due(self.watch.wal_pages()),
        };
        match (due, self.turn_until) {
            (Chores::Now, Some(until)) if !self.has_turn() => Chores::At(until),
            _ => due,
        }
    }

    /// Whether the turn of the COMMIT just made is wanted for the last step of a checkpoint.
    pub(super) fn keeps_turn(&self) -> bool {
        let log = self.watch.wal_pages();
        self.is_copied()
            || self.schedule.effort(log) != Effort::Passive && self.checkpoints_due() == Chores::Now
    }

    /// Begins a checkpoint, or makes its last step.
    pub(super) fn checkpoint_if_due(&mut self) {
        let log = self.watch.wal_pages();
        let effort = self.schedule.effort(log);
        let is_last_step = self.is_copied() || effort != Effort::Passive;
        if is_last_step && !self.takes_turn() {
            return;
        }
        let mut took = Duration::ZERO;
        if let Some(copier) = &mut self.checkpointer {
            match copier.fetch() {
                Some(copied) => {
                    took = copied.took;
                    match copied.last {
                        Ok(last) if last.busy != 0 => {
                            self.schedule.postpone(log);
                            self.snapshots.advance();
                            return;
                        }
                        Ok(_) => {}
                        Err(error) => {
                            tracing::warn!(%error, "the log could not be copied beside the writes");
                        }
                    }
                }
                None if copier.is_busy() || effort == Effort::Passive && copier.start() => return,
                None => {}
            }
        }
        self.watch.set_patience(match effort {
            Effort::Passive => Duration::ZERO,
            Effort::Restart | Effort::Truncate => self.schedule.restart_patience(log),
        });
        self.snapshots.release();
        let start = Instant::now();
        match self.checkpoint(effort) {
            Ok(_) => self.observer.checkpoint(took + start.elapsed()),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; it is tried again later");
                self.schedule.done(self.watch.wal_pages(), false);
            }
        }
        self.snapshots.advance();
    }

    /// Makes a checkpoint, and gives back the turn that was kept for it. True if nothing is left of the log.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn checkpoint(&mut self, effort: Effort) -> Result<bool, Error> {
        let done = self.run_checkpoint(effort);
        // Before anything else, which may panic, a logger for one: others wait for it.
        self.leave();
        let done = done?;
        // SQLite tells no size where it could not even begin.
        let log = u32::try_from(done.log).unwrap_or_else(|_| self.watch.wal_pages());
        let complete = done.busy == 0 && done.checkpointed >= done.log;
        tracing::debug!(?effort, ?done, "checkpoint");
        if done.busy != 0 && effort == Effort::Passive {
            self.schedule.postpone(log);
        } else {
            self.schedule.done(log, complete);
        }
        Ok(complete)
    }

    fn run_checkpoint(&mut self, effort: Effort) -> Result<Checkpointed, Error> {
        checkpoint::run(self.writing()?, effort)
    }

    /// Whether there is a copy that wants its last step.
    fn is_copied(&self) -> bool {
        self.checkpointer
            .as_ref()
            .is_some_and(Checkpointer::is_done)
    }

    /// Whether no other process can write now.
    fn has_turn(&self) -> bool {
        self.turnstile.as_ref().is_none_or(Turnstile::is_inside)
    }

    /// Takes the turn if it is free, or was kept. False if it is worth waiting for a COMMIT that has it.
    fn takes_turn(&mut self) -> bool {
        let is_free = match &mut self.turnstile {
            // Whoever begins the next transaction is told of an error.
            Some(turnstile) => turnstile.try_enter().unwrap_or(true),
            None => true,
        };
        let now = Instant::now();
        if is_free || self.turn_until.is_some_and(|until| until <= now) {
            self.turn_until = None;
            return true;
        }
        self.turn_until.get_or_insert(now + TURN_PATIENCE);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::backend::{Backend as _, Transaction, Turn};
    use super::super::{NoObserver, NoSnapshot};
    use super::*;
    use crate::cache::TableClock;
    use crate::config::SqliteOptions;
    use crate::sqlite::transactional::execute;
    use crate::{Access, Connection, DatabaseUrl};

    const PAGES: u32 = 20;

    /// Long enough that a test which meets it has failed.
    const LONG: Duration = Duration::from_mins(1);

    fn backend(path: &Path) -> SqliteBackend {
        let mut options = SqliteOptions::defaults(&format!("sqlite://{}", path.display()));
        options.checkpoint_pages = PAGES;
        options.checkpoint_interval = None;
        let mut backend = SqliteBackend::open(
            options,
            Arc::default(),
            Arc::new(NoSnapshot),
            Arc::new(NoObserver),
            Arc::new(TableClock::new()),
        )
        .unwrap();
        write(&mut backend, "CREATE TABLE t (x BLOB)");
        while backend.chores() != Chores::Now {
            fill(&mut backend);
        }
        backend
    }

    fn write(backend: &mut SqliteBackend, sql: &str) {
        backend.begin(Turn::IfFree).unwrap();
        execute(backend.conn(), sql).unwrap();
        assert_eq!(backend.transaction().unwrap(), Transaction::Intact);
        backend.commit().unwrap();
    }

    fn fill(backend: &mut SqliteBackend) {
        write(backend, "INSERT INTO t VALUES (zeroblob(9000))");
    }

    /// Copies beside the writes, to the end.
    fn copy(backend: &mut SqliteBackend) {
        backend.do_chores();
        let end = Instant::now() + LONG;
        while !backend.is_copied() {
            assert!(Instant::now() < end, "the copy never ends");
            std::thread::yield_now();
        }
    }

    fn run(connection: &mut Connection, effort: Effort) -> Checkpointed {
        let crate::Conn::Sqlite(conn) = connection.conn() else {
            unreachable!();
        };
        checkpoint::run(conn, effort).unwrap()
    }

    fn free(other: &mut Turnstile) -> bool {
        let is_free = other.try_enter().unwrap();
        other.leave().unwrap();
        is_free
    }

    #[test]
    fn the_last_step_is_made_in_the_turn_of_the_commit_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("x.db");
        let mut backend = backend(&path);
        let mut other = Turnstile::open(&path).unwrap();
        assert!(free(&mut other), "kept before there was a copy");
        copy(&mut backend);
        // Another process writes: the log would not come to its end.
        assert!(other.try_enter().unwrap());
        backend.do_chores();
        assert!(backend.is_copied() && matches!(backend.chores(), Chores::At(_)));
        other.leave().unwrap();
        fill(&mut backend);
        assert!(!free(&mut other), "given back before the last step");
        assert_eq!(backend.chores(), Chores::Now);
        backend.do_chores();
        assert!(free(&mut other), "kept after the last step");
        assert_eq!(backend.chores(), Chores::None);
        fill(&mut backend);
        assert!(backend.watch.wal_pages() < PAGES);
        assert!(free(&mut other));
    }

    #[test]
    fn the_last_step_does_not_wait_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("x.db");
        let mut backend = backend(&path);
        let mut other = Turnstile::open(&path).unwrap();
        copy(&mut backend);
        assert!(other.try_enter().unwrap());
        let end = Instant::now() + LONG;
        while backend.is_copied() {
            assert!(
                Instant::now() < end,
                "it waits for a commit that never comes"
            );
            if backend.chores().are_due() {
                backend.do_chores();
            }
            std::thread::yield_now();
        }
        // Nobody has written in fact.
        assert_eq!(backend.chores(), Chores::None);
    }

    #[test]
    fn two_processes_do_not_make_one_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("x.db");
        let mut backend = backend(&path);
        let log = backend.watch.wal_pages();
        let url = DatabaseUrl::SqliteFile(path);
        let open = || Connection::open_beside(&url, Access::ReadWrite);
        let mut writing = open();
        writing.conn().batch_execute("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|scope| {
            // Once it has begun it waits for the end of that transaction.
            let other = scope.spawn(|| {
                let mut other = open();
                while run(&mut other, Effort::Restart).busy != 0 {
                    std::thread::yield_now();
                }
            });
            let mut looking = open();
            let end = Instant::now() + LONG;
            while run(&mut looking, Effort::Passive).busy == 0 {
                assert!(Instant::now() < end, "the other one does not begin");
                std::thread::yield_now();
            }
            copy(&mut backend);
            backend.do_chores();
            let copied = backend.chores();
            let ended = backend.checkpoint(Effort::Passive);
            let chores = [copied, backend.chores()];
            // Before anything fails: the other one waits for it.
            writing.conn().batch_execute("COMMIT").unwrap();
            other.join().unwrap();
            assert!(!ended.unwrap(), "there was no other one");
            assert_eq!(chores, [Chores::None; 2]);
            let again = backend.schedule.due(log + PAGES.div_ceil(4));
            assert_eq!(again, Chores::Now);
        });
    }
}
