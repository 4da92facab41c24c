//! What a scheduler does when its time has come.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use db_core::Interrupt;

use crate::backup::{BackupOptions, Source};
use crate::catalog::{self, Selector};
use crate::error::Error;
use crate::prune;
use crate::retention::Policy;
use crate::status::status;
use crate::store::Store;
use crate::verify::VerifyOptions;

/// What is known before a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The moment of the newest backup, whoever made it.
    pub newest: Option<DateTime<Utc>>,
    /// When the last trial restore ended.
    pub last_drill: Option<DateTime<Utc>>,
}

/// The parts of a round. Each ends soon with [`Error::Interrupted`] when the interrupt is set.
pub trait Job: Send {
    /// What there is.
    ///
    /// # Errors
    /// What keeps the store from being read.
    fn facts(&mut self) -> Result<Facts, Error>;

    /// Makes a backup and returns its name.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody else is at work, which is no failure; else what went wrong.
    fn back_up(&mut self, interrupt: &Interrupt) -> Result<String, Error>;

    /// Removes what no rule keeps, and returns how many backups that were.
    ///
    /// # Errors
    /// What went wrong.
    fn prune(&mut self, interrupt: &Interrupt) -> Result<usize, Error>;

    /// Restores the newest backup on trial.
    ///
    /// # Errors
    /// What went wrong.
    fn drill(&mut self, interrupt: &Interrupt) -> Result<(), Error>;
}

/// Backups of a database in a store.
pub struct StoreJob {
    /// The database.
    pub source: Source,
    /// Where backups are kept.
    pub store: Arc<dyn Store>,
    /// How they are made.
    pub backup: BackupOptions,
    /// How they are restored on trial.
    pub verify: VerifyOptions,
    /// Which are kept; nothing is removed by [`Policy::none`].
    pub policy: Policy,
}

impl fmt::Debug for StoreJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreJob")
            .field("store", &self.store)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Job for StoreJob {
    fn facts(&mut self) -> Result<Facts, Error> {
        let found = status(&*self.store, self.verify.clock.now())?;
        Ok(Facts {
            newest: found.newest_at,
            last_drill: found.last_drill_at,
        })
    }

    fn back_up(&mut self, interrupt: &Interrupt) -> Result<String, Error> {
        let options = BackupOptions {
            interrupt: interrupt.clone(),
            ..self.backup.clone()
        };
        let made = crate::backup::create(&self.source, &*self.store, &options, &mut |_| {});
        made.map(|manifest| manifest.name)
    }

    fn prune(&mut self, interrupt: &Interrupt) -> Result<usize, Error> {
        if self.policy.is_none() {
            return Ok(0);
        }
        let now = self.verify.clock.now();
        let done = prune::prune(&*self.store, &self.policy, now, (interrupt, &mut |_| {}))?;
        for backup in &done.unreadable {
            tracing::warn!(backup = backup.name, reason = backup.reason, "left alone");
        }
        Ok(done.removed.len())
    }

    fn drill(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let manifest = catalog::find(&*self.store, Selector::Latest)?;
        let options = VerifyOptions {
            interrupt: interrupt.clone(),
            ..self.verify.clone()
        };
        crate::verify::drill(&*self.store, &manifest, &options, &mut |_| {}).map(drop)
    }
}
