//! Clocks and jobs of a schedule's tests. Whatever is broken, none of them waits for ever.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::Error;
use db_backup::schedule::{Facts, Job, SystemTimer, Timer, Trial};
use db_core::Interrupt;

/// Nothing in a test takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn start() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

/// A clock that runs by as much as is slept, and stops the scheduler at its end. It stands while something is
/// restored on trial, unless that is held up.
#[derive(Debug)]
pub(super) struct Fake {
    now: Mutex<DateTime<Utc>>,
    end: DateTime<Utc>,
    /// At each of these moments, in turn, the clock jumps by so much: a machine that slept, or a wrong
    /// clock.
    jumps: Mutex<VecDeque<(DateTime<Utc>, TimeDelta)>>,
    /// Trial restores that are under way.
    trials: Mutex<usize>,
    /// If they are held up, until then, or until they are stopped by this clock's end.
    pub(super) held_until: Mutex<Option<DateTime<Utc>>>,
    bell: Condvar,
    /// Whether a trial was held up for longer than anybody waits.
    gave_up: AtomicBool,
}

impl Fake {
    pub(super) fn new(hours: i64) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(start()),
            end: start() + TimeDelta::hours(hours),
            jumps: Mutex::default(),
            trials: Mutex::default(),
            held_until: Mutex::default(),
            bell: Condvar::new(),
            gave_up: AtomicBool::new(false),
        })
    }

    fn is_held(&self) -> bool {
        let until = *self.held_until.lock().unwrap();
        until.is_some_and(|until| self.now() < until)
    }

    /// Waits for what is on trial, unless that is held up.
    fn stand(&self) {
        let busy = |trials: &mut usize| *trials > 0 && !self.is_held();
        assert!(self.wait_while(busy), "a trial restore does not end");
    }

    /// Holds a trial up. If nobody goes on beside it, so that the clock stands, it fails, and so does each later one at
    /// once.
    fn hold(&self, interrupt: &Interrupt) {
        let has_given_up = || self.gave_up.load(Ordering::SeqCst);
        let held = |_: &mut usize| self.is_held() && !interrupt.is_set() && !has_given_up();
        if !self.wait_while(held) {
            self.gave_up.store(true, Ordering::SeqCst);
        }
        assert!(!has_given_up(), "nothing goes on beside a trial restore");
    }

    /// Whether it ended in time.
    fn wait_while(&self, goes_on: impl FnMut(&mut usize) -> bool) -> bool {
        let trials = self.trials.lock().unwrap();
        let waited = self.bell.wait_timeout_while(trials, PATIENCE, goes_on);
        !waited.unwrap().1.timed_out()
    }

    pub(super) fn jumps(&self, jumps: impl IntoIterator<Item = (DateTime<Utc>, TimeDelta)>) {
        self.jumps.lock().unwrap().extend(jumps);
    }
}

impl Timer for Fake {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    fn nap(&self, longest: Duration, interrupt: &Interrupt) {
        self.stand();
        let _trials = self.trials.lock().unwrap();
        let mut now = self.now.lock().unwrap();
        *now += TimeDelta::from_std(longest.max(Duration::from_millis(1))).unwrap();
        let mut jumps = self.jumps.lock().unwrap();
        if let Some((at, by)) = jumps.front().copied()
            && *now >= at
        {
            jumps.pop_front();
            *now += by;
        }
        if *now >= self.end {
            interrupt.interrupt().unwrap();
        }
        self.bell.notify_all();
    }

    fn wake(&self) {
        let mut trials = self.trials.lock().unwrap();
        *trials = trials.saturating_sub(1);
        self.bell.notify_all();
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) backups: Vec<DateTime<Utc>>,
    pub(super) drills: Vec<DateTime<Utc>>,
    pub(super) prunes: usize,
}

pub(super) struct Fakes {
    timer: Arc<Fake>,
    log: Arc<Mutex<Log>>,
    pub(super) facts: Facts,
    /// Which attempts fail or find the store locked, counted from 0.
    pub(super) fails: fn(usize) -> Option<Error>,
    pub(super) drill_fails: bool,
    pub(super) drill_panics: bool,
    attempts: usize,
    /// Which looks at the store fail, counted from 0.
    pub(super) look_fails: fn(usize) -> bool,
    /// Which looks panic, counted from 0.
    pub(super) look_panics: fn(usize) -> bool,
    pub(super) looks: Arc<std::sync::atomic::AtomicUsize>,
    /// Which attempts panic, counted from 0.
    pub(super) panics: fn(usize) -> bool,
}

impl Fakes {
    pub(super) fn new(timer: &Arc<Fake>) -> (Self, Arc<Mutex<Log>>) {
        let log = Arc::new(Mutex::new(Log::default()));
        let fakes = Self {
            timer: Arc::clone(timer),
            log: Arc::clone(&log),
            facts: Facts::default(),
            fails: |_| None,
            drill_fails: false,
            drill_panics: false,
            attempts: 0,
            look_fails: |_| false,
            look_panics: |_| false,
            looks: Arc::default(),
            panics: |_| false,
        };
        (fakes, log)
    }
}

pub(super) fn broken() -> Error {
    Error::Store {
        place: "the store".to_owned(),
        reason: "it is gone".to_owned(),
    }
}

pub(super) fn locked() -> Error {
    Error::Locked {
        what: "the store".to_owned(),
        holder: None,
    }
}

impl Job for Fakes {
    fn facts(&mut self) -> Result<Facts, Error> {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        assert!(!(self.look_panics)(look), "look {look} panics");
        if (self.look_fails)(look) {
            return Err(broken());
        }
        let drilled = self.log.lock().unwrap().drills.last().copied();
        self.facts.last_drill = self.facts.last_drill.max(drilled);
        Ok(self.facts)
    }

    fn back_up(&mut self, _: &Interrupt) -> Result<String, Error> {
        let attempt = self.attempts;
        self.attempts += 1;
        assert!(!(self.panics)(attempt), "attempt {attempt} panics");
        if let Some(error) = (self.fails)(attempt) {
            return Err(error);
        }
        let now = self.timer.now();
        self.facts.newest = self.facts.newest.max(Some(now));
        self.log.lock().unwrap().backups.push(now);
        Ok(format!("b{attempt}"))
    }

    fn prune(&mut self, _: &Interrupt) -> Result<usize, Error> {
        self.log.lock().unwrap().prunes += 1;
        Ok(0)
    }

    fn drill(&mut self) -> Trial {
        *self.timer.trials.lock().unwrap() += 1;
        let (timer, log) = (Arc::clone(&self.timer), Arc::clone(&self.log));
        let (fails, panics) = (self.drill_fails, self.drill_panics);
        Box::new(move |interrupt| {
            timer.hold(interrupt);
            assert!(!panics, "the trial panics");
            if interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            if fails {
                return Err(broken());
            }
            log.lock().unwrap().drills.push(timer.now());
            Ok(())
        })
    }
}

/// The computer's own time, by which a run that does not come to its end fails.
#[derive(Debug)]
pub(crate) struct Patient {
    timer: SystemTimer,
    since: Instant,
}

impl Default for Patient {
    fn default() -> Self {
        Self {
            timer: SystemTimer::default(),
            since: Instant::now(),
        }
    }
}

impl Timer for Patient {
    fn now(&self) -> DateTime<Utc> {
        self.timer.now()
    }

    fn nap(&self, longest: Duration, interrupt: &Interrupt) {
        assert!(self.since.elapsed() < PATIENCE, "it does not end");
        self.timer.nap(longest, interrupt);
    }

    fn wake(&self) {
        self.timer.wake();
    }
}
