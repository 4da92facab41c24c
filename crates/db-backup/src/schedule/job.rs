//! What a scheduler does when its time has come.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use db_core::{Engine, Interrupt};

use crate::backup::{BackupOptions, Method, Source};
use crate::catalog::{self, Memory};
use crate::error::Error;
use crate::manifest::Kind;
use crate::prune;
use crate::retention::Policy;
use crate::series::{Series, Wanted};
use crate::shrunk::{self, Shrunk};
use crate::status;
use crate::store::Store;
use crate::verify::VerifyOptions;

/// What is known before a round, of the series that it makes. What is dated in the future is left
/// out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The moment of the newest backup that is whole and sound, whoever made it.
    pub newest: Option<DateTime<Utc>>,
    /// The same of those too that a later look has failed at: the next one is due by it, so that a backup that does not
    /// pass its trial is not made again before its time.
    pub last_made: Option<DateTime<Utc>>,
    /// The moment of the oldest one that is there.
    pub oldest: Option<DateTime<Utc>>,
    /// When the last trial restore ended.
    pub last_drill: Option<DateTime<Utc>>,
    /// How long that took.
    pub drill_took: Duration,
}

/// A restore of the newest backup on trial, for a thread of its own. It ends soon with [`Error::Interrupted`] when the
/// interrupt is set.
pub type Trial = Box<dyn FnOnce(&Interrupt) -> Result<(), Error> + Send>;

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

    /// Whether the newest backup of the series has less than half of the rows of the one before, as of
    /// the last of the calls of [`facts`](Self::facts) and [`back_up`](Self::back_up).
    fn shrunk(&self) -> Option<&Shrunk> {
        None
    }

    /// Removes what no rule keeps, and returns how many backups that were.
    ///
    /// # Errors
    /// What went wrong.
    fn prune(&mut self, interrupt: &Interrupt) -> Result<usize, Error>;

    /// What restores the newest backup on trial. It runs beside further calls of the others; the next one begins
    /// when it has ended.
    fn drill(&mut self) -> Trial;
}

/// Backups of a database in a store.
pub struct StoreJob {
    source: Source,
    store: Arc<dyn Store>,
    backup: BackupOptions,
    verify: VerifyOptions,
    policy: Policy,
    memory: Memory,
    shrunk: Option<Shrunk>,
    /// The backup that is being restored on trial: it is not pruned.
    on_trial: OnTrial,
}

impl StoreJob {
    /// Backups of this database in this store, made and restored on trial with these options. The policy says
    /// which are kept; nothing is removed by [`Policy::none`].
    #[must_use]
    pub fn new(
        source: Source,
        store: Arc<dyn Store>,
        (backup, verify): (BackupOptions, VerifyOptions),
        policy: Policy,
    ) -> Self {
        Self {
            source,
            store,
            backup,
            verify,
            policy,
            memory: Memory::default(),
            shrunk: None,
            on_trial: OnTrial::default(),
        }
    }

    /// What it makes.
    fn kind(&self) -> Kind {
        match (self.source.url.engine(), self.backup.method) {
            (Engine::Sqlite, _) => Kind::Sqlite,
            (Engine::Postgres, Method::Base) => Kind::PostgresBase,
            (Engine::Postgres, Method::Logical) => Kind::PostgresDump,
        }
    }
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
        let listing = self.memory.list(&*self.store)?;
        let now = self.verify.clock.now();
        let found = status::of(&listing, now);
        let (url, kind) = (&self.source.url, self.kind());
        self.shrunk = shrunk::newest(&listing, (url, kind), now);
        // After a change of the cluster its old series lies beside the new one.
        let own = found.of_kind(url, kind).max_by_key(|one| one.made_at);
        Ok(Facts {
            newest: own.and_then(|one| one.newest_at),
            last_made: own.and_then(|one| one.made_at),
            oldest: own.and_then(|one| one.oldest_at),
            last_drill: own.and_then(|one| one.last_drill_at),
            drill_took: Duration::from_millis(own.and_then(|one| one.rto_ms).unwrap_or(0)),
        })
    }

    fn back_up(&mut self, interrupt: &Interrupt) -> Result<String, Error> {
        let options = self.backup.clone().with_interrupt(interrupt.clone());
        let made = crate::backup::create(&self.source, &*self.store, &options, &mut |_| {});
        let name = made.map(|manifest| manifest.name)?;
        match self.memory.list(&*self.store) {
            Ok(listing) => {
                let own = (&self.source.url, self.kind());
                self.shrunk = shrunk::newest(&listing, own, self.verify.clock.now());
            }
            // It is made; the next look tells the same.
            Err(error) => tracing::warn!(%error, "it cannot be seen whether the backup has shrunk"),
        }
        Ok(name)
    }

    fn shrunk(&self) -> Option<&Shrunk> {
        self.shrunk.as_ref()
    }

    fn prune(&mut self, interrupt: &Interrupt) -> Result<usize, Error> {
        if self.policy.is_none() {
            return Ok(0);
        }
        let now = self.verify.clock.now();
        // Another database in the same store has a schedule of its own, or none.
        let (url, kind) = (&self.source.url, self.kind());
        let own = |series: &Series| series.kind == kind && series.is_of(url);
        let on_trial = self.on_trial.name();
        let rules = prune::Rules {
            policy: &self.policy,
            meant: &own,
            on_trial: on_trial.as_deref(),
        };
        let done = prune::prune_by(&*self.store, rules, now, (interrupt, &mut |_| {}))?;
        for backup in &done.unreadable {
            tracing::warn!(backup = backup.name, reason = backup.reason, "left alone");
        }
        Ok(done.removed.len())
    }

    fn drill(&mut self) -> Trial {
        let wanted = Wanted {
            databases: vec![self.source.url.clone()],
            kinds: vec![self.kind()],
            of: None,
            only_own: true,
            ..Wanted::default()
        };
        let (store, options) = (Arc::clone(&self.store), self.verify.clone());
        let on_trial = self.on_trial.clone();
        Box::new(move |interrupt| {
            let options = options.with_interrupt(interrupt.clone());
            let manifest = catalog::latest(&*store, &wanted, options.clock.now())?;
            let _kept = on_trial.set(&manifest.name);
            crate::verify::drill(&*store, &manifest, &options, &mut |_| {}).map(drop)
        })
    }
}

/// The name of the backup that is being restored on trial.
#[derive(Debug, Clone, Default)]
struct OnTrial(Arc<Mutex<Option<String>>>);

impl OnTrial {
    fn name(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Names one until what this returns is dropped.
    fn set(&self, name: &str) -> impl Drop + use<> {
        *self.lock() = Some(name.to_owned());
        Ended(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is on trial any more when it is dropped.
struct Ended(OnTrial);

impl Drop for Ended {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
