//! Backups on a timetable, in a thread of an application or as a program of their own.
//!
//! A round makes a backup, prunes, and now and then, before the last one is too old, begins to restore one on trial, in
//! a thread beside it: that may take hours, and the next backup is made when it is due all the same. When the next one
//! is due is counted from the newest backup in the store by the wall clock, so that a restart makes none too
//! many, a machine that slept catches up with one at once, and two processes share one timetable:
//! whoever finds the store locked looks again a moment later. If the clock was set back, a backup is
//! made at once and the count begins anew.

mod alarm;
mod job;
mod rounds;
mod timer;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Interrupt;

pub use alarm::Alarm;
pub use job::{Facts, Job, StoreJob, Trial};
pub use timer::{SystemTimer, Timer};

use crate::error::Error;
use crate::priority::lower_priority;
use rounds::{Rounds, Turn};

/// While another's lock is waited for, it is looked at so often.
const LOCK_LOOK: Duration = Duration::from_secs(1);

/// When backups are made, and what is alarming.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// From one backup to the next.
    pub every: Duration,
    /// Up to so much is added at random, so that many machines do not begin at once.
    pub jitter: Duration,
    /// A trial restore is to be followed by the next one within this, as far as the interval of backups, with one of
    /// which each begins, allows it; `None` for none.
    pub drill_every: Option<Duration>,
    /// A last trial restore that is older than this is alarming; so is a store whose oldest backup
    /// is, if none was ever restored, unless there are to be none.
    pub verified_within: Duration,
    /// A newest backup that is older than this is alarming. `None` is twice the interval and the
    /// jitter.
    pub backup_within: Option<Duration>,
    /// How long a single round waits if somebody else is at work in the store.
    pub lock_wait: Duration,
}

impl Schedule {
    /// How old the newest backup may be.
    #[must_use]
    pub fn backup_within(&self) -> Duration {
        let usual = || self.every.saturating_mul(2).saturating_add(self.jitter);
        self.backup_within.unwrap_or_else(usual)
    }
}

impl Default for Schedule {
    /// Every hour, with up to three minutes of jitter; a trial restore a day, and an alarm if the
    /// last one is older than a day and a half, or the newest backup than two hours and the jitter.
    fn default() -> Self {
        Self {
            every: Duration::from_hours(1),
            jitter: Duration::from_mins(3),
            drill_every: Some(Duration::from_hours(24)),
            verified_within: Duration::from_hours(36),
            backup_within: None,
            lock_wait: Duration::from_secs(30),
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
    /// A trial restore begins, beside the rounds.
    Drilling,
    /// A backup was restored on trial.
    Drilled,
    /// A part of a round failed.
    Failed {
        /// `look` (at the store, before it is known what is due), `backup`, `prune` or `drill`.
        part: &'static str,
        /// Why.
        error: &'e Error,
    },
    /// A part of a round, or a receiver of events, panicked. It goes on.
    Panicked {
        /// With these words.
        message: &'e str,
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
    /// Parts of rounds that failed. Looks at the store are none.
    pub failed: u64,
    /// Trial restores that passed.
    pub drilled: u64,
    /// Panics that were caught.
    pub panics: u64,
    /// Whether the last round found somebody else at work in the store, and did nothing.
    pub is_locked: bool,
    /// Whether a backup is restored on trial now.
    pub is_drilling: bool,
    /// What is wrong now.
    pub alarms: Vec<Alarm>,
    /// Whether the thread of a [`BackupScheduler`] lives.
    pub is_running: bool,
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
        let shared = Alive(Arc::clone(&state));
        shared.tell(rounds.state());
        let thread = std::thread::Builder::new()
            .name("backups".to_owned())
            .spawn(move || {
                let shared = shared;
                lower_priority();
                while !rounds.is_stopped() {
                    rounds.turn(&mut on_event);
                    shared.tell(rounds.state());
                }
                rounds.finish(&mut on_event);
                shared.tell(rounds.state());
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

    /// Stops it, and a backup that is being made or restored on trial: nothing of that is left. Returns when its
    /// threads have ended.
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

/// The state that others see. It says that the thread lives until the thread drops it, however.
struct Alive(Arc<Mutex<State>>);

impl Alive {
    fn tell(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State {
            is_running: true,
            ..state
        };
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_running = false;
    }
}

impl Drop for BackupScheduler {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs on the calling thread until the interrupt is set. `once` returns after one round, and makes
/// it only if a backup is due; for a store that is locked it waits a while. If it restores on trial, it returns
/// when that is done, and makes what falls due meanwhile.
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
    let deadline = later(timer.now(), schedule.lock_wait);
    let mut rounds = Rounds::new(schedule, job, Arc::clone(&timer), interrupt.clone());
    if once {
        while rounds.once(on_event) == Turn::Locked && !rounds.is_stopped() {
            let left = deadline.signed_duration_since(timer.now()).to_std();
            let Some(left) = left.ok().filter(|left| !left.is_zero()) else {
                break;
            };
            timer.nap(left.min(LOCK_LOOK), interrupt);
        }
    }
    // Also a single round keeps no backup waiting for its trial restore.
    while !rounds.is_stopped() && (!once || rounds.is_drilling()) {
        rounds.turn(on_event);
    }
    rounds.finish(on_event);
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

/// A moment later; the end of time if there is none.
fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| at.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
