//! Looks once, at all or some of it.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use db_core::{Clock, Conn, Engine, SystemClock, duration};
use db_migrate::Migrator;

use super::apart::{self, Shared, Word};
use super::checks::{self, Check};
use super::look::{Eyes, Look, Memory};
use super::query::Trouble;
use super::{
    BackupAges, BoxError, CheckResult, Cost, HealthLimits, HealthReport, State, Target, Verdict,
    metrics,
};

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
    pub(super) fn takes(&self, name: &str, cost: Cost) -> bool {
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

/// Asks a database of ours, at a moment.
type Ask =
    dyn Fn(&mut Conn<'_>, &HealthLimits, DateTime<Utc>) -> Result<Verdict, BoxError> + Send + Sync;
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
    backups: Option<Arc<Ages>>,
    custom: Vec<Arc<Custom>>,
    pub(super) patience: Duration,
    pub(super) shared: Arc<Shared>,
}

impl Examiner {
    /// Looks at this database with the usual limits.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            shared: Arc::new(Shared::new(Memory::of(target.database.as_ref()))),
            target,
            limits: HealthLimits::default(),
            clock: Arc::new(SystemClock),
            migrator: None,
            backups: None,
            custom: Vec::new(),
            patience: apart::PATIENCE,
        }
    }

    /// One that looks at the same, with the same memory.
    pub(super) fn twin(&self) -> Self {
        Self {
            target: self.target.clone(),
            limits: self.limits.clone(),
            clock: Arc::clone(&self.clock),
            migrator: self.migrator.clone(),
            backups: self.backups.clone(),
            custom: self.custom.clone(),
            patience: self.patience,
            shared: Arc::clone(&self.shared),
        }
    }

    /// The same with how long a check may wait for a PostgreSQL server that says nothing, 30 s
    /// without this. Then the look is given up, and the database cannot be reached. A check that
    /// reads the data is given up only if the server answers nobody else either.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
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
        self.backups = Some(Arc::new(ages));
        self
    }

    /// The same with a check of one's own. It is given a connection that cannot write, outside of
    /// a transaction. An error that is, or has among its causes, one of `db-core` or of Diesel which
    /// says that the database is damaged or its disk fails is a failure of the check; any other
    /// leaves it unknown.
    #[must_use]
    pub fn with_check(
        self,
        name: impl Into<Cow<'static, str>>,
        cost: Cost,
        ask: impl Fn(&mut Conn<'_>, &HealthLimits) -> Result<Verdict, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.with_timed_check(name.into(), cost, move |conn, limits, _| ask(conn, limits))
    }

    /// The same with a check that is told when it looks.
    pub(super) fn with_timed_check(
        mut self,
        name: Cow<'static, str>,
        cost: Cost,
        ask: impl Fn(&mut Conn<'_>, &HealthLimits, DateTime<Utc>) -> Result<Verdict, BoxError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let ask = Box::new(ask);
        self.custom.push(Arc::new(Custom { name, cost, ask }));
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
    ///
    /// A server that stops to answer in the middle ends the look: see
    /// [`with_patience`](Self::with_patience).
    #[must_use]
    pub fn examine(&self, selection: &Selection) -> HealthReport {
        let report = self.look(selection);
        metrics::record(&self.target, &report);
        report
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Looks and sets no gauges.
    pub(super) fn look(&self, selection: &Selection) -> HealthReport {
        if *selection == Selection::Expensive {
            // What reads the data remembers nothing, and must not hold up what does.
            let memory = Memory::of(self.target.database.as_ref());
            return self.look_with(selection, memory).0;
        }
        let _turn = self.shared.turn();
        let memory = self.shared.memory().clone();
        let (report, memory) = self.look_with(selection, memory);
        if let Some(memory) = memory {
            *self.shared.memory() = memory;
        }
        report
    }

    /// A file answers or says why it does not; a server may do neither.
    fn look_with(&self, selection: &Selection, memory: Memory) -> (HealthReport, Option<Memory>) {
        if self.target.engine() == Engine::Sqlite {
            let (report, memory) = self.look_here(selection, memory, &mut |_| true);
            return (report, Some(memory));
        }
        apart::look(self, selection, memory)
    }

    /// Looks on this thread. `tell` says whether anybody still listens.
    pub(super) fn look_here(
        &self,
        selection: &Selection,
        mut memory: Memory,
        tell: &mut dyn FnMut(Word) -> bool,
    ) -> (HealthReport, Memory) {
        let start = Instant::now();
        let now = self.clock.now();
        let eyes = Eyes {
            target: &self.target,
            limits: &self.limits,
            migrator: self.migrator.as_deref(),
            now,
            backups: self.backups.as_deref(),
        };
        let mut look = Look::open(&eyes, &mut memory);
        let running = look.interrupt().map(|it| self.shared.runs(it));
        let results = self.results(&mut look, selection, tell);
        drop(running);
        let refused = look.refused().cloned();
        // SQLite calls a page that the disk does not give back damaged as well.
        let met = look.io.take().or(look.damage.take());
        let forbidden = look.forbidden.take();
        look.memory.newest = look.memory.newest.max(Some(now));
        look.memory.looked = start;
        drop(look);
        let report = HealthReport {
            engine: self.target.engine(),
            location: self.target.location(),
            at: now,
            took: start.elapsed(),
            results,
            refused,
            met,
            forbidden,
        };
        (report, memory)
    }

    fn results(
        &self,
        look: &mut Look<'_>,
        selection: &Selection,
        tell: &mut dyn FnMut(Word) -> bool,
    ) -> Vec<CheckResult> {
        let mut results = Vec::new();
        for check in self.built_in() {
            if selection.takes(check.name, check.cost) {
                if !tell(Word::Begins(check.name.into(), check.cost)) {
                    return results;
                }
                let run = |look: &mut Look<'_>| (check.run)(look);
                results.push(self.result(look, check.name.into(), check.cost, run));
                tell(Word::saw(&results));
            }
        }
        for check in &self.custom {
            if selection.takes(&check.name, check.cost) {
                if !tell(Word::Begins(check.name.clone(), check.cost)) {
                    return results;
                }
                let run = |look: &mut Look<'_>| {
                    let (limits, now) = (look.limits, look.now);
                    look.ask(|conn| {
                        let engine = conn.engine();
                        (check.ask)(conn, limits, now).map_err(|e| Trouble::of_custom(&*e, engine))
                    })
                };
                results.push(self.result(look, check.name.clone(), check.cost, run));
                tell(Word::saw(&results));
            }
        }
        // Last, because it says what the others met.
        let damage = &checks::DAMAGE;
        look.known_damage = self.damage_after(look, selection, &results);
        if selection.takes(damage.name, damage.cost) {
            results.push(self.result(look, damage.name.into(), damage.cost, damage.run));
        }
        results
    }

    /// The checks of a selection that are not in these results, with the reason.
    pub(super) fn unknown(
        &self,
        selection: &Selection,
        results: &[CheckResult],
        reason: &str,
    ) -> Vec<CheckResult> {
        let missing = |(name, cost): &(Cow<'static, str>, Cost)| {
            selection.takes(name, *cost) && results.iter().all(|seen| seen.name != *name)
        };
        self.all()
            .filter(missing)
            .map(|(name, cost)| {
                let verdict = Verdict::unknown(reason.to_owned());
                self.told(name, cost, verdict, (Duration::ZERO, Duration::ZERO))
            })
            .collect()
    }

    /// What the expensive checks would say, if they had looked: nothing came of it in all this time.
    pub(super) fn unseen(&self, waited: Duration) -> Vec<CheckResult> {
        let expensive = self.all().filter(|(_, cost)| *cost == Cost::Expensive);
        let observed = format!("nothing was seen in {}", duration::show(waited));
        let unseen = |(name, cost)| {
            let verdict = Verdict::unknown(observed.clone());
            self.told(name, cost, verdict, (Duration::ZERO, waited))
        };
        expensive.map(unseen).collect()
    }

    /// A verdict as a result, with the time that it took and its age.
    pub(super) fn told(
        &self,
        name: Cow<'static, str>,
        cost: Cost,
        verdict: Verdict,
        (took, age): (Duration, Duration),
    ) -> CheckResult {
        CheckResult {
            name,
            cost,
            state: verdict.state,
            observed: verdict.observed,
            limit: verdict.limit,
            hint: verdict.hint,
            names: verdict.names,
            measures: verdict.measures,
            took,
            at: self.clock.now(),
            age,
        }
    }

    /// What is known of damage, now that these checks have looked. A cheap look that meets none
    /// proves nothing, because it reads next to nothing.
    fn damage_after(
        &self,
        look: &Look<'_>,
        selection: &Selection,
        results: &[CheckResult],
    ) -> Option<Arc<db_core::Error>> {
        let known = self.shared.damage.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let reads_all = matches!(selection, Selection::All | Selection::Expensive);
        let is_sound =
            |result: &CheckResult| result.name == checks::INTEGRITY && result.state == State::Ok;
        if let Some(error) = &look.damage {
            *known = Some(Arc::new(error.clone()));
        } else if reads_all && look.has_read && results.iter().any(is_sound) {
            *known = None;
        }
        known.clone()
    }

    /// Stops the looks that run, for good.
    pub(super) fn stop(&self) {
        self.shared.stop(&self.target.interrupt);
    }

    /// All checks, in the order in which they run.
    fn all(&self) -> impl Iterator<Item = (Cow<'static, str>, Cost)> + use<'_> {
        let built_in = self.built_in().map(|check| (check.name.into(), check.cost));
        let custom = self.custom.iter();
        let custom = custom.map(|check| (check.name.clone(), check.cost));
        let last = (checks::DAMAGE.name.into(), checks::DAMAGE.cost);
        built_in.chain(custom).chain([last])
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
            if self.shared.stopped.load(Ordering::Relaxed) {
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
        self.told(name, cost, verdict, (start.elapsed(), Duration::ZERO))
    }
}

/// That a check could not look is not what it looks for, unless it is the database or its disk that
/// does not let it.
fn no_verdict(trouble: &Trouble) -> Verdict {
    let state = if trouble.is_fault() {
        State::Fail
    } else {
        State::Unknown
    };
    let verdict = Verdict::new(state, trouble.to_string());
    match trouble.database().and_then(db_core::Error::hint) {
        Some(hint) => verdict.hint(hint.to_owned()),
        None if state == State::Fail => verdict
            .hint("look at the system's log for the disk, then restore the newest verified backup"),
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
