//! The migrator's settings, all with defaults.

use std::sync::{Arc, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{mem, thread};

use db_core::{Clock, EncryptionKey, Engine, Interrupt};

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

    /// The key of an encrypted SQLite file. The connection has it already; a rehearsal runs on a copy
    /// with the same key, which has to be opened too.
    #[must_use]
    pub fn encryption_key(mut self, key: EncryptionKey) -> Self {
        self.key = Some(key);
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

    /// Begins to read the migrations on another thread, so that the database can be opened
    /// meanwhile. What is wrong with the files is said by whatever needs them first.
    pub fn read_ahead(&self, engine: Engine) {
        let mut loaded = self.loaded();
        let Loaded::Sources(sources) = &mut *loaded else {
            return;
        };
        // Handed over once the thread is there, so that they are not lost with one that is refused.
        let (give, take) = mpsc::channel();
        let reader = thread::Builder::new()
            .name("migrations".to_owned())
            .spawn(move || MigrationSet::sketch(take.recv().unwrap_or_default(), engine));
        if let Ok(reader) = reader
            && give.send(mem::take(sources)).is_ok()
        {
            *loaded = Loaded::Reading(reader);
        }
    }

    /// Whether there is any migration for one engine.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn has_migrations(&self, engine: Engine) -> Result<bool, Error> {
        Ok(!self.load(engine)?.all().is_empty())
    }

    pub(super) fn load(&self, engine: Engine) -> Result<Arc<MigrationSet>, Error> {
        let mut loaded = self.loaded();
        let set = match mem::replace(&mut *loaded, Loaded::Sources(Vec::new())) {
            Loaded::Sources(sources) => MigrationSet::sketch(sources, engine).map(Arc::new),
            Loaded::Reading(reader) => reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .map(Arc::new),
            Loaded::Done(set) => set,
        };
        *loaded = Loaded::Done(set.clone());
        let set = set?;
        if set.engine() != engine {
            return Err(SourceError::Invalid {
                place: set.described().to_owned(),
                reason: format!(
                    "the migrations were read for {}; make another migrator for {engine}",
                    set.engine()
                ),
            }
            .into());
        }
        Ok(set)
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
