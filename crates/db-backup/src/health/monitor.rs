//! Looks again and again, on a thread of its own.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::alert::Watched;
use super::{Alert, AlertRule, CheckResult, Examiner, HealthReport, Selection, State, metrics};

/// How often it looks, if nothing else is said.
const EVERY: Duration = Duration::from_secs(10);
/// How often it reads the data.
const EXPENSIVE_EVERY: Duration = Duration::from_hours(6);
/// Results that are older than so many rounds say nothing any more.
const STALE_ROUNDS: u32 = 6;
/// The same of what reads the data.
const STALE_DATA_ROUNDS: u32 = 3;

type OnChange = dyn FnMut(Option<State>, &CheckResult) + Send;
type OnAlert = dyn FnMut(&Alert) + Send;

/// A monitor that is not started yet.
pub struct MonitorBuilder {
    examiner: Examiner,
    every: Duration,
    expensive_every: Option<Duration>,
    rules: Vec<AlertRule>,
    on_change: Vec<Box<OnChange>>,
    on_alert: Vec<Box<OnAlert>>,
}

/// Looks at a database in the background and keeps what it saw last.
///
/// One thread looks at what is cheap, another at what is expensive, so that neither waits for the
/// other. All but [`look_now`](Self::look_now) returns at once, and asks the database nothing. It
/// stops when it is dropped.
pub struct HealthMonitor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    examiner: Examiner,
    every: Duration,
    started: Instant,
    /// After this long what was seen of the data is not known any more.
    stale: Option<Duration>,
    seen: Mutex<Seen>,
    changed: Condvar,
    tell: Mutex<Tell>,
}

/// Who is told of what.
struct Tell {
    watched: Vec<Watched>,
    on_change: Vec<Box<OnChange>>,
    on_alert: Vec<Box<OnAlert>>,
}

#[derive(Default)]
struct Seen {
    last: Option<Arc<HealthReport>>,
    /// What the last expensive look saw, as it was.
    data: Option<Arc<HealthReport>>,
    cheap: Turns,
    expensive: Turns,
    stop: bool,
}

/// The looks of one thread.
#[derive(Default)]
struct Turns {
    /// When the last one ended.
    at: Option<Instant>,
    done: u64,
    /// Looks that were asked for, that have begun, and that have ended, counted from the start.
    asked: u64,
    begun: u64,
    served: u64,
}

impl MonitorBuilder {
    /// How often the cheap checks run; 10 s.
    #[must_use]
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// How often the expensive checks run, if ever by themselves; 6 h, and at the start. What they
    /// saw is unknown after three times as long, if they do not come to an end; what was broken
    /// stays so.
    #[must_use]
    pub const fn expensive_every(mut self, every: Option<Duration>) -> Self {
        self.expensive_every = every;
        self
    }

    /// Calls back when a check's state changes, with the state before; for the first look too.
    #[must_use]
    pub fn on_change(
        mut self,
        call: impl FnMut(Option<State>, &CheckResult) + Send + 'static,
    ) -> Self {
        self.on_change.push(Box::new(call));
        self
    }

    /// Calls back when one of these rules begins to hold, or ends; beside those that are there.
    #[must_use]
    pub fn on_alert(
        mut self,
        rules: Vec<AlertRule>,
        call: impl FnMut(&Alert) + Send + 'static,
    ) -> Self {
        for rule in rules {
            if !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
        self.on_alert.push(Box::new(call));
        self
    }

    /// Starts to look.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(self) -> io::Result<HealthMonitor> {
        let shared = Arc::new(Shared {
            examiner: self.examiner,
            every: self.every,
            started: Instant::now(),
            stale: self
                .expensive_every
                .map(|every| every.saturating_mul(STALE_DATA_ROUNDS)),
            seen: Mutex::default(),
            changed: Condvar::new(),
            tell: Mutex::new(Tell {
                watched: self.rules.into_iter().map(Watched::new).collect(),
                on_change: self.on_change,
                on_alert: self.on_alert,
            }),
        });
        let mut monitor = HealthMonitor {
            shared,
            threads: Vec::new(),
        };
        monitor.spawn("health", Some(self.every), Which::Cheap)?;
        monitor.spawn("health-data", self.expensive_every, Which::Expensive)?;
        Ok(monitor)
    }
}

impl HealthMonitor {
    /// A monitor that looks with this.
    #[must_use]
    pub fn of(examiner: Examiner) -> MonitorBuilder {
        MonitorBuilder {
            examiner,
            every: EVERY,
            expensive_every: Some(EXPENSIVE_EVERY),
            rules: Vec::new(),
            on_change: Vec::new(),
            on_alert: Vec::new(),
        }
    }

    /// What was seen last; none before the first look has ended. Never asks the database.
    #[must_use]
    pub fn last(&self) -> Option<Arc<HealthReport>> {
        self.shared.seen().last.clone()
    }

    /// How it is, as of the last look: unknown before the first, and when the last is so old that
    /// a check must be hanging. Never asks the database.
    #[must_use]
    pub fn state(&self) -> State {
        let seen = self.shared.seen();
        let age = seen.cheap.at.map(|at| at.elapsed());
        match (&seen.last, age) {
            (Some(last), Some(age)) if age <= self.shared.every * STALE_ROUNDS => last.state(),
            _ => State::Unknown,
        }
    }

    /// Whether requests may come: the database answers, has its tables, can be written and is not
    /// damaged, and that is news. What somebody has to look at otherwise, such as an old backup, is no
    /// reason to turn requests away. For `readyz`; never asks the database.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        const NEEDED: [&str; 5] = [
            "connectivity",
            "response_time",
            "tables",
            "writable",
            "damage",
        ];
        if self.state() == State::Unknown {
            return false;
        }
        let seen = self.shared.seen();
        seen.last.as_ref().is_some_and(|last| {
            NEEDED
                .iter()
                .filter_map(|name| last.find(name))
                .all(|result| result.state != State::Fail)
        })
    }

    /// Cheap and expensive looks that have ended.
    #[must_use]
    pub fn rounds(&self) -> (u64, u64) {
        let seen = self.shared.seen();
        (seen.cheap.done, seen.expensive.done)
    }

    /// Looks now, and waits for what is seen; with `all` also at what is expensive. Not for a
    /// request path. None if it did not end within `patience`.
    #[must_use]
    pub fn look_now(&self, all: bool, patience: Duration) -> Option<Arc<HealthReport>> {
        let deadline = Instant::now().checked_add(patience);
        let mut seen = self.shared.seen();
        // A look that runs already began before this call.
        seen.cheap.asked += 1;
        seen.expensive.asked += u64::from(all);
        let (cheap, expensive) = (seen.cheap.asked, seen.expensive.asked);
        self.shared.changed.notify_all();
        while seen.cheap.served < cheap || (all && seen.expensive.served < expensive) {
            let left = deadline.map_or(patience, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(seen, left);
            (seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        seen.last.clone()
    }

    fn spawn(&mut self, name: &str, every: Option<Duration>, which: Which) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            while shared.wait(which, every) {
                shared.look(which);
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for HealthMonitor {
    fn drop(&mut self) {
        self.shared.seen().stop = true;
        self.shared.changed.notify_all();
        self.shared.examiner.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("the health monitor panicked");
            }
        }
    }
}

/// Which looks a thread has.
#[derive(Debug, Clone, Copy)]
enum Which {
    Cheap,
    Expensive,
}

impl Seen {
    const fn turns(&mut self, which: Which) -> &mut Turns {
        match which {
            Which::Cheap => &mut self.cheap,
            Which::Expensive => &mut self.expensive,
        }
    }
}

impl Turns {
    /// How long ago the last one ended.
    fn age(&self) -> Duration {
        self.at.map(|at| at.elapsed()).unwrap_or_default()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next look; false is the end.
    fn wait(&self, which: Which, every: Option<Duration>) -> bool {
        let mut seen = self.seen();
        loop {
            if seen.stop {
                return false;
            }
            let turns = seen.turns(which);
            let left = match (every, turns.at) {
                (None, _) => Duration::MAX,
                (Some(_), None) => Duration::ZERO,
                (Some(every), Some(at)) => every.saturating_sub(at.elapsed()),
            };
            if turns.asked > turns.begun || left.is_zero() {
                turns.begun = turns.asked;
                return true;
            }
            seen = if left == Duration::MAX {
                let waited = self.changed.wait(seen);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.changed.wait_timeout(seen, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    fn look(&self, which: Which) {
        let report = self.examiner.look(&match which {
            Which::Cheap => Selection::Cheap,
            Which::Expensive => Selection::Expensive,
        });
        // One at a time merges and tells, so that all is told in order.
        let mut tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.seen();
        if seen.stop {
            // Whatever was interrupted is no finding.
            return;
        }
        let before = seen.last.clone();
        let report = match which {
            Which::Expensive => {
                seen.data = Some(Arc::new(report.clone()));
                let age = seen.cheap.age();
                match &before {
                    Some(before) => report.over(before, age, None),
                    None => report,
                }
            }
            Which::Cheap => {
                let age = seen.expensive.age();
                let waited = self.started.elapsed();
                match &seen.data {
                    Some(data) => report.over(data, age, self.stale),
                    None if self.stale.is_some_and(|stale| waited > stale) => {
                        let mut report = report;
                        report.results.extend(self.examiner.unseen(waited));
                        report
                    }
                    None => report,
                }
            }
        };
        drop(seen);
        let report = Arc::new(report);
        metrics::record(self.examiner.target(), &report);
        tell.after(before.as_deref(), &report);
        let mut seen = self.seen();
        seen.last = Some(report);
        let turns = seen.turns(which);
        turns.at = Some(Instant::now());
        turns.done += 1;
        turns.served = turns.begun;
        drop(seen);
        // Not before: who merges next begins with what is kept here.
        drop(tell);
        self.changed.notify_all();
    }
}

impl Tell {
    fn after(&mut self, before: Option<&HealthReport>, report: &HealthReport) {
        for result in &report.results {
            let old = before.and_then(|report| report.find(&result.name));
            let old = old.map(|result| result.state);
            if old == Some(result.state) {
                continue;
            }
            log(old, result);
            for call in &mut self.on_change {
                guarded(|| call(old, result));
            }
        }
        let now = Instant::now();
        let alerts = self.watched.iter_mut();
        let alerts: Vec<Alert> = alerts.filter_map(|rule| rule.after(report, now)).collect();
        for alert in &alerts {
            for call in &mut self.on_alert {
                guarded(|| call(alert));
            }
        }
    }
}

fn log(old: Option<State>, result: &CheckResult) {
    let (check, observed) = (&result.name, &result.observed);
    match (old, result.state) {
        (_, State::Fail) => tracing::error!(%check, observed, "a health check fails"),
        (_, State::Warn) => tracing::warn!(%check, observed, "a health check warns"),
        (Some(State::Warn | State::Fail), State::Ok) => {
            tracing::info!(%check, observed, "a health check is well again");
        }
        _ => {}
    }
}

/// A callback of somebody else must not end the monitor.
fn guarded(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a callback of the health monitor panicked");
    }
}

impl fmt::Debug for HealthMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthMonitor")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorBuilder")
            .field("examiner", &self.examiner)
            .field("every", &self.every)
            .field("expensive_every", &self.expensive_every)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
