//! One scheduler's memory, and what it does when its time has come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Interrupt;

use super::alarm::{self, Alarm, Alarms};
use super::trial::{Outcome, Running, words};
use super::{Event, Facts, Job, Schedule, State, Timer, later};
use crate::error::Error;
use crate::series::is_future;

/// A sleeping machine is noticed after so long: its clock runs on, and a nap does not.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// When somebody else is at work in the store, it is looked at again after this.
const LOCKED_PAUSE: Duration = Duration::from_mins(1);

/// After a failure it is tried again after this, doubled each time, up to the interval.
const FAILED_PAUSE: Duration = Duration::from_mins(1);

/// The store is looked at when a backup is due, and so often besides: others make and restore backups
/// too. Each look at a bucket costs a request.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next backup is due then.
    Waiting(DateTime<Utc>),
    /// There was a round, whatever it brought.
    Round,
    /// Somebody else is at work in the store.
    Locked,
}

pub(super) struct Rounds<J> {
    schedule: Schedule,
    job: J,
    timer: Arc<dyn Timer>,
    interrupt: Interrupt,
    random: fastrand::Rng,
    alarms: Alarms,
    /// What was last seen in the store.
    facts: Facts,
    /// When it was, and until when that is good enough.
    looked: Option<(DateTime<Utc>, DateTime<Utc>)>,
    looks_failed: u32,
    /// The last backup that this scheduler made itself.
    own: Option<DateTime<Utc>>,
    /// Not before this, after a failure or while the store was locked.
    not_before: Option<DateTime<Utc>>,
    /// The jitter of the round to come.
    jitter: TimeDelta,
    in_a_row: u32,
    made: u64,
    failed: u64,
    drilled: u64,
    panics: u64,
    /// What looks at the store and trial restores said when they panicked, until it is told.
    panicked: Vec<String>,
    /// The trial restore that runs beside the rounds.
    trial: Option<Running>,
    is_locked: bool,
    announced: Option<DateTime<Utc>>,
}

impl<J: Job> Rounds<J> {
    pub(super) fn new(
        schedule: Schedule,
        job: J,
        timer: Arc<dyn Timer>,
        interrupt: Interrupt,
    ) -> Self {
        let alarms = Alarms::new(timer.now(), &schedule);
        let mut rounds = Self {
            schedule,
            job,
            timer,
            interrupt,
            random: fastrand::Rng::new(),
            alarms,
            facts: Facts::default(),
            looked: None,
            looks_failed: 0,
            own: None,
            not_before: None,
            jitter: TimeDelta::zero(),
            in_a_row: 0,
            made: 0,
            failed: 0,
            drilled: 0,
            panics: 0,
            panicked: Vec::new(),
            trial: None,
            is_locked: false,
            announced: None,
        };
        rounds.throw_jitter();
        rounds
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.interrupt.is_set()
    }

    pub(super) fn state(&self) -> State {
        State {
            made: self.made,
            failed: self.failed,
            drilled: self.drilled,
            panics: self.panics,
            is_locked: self.is_locked,
            is_drilling: self.is_drilling(),
            alarms: self.alarms.standing(),
            is_running: false,
        }
    }

    /// Whether a trial restore runs beside the rounds.
    pub(super) const fn is_drilling(&self) -> bool {
        self.trial.is_some()
    }

    /// Waits for the trial restore that runs beside the rounds, if one does, and tells how it ended.
    pub(super) fn finish(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        let Some(trial) = self.trial.take() else {
            return;
        };
        let outcome = trial.wait();
        alarm::drilling(false);
        self.guarded(on_event, |rounds, tell| {
            rounds.drilled(outcome, tell);
            Turn::Waiting(rounds.timer.now())
        });
    }

    /// Makes a round if one is due, or waits a while.
    pub(super) fn turn(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        if self.trial.as_ref().is_some_and(Running::has_ended) {
            self.finish(on_event);
            return;
        }
        let Turn::Waiting(due) = self.guarded(on_event, Self::round_if_due) else {
            return;
        };
        if self.announced != Some(due) {
            self.announced = Some(due);
            self.guarded(on_event, |_, tell| {
                tell(Event::Waiting { until: due });
                Turn::Waiting(due)
            });
        }
        let left = due.signed_duration_since(self.timer.now());
        let left = left.to_std().unwrap_or(Duration::ZERO);
        self.timer.nap(left.min(LONGEST_NAP), &self.interrupt);
    }

    /// Makes a round if one is due by what is in the store at this moment.
    pub(super) fn once(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Turn {
        self.looked = None;
        self.not_before = None;
        let turn = self.guarded(on_event, Self::round_if_due);
        if let Turn::Waiting(until) = turn {
            self.announced = Some(until);
            self.guarded(on_event, |_, tell| {
                tell(Event::Waiting { until });
                turn
            });
        }
        // Nobody remembers that the last trial failed but the store, which has no record of one that passed then.
        if matches!(turn, Turn::Waiting(_)) && self.last_made(self.timer.now()).is_some() {
            self.guarded(on_event, |rounds, tell| {
                rounds.drill_if_due(rounds.timer.now(), Duration::ZERO, tell);
                turn
            });
        }
        turn
    }

    /// What panics in there ends neither the thread nor the timetable: it is told, it is alarming
    /// until a round goes without, and it is tried again after a pause.
    fn guarded(
        &mut self,
        on_event: &mut dyn FnMut(Event<'_>),
        act: impl FnOnce(&mut Self, &mut dyn FnMut(Event<'_>)) -> Turn,
    ) -> Turn {
        let mut told = Vec::new();
        let mut tell = |event: Event<'_>| {
            let told_it = catch_unwind(AssertUnwindSafe(|| on_event(event)));
            told.extend(told_it.err().map(|panic| words(&*panic)));
        };
        let acted = catch_unwind(AssertUnwindSafe(|| act(self, &mut tell)));
        let job = acted.as_ref().err().map(|panic| words(&**panic));
        let turn = acted.unwrap_or(Turn::Round);
        for message in &told {
            tracing::error!(message, "a receiver of events of the scheduler panicked");
        }
        if let Some(message) = &job {
            tracing::error!(message, "a part of a round of backups panicked");
            self.failed += 1;
            alarm::count("panicked");
            self.pause_after_failure();
        }
        let beside = std::mem::take(&mut self.panicked);
        let messages: Vec<String> = told.into_iter().chain(beside).chain(job).collect();
        self.panics += messages.len() as u64;
        let mut silent_if_broken = |event: Event<'_>| {
            // It has been counted; a receiver that panics at every event is told no more.
            drop(catch_unwind(AssertUnwindSafe(|| on_event(event))));
        };
        if let Some(message) = messages.first() {
            silent_if_broken(Event::Panicked { message });
            self.alarms.raise(Alarm::Panicked, &mut silent_if_broken);
        } else if turn == Turn::Round {
            self.alarms.well(&Alarm::Panicked, &mut silent_if_broken);
        }
        turn
    }

    fn round_if_due(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Turn {
        let now = self.timer.now();
        let is_fresh = |(at, until): (DateTime<Utc>, DateTime<Utc>)| at <= now && now < until;
        let must_look = !self.looked.is_some_and(is_fresh);
        if must_look {
            self.look(now, on_event);
        }
        if !must_look && self.due(now) <= now {
            // Another process may have made it meanwhile.
            self.look(now, on_event);
        }
        self.judge(now, on_event);
        let due = self.due(now);
        if due > now {
            return Turn::Waiting(due);
        }
        let turn = self.round(on_event);
        self.throw_jitter();
        self.is_locked = turn == Turn::Locked;
        turn
    }

    /// Looks what is in the store. If that fails, what was known before has to do: it is no reason to
    /// make no backup.
    fn look(&mut self, now: DateTime<Utc>, on_event: &mut dyn FnMut(Event<'_>)) {
        // If the receiver panics it is not tried again at once.
        self.looked = Some((now, later(now, FAILED_PAUSE)));
        // One that panics keeps no backup from being made either.
        let seen = catch_unwind(AssertUnwindSafe(|| self.job.facts()));
        let seen = seen.map_err(|panic| {
            let message = words(&*panic);
            tracing::error!(message, "a look at the store of backups panicked");
            self.panicked.push(message);
        });
        let good_for = match seen {
            Ok(Ok(facts)) => {
                self.facts = facts;
                self.looks_failed = 0;
                self.alarms.well(&Alarm::StoreUnreadable, on_event);
                LOOK_EVERY
            }
            Ok(Err(Error::Interrupted)) if self.is_stopped() => return,
            failed => {
                alarm::count("look_failed");
                if let Ok(Err(error)) = &failed {
                    let part = "look";
                    on_event(Event::Failed { part, error });
                }
                self.alarms.raise(Alarm::StoreUnreadable, on_event);
                let pause = doubled(self.looks_failed);
                self.looks_failed = self.looks_failed.saturating_add(1);
                pause.min(LOOK_EVERY)
            }
        };
        self.looked = Some((now, later(now, good_for)));
    }

    /// The newest backup that is not of a clock that was wrong.
    fn newest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let past = |at: &DateTime<Utc>| !is_future(*at, now);
        self.facts.newest.filter(past).max(self.own.filter(past))
    }

    /// The same, whether a later look at it failed or not.
    fn last_made(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let past = |at: &DateTime<Utc>| !is_future(*at, now);
        self.newest(now).max(self.facts.last_made.filter(past))
    }

    /// Whether what there is has become too old.
    fn judge(&mut self, now: DateTime<Utc>, on_event: &mut dyn FnMut(Event<'_>)) {
        let newest = self.newest(now);
        let past = |at: &DateTime<Utc>| !is_future(*at, now);
        let last_drill = self.facts.last_drill.filter(past);
        let oldest = self.facts.oldest;
        self.alarms
            .judge(now, (newest, oldest, last_drill), on_event);
        match self.job.shrunk() {
            Some(shrunk) => {
                if !self.alarms.stands(&Alarm::Shrunk) {
                    tracing::error!(%shrunk, "a backup has shrunk");
                }
                self.alarms.raise(Alarm::Shrunk, on_event);
            }
            None => self.alarms.well(&Alarm::Shrunk, on_event),
        }
    }

    /// When the next backup is due. A moment in the future is that of a clock that was set back, and
    /// counts for nothing.
    fn due(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = self.last_made(now).map_or(now, |last| {
            let next = later(last, self.schedule.every).checked_add_signed(self.jitter);
            next.unwrap_or(DateTime::<Utc>::MAX_UTC)
        });
        // A pause that was set under another clock must not last for ever.
        let longest = later(now, self.schedule.every.max(LOCKED_PAUSE));
        let pause = self.not_before.filter(|until| *until <= longest);
        pause.map_or(due, |until| due.max(until))
    }

    fn round(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Turn {
        on_event(Event::Started);
        let began = self.timer.now();
        let made = self.job.back_up(&self.interrupt);
        let now = self.timer.now();
        let took = now
            .signed_duration_since(began)
            .to_std()
            .unwrap_or_default();
        match made {
            Ok(name) => {
                self.own = Some(now);
                self.not_before = None;
                self.in_a_row = 0;
                self.made += 1;
                alarm::count("made");
                self.alarms.well(&Alarm::Failing, on_event);
                self.judge(now, on_event);
                on_event(Event::Made { name: &name });
            }
            Err(Error::Locked { .. }) => {
                self.not_before = Some(later(now, LOCKED_PAUSE));
                on_event(Event::Locked);
                return Turn::Locked;
            }
            Err(error) => {
                self.fail("backup", &error, on_event);
                return Turn::Round;
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
        self.drill_if_due(now, self.until_next(took), on_event);
        if self.alarms.stands(&Alarm::StoreUnreadable) {
            self.look(self.timer.now(), on_event);
        }
        Turn::Round
    }

    /// How long it may be until a trial restore has ended that the next round begins, if that takes as long as the last
    /// ones took, and a timer does not look all the time whether it is due.
    fn until_next(&self, backup_took: Duration) -> Duration {
        let Schedule { every, jitter, .. } = self.schedule;
        let more = [jitter, LOOK_EVERY, backup_took, self.facts.drill_took];
        more.into_iter().fold(every, Duration::saturating_add)
    }

    /// Begins to restore the newest backup on trial, if it is time, or would be too late after so long, and none is
    /// restored yet.
    fn drill_if_due(
        &mut self,
        now: DateTime<Utc>,
        next: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) {
        let last_drill = self.facts.last_drill;
        let is_due = self.schedule.drill_every.is_some_and(|every| {
            let is_late = |at| later(at, every) <= later(now, next);
            last_drill.is_none_or(|at| is_future(at, now) || is_late(at))
        });
        if !is_due || self.is_drilling() || self.is_stopped() {
            return;
        }
        match Running::start(self.job.drill(), &self.interrupt, &self.timer) {
            Ok(trial) => {
                self.trial = Some(trial);
                alarm::drilling(true);
                on_event(Event::Drilling);
            }
            Err(error) => self.fail("drill", &error, on_event),
        }
    }

    /// Takes in how a trial restore ended.
    fn drilled(&mut self, outcome: Outcome, on_event: &mut dyn FnMut(Event<'_>)) {
        match outcome {
            Ok(Ok(())) => {
                let now = self.timer.now();
                self.facts.last_drill = Some(now);
                self.drilled += 1;
                alarm::count_drill("passed");
                on_event(Event::Drilled);
                self.alarms.well(&Alarm::DrillFailing, on_event);
                self.judge(now, on_event);
            }
            Ok(Err(error)) => self.fail("drill", &error, on_event),
            Err(message) => {
                tracing::error!(message, "a trial restore panicked");
                self.failed += 1;
                alarm::count_drill("panicked");
                self.panicked.push(message);
                self.alarms.raise(Alarm::DrillFailing, on_event);
            }
        }
    }

    fn fail(&mut self, part: &'static str, error: &Error, on_event: &mut dyn FnMut(Event<'_>)) {
        if matches!(error, Error::Interrupted) && self.is_stopped() {
            return;
        }
        self.failed += 1;
        let (alarm, count): (_, fn(&'static str)) = match part {
            "drill" => (Alarm::DrillFailing, alarm::count_drill),
            "prune" => (Alarm::PruneFailing, alarm::count),
            _ => (Alarm::Failing, alarm::count),
        };
        count("failed");
        on_event(Event::Failed { part, error });
        self.alarms.raise(alarm, on_event);
        if part == "backup" {
            self.pause_after_failure();
        }
    }

    fn pause_after_failure(&mut self) {
        let pause = doubled(self.in_a_row).min(self.schedule.every);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.not_before = Some(later(self.timer.now(), pause));
    }

    fn throw_jitter(&mut self) {
        let most = u64::try_from(self.schedule.jitter.as_millis()).unwrap_or(u64::MAX);
        let millis = self.random.u64(0..=most.min(u64::from(u32::MAX)));
        self.jitter = TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(0));
    }
}

/// The pause after so many failures.
fn doubled(failures: u32) -> Duration {
    FAILED_PAUSE.saturating_mul(1 << failures.min(10))
}
