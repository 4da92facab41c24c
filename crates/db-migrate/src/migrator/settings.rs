//! The migrator's settings, all with defaults.

use std::sync::Arc;
use std::time::Duration;

use db_core::{Clock, Engine, Interrupt};

use super::{Loaded, Migrator};
use crate::catalog::Scope;
use crate::error::Error;
use crate::event::Event;
use crate::source::{MigrationSet, Source, SourceError};

impl Migrator {
    /// Adds another set, merged into one order with the others.
    #[must_use]
    pub fn and(mut self, source: Source) -> Self {
        if let Ok(Loaded::Sources(sources)) = self.sources.get_mut() {
            sources.push(source);
        }
        self
    }

    /// How long to wait for another run, and how long to try for locks on tables; 60 s.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Who is recorded in the ledger; `user@host` by default.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A handle that stops a run between and inside statements.
    #[must_use]
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// A callback for progress.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Arc::new(on_event);
        self
    }

    /// Which part of the database drift is looked for in. By default every schema of PostgreSQL.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// The migrations for one engine; read once, since Rust functions cannot be copied.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn migrations(&self, engine: Engine) -> Result<Arc<MigrationSet>, Error> {
        let set = self.load(engine)?;
        set.complete()?;
        Ok(set)
    }

    /// Reads as much of the migrations as a look at a database needs: that their folders are
    /// there, their names and what applies them. The rest is read when it is asked for.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn read(&self, engine: Engine) -> Result<(), Error> {
        self.load(engine).map(|_| ())
    }

    pub(super) fn load(&self, engine: Engine) -> Result<Arc<MigrationSet>, Error> {
        let mut loaded = self
            .sources
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *loaded {
            Loaded::Set(set) if set.engine() == engine => Ok(Arc::clone(set)),
            Loaded::Set(set) => Err(SourceError::Invalid {
                place: set.described().to_owned(),
                reason: format!(
                    "the migrations were read for {}; make another migrator for {engine}",
                    set.engine()
                ),
            }
            .into()),
            Loaded::Sources(sources) => {
                let set = Arc::new(MigrationSet::sketch(std::mem::take(sources), engine)?);
                *loaded = Loaded::Set(Arc::clone(&set));
                Ok(set)
            }
        }
    }
}
