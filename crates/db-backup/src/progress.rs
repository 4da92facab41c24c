//! How far long work has come, and whether it shall stop.

use db_core::Interrupt;

use crate::error::Error;

/// A part of a backup, a verification or a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Copying the database; pages of SQLite, bytes of PostgreSQL.
    Copy,
    /// Checking the data; steps.
    Check,
    /// Hashing the copy; bytes.
    Hash,
    /// Compressing and encrypting; bytes of the plain copy.
    Encode,
    /// Putting it into its place; bytes.
    Publish,
    /// Reading a backup back, with its hashes; bytes of the plain copy.
    Decode,
    /// Replaying PostgreSQL's log; files, of which nobody knows how many there are.
    Recover,
    /// Putting a restored database into its place; steps.
    Swap,
}

impl Phase {
    /// The word for it, in JSON too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Check => "check",
            Self::Hash => "hash",
            Self::Encode => "encode",
            Self::Publish => "publish",
            Self::Decode => "decode",
            Self::Recover => "recover",
            Self::Swap => "swap",
        }
    }
}

/// How far a phase has come. Within a phase `done` never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which phase.
    pub phase: Phase,
    /// What is done of it.
    pub done: u64,
    /// The whole, as far as it is known; it may grow.
    pub total: u64,
}

/// Whom long work tells of its progress, and who may stop it.
pub struct Watcher<'w> {
    on_progress: &'w mut dyn FnMut(Progress),
    interrupt: Interrupt,
}

impl<'w> Watcher<'w> {
    /// Tells this closure, and obeys this interrupt.
    pub fn new(on_progress: &'w mut dyn FnMut(Progress), interrupt: &Interrupt) -> Self {
        Self {
            on_progress,
            interrupt: interrupt.clone(),
        }
    }

    /// The interrupt, for a connection or a child process.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Tells how far it has come.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if it shall stop.
    pub fn at(&mut self, phase: Phase, done: u64, total: u64) -> Result<(), Error> {
        (self.on_progress)(Progress { phase, done, total });
        self.check()
    }

    /// # Errors
    /// [`Error::Interrupted`] if it shall stop.
    pub fn check(&self) -> Result<(), Error> {
        if self.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("interrupt", &self.interrupt)
            .finish_non_exhaustive()
    }
}
