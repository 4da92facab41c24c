//! Backups on a timetable, in a thread of an application or as a program of their own.
//!
//! A round makes a backup, prunes, and now and then restores one on trial. When the next one is due
//! is counted from the newest backup in the store by the wall clock, so that a restart makes none too
//! many, a machine that slept catches up with one at once, and two processes share one timetable:
//! whoever finds the store locked looks again a moment later. If the clock was set back, a backup is
//! made at once and the count begins anew.

mod alarm;
mod job;
mod timer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Interrupt;

pub use alarm::Alarm;
pub use job::{Facts, Job, StoreJob};
pub use timer::{SystemTimer, Timer};

use crate::error::Error;
use alarm::Alarms;

/// A sleeping machine is noticed after so long: its clock runs on, and a nap does not.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// When somebody else is at work in the store, it is looked at again after this.
const LOCKED_PAUSE: Duration = Duration::from_mins(1);

/// After a failure it is tried again after this, doubled each time, up to the interval.
const FAILED_PAUSE: Duration = Duration::from_mins(1);

/// When backups are made, and what is alarming.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// From one backup to the next.
    pub every: Duration,
    /// Up to so much is added at random, so that many machines do not begin at once.
    pub jitter: Duration,
    /// From one trial restore to the next; `None` for none.
    pub drill_every: Option<Duration>,
    /// A last trial restore that is older than this is alarming.
    pub verified_within: Duration,
}

impl Default for Schedule {
    /// Every hour, with up to three minutes of jitter; a trial restore a day, and an alarm if the
    /// last one is older than a day and a half.
    fn default() -> Self {
        Self {
            every: Duration::from_hours(1),
            jitter: Duration::from_mins(3),
            drill_every: Some(Duration::from_hours(24)),
            verified_within: Duration::from_hours(36),
        }
    }
}

/// What a scheduler tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// The next backup is due then.
    Waiting {
        /// When.
        until: DateTime<Utc>,
    },
    /// A backup begins.
    Started,
    /// A backup was made.
    Made {
        /// Its name.
        name: &'e str,
    },
    /// Somebody else is making or removing backups.
    Locked,
    /// So many backups were removed.
    Pruned {
        /// How many.
        removed: usize,
    },
    /// A backup was restored on trial.
    Drilled,
    /// A part of a round failed.
    Failed {
        /// `backup`, `prune` or `drill`.
        part: &'static str,
        /// Why.
        error: &'e Error,
    },
    /// Something is wrong that was not before.
    Raised {
        /// What.
        alarm: &'e Alarm,
    },
    /// Something is well again.
    Cleared {
        /// What.
        alarm: &'e Alarm,
    },
}

/// How a scheduler stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Rounds that made a backup.
    pub made: u64,
    /// Parts of rounds that failed.
    pub failed: u64,
    /// What is wrong now.
    pub alarms: Vec<Alarm>,
}

/// Makes backups in a thread of its own until it is stopped or dropped.
#[derive(Debug)]
pub struct BackupScheduler {
    interrupt: Interrupt,
    timer: Arc<dyn Timer>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl BackupScheduler {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Io`] if the system has no thread; [`Error::Usage`] for an interval of nothing.
    pub fn start(
        schedule: Schedule,
        job: impl Job + 'static,
        timer: Arc<dyn Timer>,
        mut on_event: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Result<Self, Error> {
        check(&schedule)?;
        let interrupt = Interrupt::default();
        let state = Arc::new(Mutex::new(State::default()));
        let mut rounds = Rounds::new(schedule, job, Arc::clone(&timer), interrupt.clone());
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("backups".to_owned())
            .spawn(move || {
                while !rounds.is_stopped() {
                    rounds.turn(&mut on_event);
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) = rounds.state();
                }
            })
            .map_err(|e| Error::io("start", "a thread", e))?;
        Ok(Self {
            interrupt,
            timer,
            state,
            thread: Some(thread),
        })
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops it, and a backup that is being made: nothing of that is left. Returns when the thread
    /// has ended.
    pub fn stop(mut self) -> State {
        self.end();
        self.state()
    }

    fn end(&mut self) {
        // It has no server that could be asked, so this cannot fail.
        if let Err(error) = self.interrupt.interrupt() {
            tracing::warn!(%error, "the scheduler could not be asked to stop");
        }
        self.timer.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the scheduler had panicked");
        }
    }
}

impl Drop for BackupScheduler {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs on the calling thread until the interrupt is set. `once` returns after one round, and makes
/// it only if a backup is due.
///
/// # Errors
/// [`Error::Usage`] for an interval of nothing. What fails inside of a round is told as an event and
/// stands in the state.
pub fn run(
    schedule: Schedule,
    job: impl Job,
    (timer, interrupt): (Arc<dyn Timer>, &Interrupt),
    once: bool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<State, Error> {
    check(&schedule)?;
    let mut rounds = Rounds::new(schedule, job, timer, interrupt.clone());
    if once {
        rounds.round_if_due(on_event);
        return Ok(rounds.state());
    }
    while !rounds.is_stopped() {
        rounds.turn(on_event);
    }
    Ok(rounds.state())
}

fn check(schedule: &Schedule) -> Result<(), Error> {
    if schedule.every.is_zero() {
        return Err(Error::usage(
            "backups cannot be made without a pause",
            "give an interval, such as 1h",
        ));
    }
    Ok(())
}

/// One scheduler's memory.
struct Rounds<J> {
    schedule: Schedule,
    job: J,
    timer: Arc<dyn Timer>,
    interrupt: Interrupt,
    random: fastrand::Rng,
    alarms: Alarms,
    /// The last backup that this scheduler made itself.
    own: Option<DateTime<Utc>>,
    /// Not before this, after a failure or while the store was locked.
    not_before: Option<DateTime<Utc>>,
    /// The jitter of the round to come.
    jitter: TimeDelta,
    in_a_row: u32,
    made: u64,
    failed: u64,
    announced: Option<DateTime<Utc>>,
}

impl<J: Job> Rounds<J> {
    fn new(schedule: Schedule, job: J, timer: Arc<dyn Timer>, interrupt: Interrupt) -> Self {
        let alarms = Alarms::new(timer.now(), schedule.verified_within);
        let mut rounds = Self {
            schedule,
            job,
            timer,
            interrupt,
            random: fastrand::Rng::new(),
            alarms,
            own: None,
            not_before: None,
            jitter: TimeDelta::zero(),
            in_a_row: 0,
            made: 0,
            failed: 0,
            announced: None,
        };
        rounds.throw_jitter();
        rounds
    }

    fn is_stopped(&self) -> bool {
        self.interrupt.is_set()
    }

    fn state(&self) -> State {
        State {
            made: self.made,
            failed: self.failed,
            alarms: self.alarms.standing(),
        }
    }

    /// Makes a round if one is due, or waits a while.
    fn turn(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        let Some(due) = self.round_if_due(on_event) else {
            return;
        };
        if self.announced != Some(due) {
            self.announced = Some(due);
            on_event(Event::Waiting { until: due });
        }
        let left = due.signed_duration_since(self.timer.now());
        let left = left.to_std().unwrap_or(Duration::ZERO);
        self.timer.nap(left.min(LONGEST_NAP), &self.interrupt);
    }

    /// Makes a round if one is due, and tells when it is if not.
    fn round_if_due(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Option<DateTime<Utc>> {
        let now = self.timer.now();
        let facts = match self.job.facts() {
            Ok(facts) => facts,
            Err(error) => {
                self.fail("backup", &error, on_event);
                Facts::default()
            }
        };
        self.alarms.look(now, facts.last_drill, on_event);
        let due = self.due(now, &facts);
        if due > now {
            return Some(due);
        }
        self.round(&facts, on_event);
        self.throw_jitter();
        None
    }

    /// When the next backup is due. A moment in the future is that of a clock that was set back, and
    /// counts for nothing.
    fn due(&self, now: DateTime<Utc>, facts: &Facts) -> DateTime<Utc> {
        let past = |at: &DateTime<Utc>| *at <= now;
        let last = facts.newest.filter(past).max(self.own.filter(past));
        let due = last.map_or(now, |last| later(last, self.schedule.every) + self.jitter);
        // A pause that was set under another clock must not last for ever.
        let longest = later(now, self.schedule.every);
        let pause = self.not_before.filter(|until| *until <= longest);
        pause.map_or(due, |until| due.max(until))
    }

    fn round(&mut self, facts: &Facts, on_event: &mut dyn FnMut(Event<'_>)) {
        on_event(Event::Started);
        let made = self.job.back_up(&self.interrupt);
        let now = self.timer.now();
        match made {
            Ok(name) => {
                self.own = Some(now);
                self.not_before = None;
                self.in_a_row = 0;
                self.made += 1;
                alarm::count("made");
                alarm::gauge_now(alarm::LAST_BACKUP, now);
                self.alarms.well(&Alarm::Failing, on_event);
                on_event(Event::Made { name: &name });
            }
            Err(Error::Locked { .. }) => {
                self.not_before = Some(later(now, LOCKED_PAUSE));
                on_event(Event::Locked);
                return;
            }
            Err(error) => {
                self.fail("backup", &error, on_event);
                return;
            }
        }
        match self.job.prune(&self.interrupt) {
            Ok(removed) => {
                on_event(Event::Pruned { removed });
                self.alarms.well(&Alarm::PruneFailing, on_event);
            }
            Err(Error::Locked { .. }) => on_event(Event::Locked),
            Err(error) => self.fail("prune", &error, on_event),
        }
        let is_due = self.schedule.drill_every.is_some_and(|every| {
            facts
                .last_drill
                .is_none_or(|at| at > now || later(at, every) <= now)
        });
        if is_due && !self.is_stopped() {
            match self.job.drill(&self.interrupt) {
                Ok(()) => {
                    let now = self.timer.now();
                    on_event(Event::Drilled);
                    self.alarms.well(&Alarm::DrillFailing, on_event);
                    self.alarms.look(now, Some(now), on_event);
                }
                Err(error) => self.fail("drill", &error, on_event),
            }
        }
    }

    fn fail(&mut self, part: &'static str, error: &Error, on_event: &mut dyn FnMut(Event<'_>)) {
        if matches!(error, Error::Interrupted) && self.is_stopped() {
            return;
        }
        self.failed += 1;
        alarm::count("failed");
        on_event(Event::Failed { part, error });
        let alarm = match part {
            "drill" => Alarm::DrillFailing,
            "prune" => Alarm::PruneFailing,
            _ => Alarm::Failing,
        };
        self.alarms.raise(alarm, on_event);
        if part == "backup" {
            let pause = FAILED_PAUSE.saturating_mul(1 << self.in_a_row.min(10));
            self.in_a_row = self.in_a_row.saturating_add(1);
            let pause = pause.min(self.schedule.every);
            self.not_before = Some(later(self.timer.now(), pause));
        }
    }

    fn throw_jitter(&mut self) {
        let most = u64::try_from(self.schedule.jitter.as_millis()).unwrap_or(u64::MAX);
        let millis = self.random.u64(0..=most.min(u64::from(u32::MAX)));
        self.jitter = TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(0));
    }
}

/// A moment later; the end of time if there is none.
fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| at.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
