//! Looks once, at all or some of it.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use db_core::{Clock, Conn, Interrupt, SystemClock};
use db_migrate::Migrator;
use serde::{Deserialize, Serialize};

use super::checks::{self, Check};
use super::look::{Eyes, Look, Memory};
use super::query::Trouble;
use super::{
    BoxError, CheckResult, Cost, HealthLimits, HealthReport, State, Target, Verdict, metrics,
};

/// How old backups are: what a store of backups tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupAges {
    /// The moment of the last complete backup's snapshot.
    pub last_backup: Option<DateTime<Utc>>,
    /// When a backup was last restored and verified.
    pub last_verified_restore: Option<DateTime<Utc>>,
    /// Backups that failed since the last that did not.
    pub failures: u64,
}

impl BackupAges {
    /// What a store tells: its newest complete backup and its newest drill. It reads every
    /// manifest, so a monitor of a bucket better keeps the answer for some minutes. How many
    /// backups failed it cannot know.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(store: &dyn crate::Store) -> Result<Self, crate::Error> {
        let backups = crate::list(store)?.backups;
        let complete = || backups.iter().filter(|backup| backup.is_complete());
        let manifests = complete().filter_map(|backup| backup.manifest.as_ref().ok());
        let drills = complete().filter_map(|backup| backup.verification.as_ref());
        Ok(Self {
            last_backup: manifests.map(|manifest| manifest.started_at).max(),
            last_verified_restore: drills.map(|drill| drill.at).max(),
            failures: 0,
        })
    }
}

/// Which checks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those that take milliseconds.
    Cheap,
    /// Those that read the data.
    Expensive,
    /// All.
    All,
    /// These, and whether the database can be reached at all.
    Named(Vec<String>),
}

impl Selection {
    fn takes(&self, name: &str, cost: Cost) -> bool {
        match self {
            Self::Cheap => cost == Cost::Cheap,
            // What they meet is damage too.
            Self::Expensive => cost == Cost::Expensive || name == checks::DAMAGE.name,
            Self::All => true,
            Self::Named(names) => {
                name == checks::CONNECTIVITY || names.iter().any(|wanted| wanted == name)
            }
        }
    }
}

/// Asks a database of ours.
type Ask = dyn Fn(&mut Conn<'_>, &HealthLimits) -> Result<Verdict, BoxError> + Send + Sync;
type Ages = dyn Fn() -> Result<BackupAges, BoxError> + Send + Sync;

struct Custom {
    name: Cow<'static, str>,
    cost: Cost,
    ask: Box<Ask>,
}

/// Looks at a database, once for each [`examine`](Self::examine).
pub struct Examiner {
    target: Target,
    limits: HealthLimits,
    clock: Arc<dyn Clock>,
    migrator: Option<Arc<Migrator>>,
    backups: Option<Box<Ages>>,
    custom: Vec<Custom>,
    memory: Mutex<Memory>,
    /// What stops the looks that run, and whether each reads the data.
    running: Mutex<Vec<(bool, Interrupt)>>,
    stopped: AtomicBool,
}

impl Examiner {
    /// Looks at this database with the usual limits.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            memory: Mutex::new(Memory::of(target.database.as_ref())),
            target,
            limits: HealthLimits::default(),
            clock: Arc::new(SystemClock),
            migrator: None,
            backups: None,
            custom: Vec::new(),
            running: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: HealthLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The same with the migrations that the schema comes from.
    #[must_use]
    pub fn with_migrator(mut self, migrator: impl Into<Arc<Migrator>>) -> Self {
        self.migrator = Some(migrator.into());
        self
    }

    /// The same with what tells how old backups are. It is asked at each look.
    #[must_use]
    pub fn with_backups(
        mut self,
        ages: impl Fn() -> Result<BackupAges, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.backups = Some(Box::new(ages));
        self
    }

    /// The same with a check of one's own. It is given a connection that cannot write, outside of
    /// a transaction.
    #[must_use]
    pub fn with_check(
        mut self,
        name: impl Into<Cow<'static, str>>,
        cost: Cost,
        ask: impl Fn(&mut Conn<'_>, &HealthLimits) -> Result<Verdict, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.custom.push(Custom {
            name: name.into(),
            cost,
            ask: Box::new(ask),
        });
        self
    }

    /// The names of all checks of this engine, in the order in which they run.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let built_in = self.built_in().map(|check| check.name);
        let custom = self.custom.iter().map(|check| &*check.name);
        built_in
            .chain(custom)
            .chain([checks::DAMAGE.name])
            .collect()
    }

    /// What is looked at.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Looks, sets the gauges, and says what was seen. It blocks for as long as the checks take;
    /// looks that overlap wait for each other.
    #[must_use]
    pub fn examine(&self, selection: &Selection) -> HealthReport {
        let report = self.look(selection);
        metrics::record(&self.target, &report);
        report
    }

    /// Looks and sets no gauges.
    pub(super) fn look(&self, selection: &Selection) -> HealthReport {
        if *selection == Selection::Expensive {
            // What reads the data remembers nothing, and must not hold up what does.
            return self.look_with(selection, &mut Memory::of(self.target.database.as_ref()));
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_with(selection, &mut memory)
    }

    fn look_with(&self, selection: &Selection, memory: &mut Memory) -> HealthReport {
        let start = Instant::now();
        let now = self.clock.now();
        let eyes = Eyes {
            target: &self.target,
            limits: &self.limits,
            migrator: self.migrator.as_deref(),
            now,
            backups: self.backups.as_deref(),
        };
        let mut look = Look::open(&eyes, memory);
        // One look at a time reads the data, and one does all else.
        let reads_data = *selection == Selection::Expensive;
        let interrupt = look.interrupt();
        self.running().extend(interrupt.map(|it| (reads_data, it)));
        let results = self.results(&mut look, selection);
        self.running().retain(|(which, _)| *which != reads_data);
        let refused = look.refused().cloned();
        look.memory.newest = look.memory.newest.max(Some(now));
        look.memory.looked = start;
        HealthReport {
            engine: self.target.engine(),
            location: self.target.location(),
            at: now,
            took: start.elapsed(),
            results,
            refused,
        }
    }

    fn results(&self, look: &mut Look<'_>, selection: &Selection) -> Vec<CheckResult> {
        let mut results = Vec::new();
        for check in self.built_in() {
            if selection.takes(check.name, check.cost) {
                let run = |look: &mut Look<'_>| (check.run)(look);
                results.push(self.result(look, check.name.into(), check.cost, run));
            }
        }
        for check in &self.custom {
            if selection.takes(&check.name, check.cost) {
                let run = |look: &mut Look<'_>| {
                    let limits = look.limits;
                    look.ask(|conn| {
                        (check.ask)(conn, limits).map_err(|e| Trouble::Other(e.to_string()))
                    })
                };
                results.push(self.result(look, check.name.clone(), check.cost, run));
            }
        }
        // Last, because it says what the others met.
        let damage = &checks::DAMAGE;
        if selection.takes(damage.name, damage.cost) {
            results.push(self.result(look, damage.name.into(), damage.cost, damage.run));
        }
        results
    }

    /// Stops the looks that run, for good.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let running = self.running().clone();
        let running = running.iter().map(|(_, interrupt)| interrupt);
        for interrupt in running.chain([&self.target.interrupt]) {
            if let Err(error) = interrupt.interrupt() {
                tracing::debug!(%error, "a health check cannot be interrupted");
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<(bool, Interrupt)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn built_in(&self) -> impl Iterator<Item = &'static Check> + use<'_> {
        let engine = self.target.engine();
        let is_for = move |check: &&Check| check.engine.is_none_or(|only| only == engine);
        checks::ALL.iter().filter(is_for)
    }

    fn result(
        &self,
        look: &mut Look<'_>,
        name: Cow<'static, str>,
        cost: Cost,
        run: impl FnOnce(&mut Look<'_>) -> Result<Verdict, Trouble>,
    ) -> CheckResult {
        let start = Instant::now();
        let run = || {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Trouble::Other("stopped".to_owned()));
            }
            if look.refused().is_none() {
                look.bound(cost)?;
            }
            let outcome = run(look);
            if let Err(trouble) = &outcome {
                look.note(trouble);
            }
            outcome
        };
        let verdict = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(trouble)) => no_verdict(&trouble),
            Err(_) => Verdict::unknown("the check panicked"),
        };
        tracing::debug!(%name, state = verdict.state.name(), observed = verdict.observed, "checked");
        CheckResult {
            name,
            cost,
            state: verdict.state,
            observed: verdict.observed,
            limit: verdict.limit,
            hint: verdict.hint,
            names: verdict.names,
            measures: verdict.measures,
            took: start.elapsed(),
            at: self.clock.now(),
        }
    }
}

/// That a check could not look is not what it looks for.
fn no_verdict(trouble: &Trouble) -> Verdict {
    let verdict = Verdict::unknown(trouble.to_string());
    match trouble.database().and_then(db_core::Error::hint) {
        Some(hint) => verdict.hint(hint.to_owned()),
        None => verdict,
    }
}

impl fmt::Debug for Examiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examiner")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What several results come to.
pub(super) fn worst(results: &[CheckResult]) -> State {
    let known = results.iter().map(|result| result.state);
    let worst = known.filter(|state| *state != State::Unknown).max();
    worst.unwrap_or(State::Unknown)
}
