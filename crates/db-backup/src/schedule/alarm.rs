//! What is wrong, told once when it begins and once when it ends, and as metrics.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Event, Schedule, later};

const ROUNDS: &str = "bitcraps.db.backup.rounds";
const DRILLS: &str = "bitcraps.db.backup.drills";
const DRILLING: &str = "bitcraps.db.backup.drilling";
const ALARMS: &str = "bitcraps.db.backup.alarms";
const LAST_BACKUP: &str = "bitcraps.db.backup.last_success";
const LAST_DRILL: &str = "bitcraps.db.backup.last_verified";

/// Something that somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Alarm {
    /// The last backup failed.
    Failing,
    /// The last trial restore failed.
    DrillFailing,
    /// Old backups could not be removed.
    PruneFailing,
    /// The last trial restore is too long ago.
    VerifiedTooOld,
    /// The newest backup is too old: more would be lost than was meant.
    BackupTooOld,
    /// The newest backup has less than half of the rows of the one before.
    Shrunk,
    /// It cannot be seen what is in the store.
    StoreUnreadable,
    /// A part of the last round, or a receiver of events, panicked.
    Panicked,
}

impl Alarm {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Failing,
        Self::DrillFailing,
        Self::PruneFailing,
        Self::VerifiedTooOld,
        Self::BackupTooOld,
        Self::Shrunk,
        Self::StoreUnreadable,
        Self::Panicked,
    ];

    /// The word for it, as metrics have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::DrillFailing => "drill_failing",
            Self::PruneFailing => "prune_failing",
            Self::VerifiedTooOld => "verified_too_old",
            Self::BackupTooOld => "backup_too_old",
            Self::Shrunk => "shrunk",
            Self::StoreUnreadable => "store_unreadable",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failing => "the last backup failed",
            Self::DrillFailing => "the last trial restore failed",
            Self::PruneFailing => "old backups could not be removed",
            Self::VerifiedTooOld => "no backup was restored on trial for too long",
            Self::BackupTooOld => "the newest backup is too old",
            Self::Shrunk => "the newest backup has less than half of the rows of the one before",
            Self::StoreUnreadable => "the store of backups cannot be looked at",
            Self::Panicked => "a part of the scheduler panicked",
        })
    }
}

/// The alarms of one scheduler.
#[derive(Debug)]
pub(super) struct Alarms {
    standing: Vec<Alarm>,
    born: DateTime<Utc>,
    verified_within: Duration,
    /// Whether it restores on trial itself. Else only what others did becomes too old.
    drills: bool,
    backup_within: Duration,
}

/// The moments of the newest and the oldest backup, and of the last trial restore.
type Moments = (
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
);

impl Alarms {
    pub(super) fn new(now: DateTime<Utc>, schedule: &Schedule) -> Self {
        describe();
        let alarms = Self {
            standing: Vec::new(),
            born: now,
            verified_within: schedule.verified_within,
            drills: schedule.drill_every.is_some(),
            backup_within: schedule.backup_within(),
        };
        for alarm in &Alarm::ALL {
            set(alarm, false);
        }
        drilling(false);
        alarms
    }

    pub(super) fn standing(&self) -> Vec<Alarm> {
        self.standing.clone()
    }

    pub(super) fn raise(&mut self, alarm: Alarm, on_event: &mut dyn FnMut(Event<'_>)) {
        if self.stands(&alarm) {
            return;
        }
        tracing::error!(alarm = alarm.name(), "{alarm}");
        set(&alarm, true);
        on_event(Event::Raised { alarm: &alarm });
        self.standing.push(alarm);
    }

    pub(super) fn well(&mut self, alarm: &Alarm, on_event: &mut dyn FnMut(Event<'_>)) {
        let Some(at) = self.standing.iter().position(|known| known == alarm) else {
            return;
        };
        let alarm = self.standing.swap_remove(at);
        set(&alarm, false);
        on_event(Event::Cleared { alarm: &alarm });
    }

    pub(super) fn stands(&self, alarm: &Alarm) -> bool {
        self.standing.contains(alarm)
    }

    /// Judges whether the newest backup and the last trial restore are too old. Where there is none,
    /// the scheduler's own age counts, so that a new store is not alarming at once; for trial
    /// restores also that of the oldest backup, so that one that is started again and again alarms.
    /// A schedule without trial restores is not asked for one, until somebody makes the first.
    pub(super) fn judge(
        &mut self,
        now: DateTime<Utc>,
        (newest, oldest, last_drill): Moments,
        on_event: &mut dyn FnMut(Event<'_>),
    ) {
        for (gauge, at) in [(LAST_BACKUP, newest), (LAST_DRILL, last_drill)] {
            if let Some(at) = at {
                gauge_at(gauge, at);
            }
        }
        let never = oldest.map_or(self.born, |oldest| oldest.min(self.born));
        let verified = self.drills || last_drill.is_some();
        for (alarm, since, within) in [
            (
                Alarm::BackupTooOld,
                Some(newest.unwrap_or(self.born)),
                self.backup_within,
            ),
            (
                Alarm::VerifiedTooOld,
                verified.then(|| last_drill.unwrap_or(never)),
                self.verified_within,
            ),
        ] {
            if since.is_some_and(|since| later(since, within) < now) {
                self.raise(alarm, on_event);
            } else {
                self.well(&alarm, on_event);
            }
        }
    }
}

/// Counts a round by its outcome.
pub(super) fn count(outcome: &'static str) {
    metrics::counter!(ROUNDS, "outcome" => outcome).increment(1);
}

/// Counts a trial restore by its outcome.
pub(super) fn count_drill(outcome: &'static str) {
    metrics::counter!(DRILLS, "outcome" => outcome).increment(1);
}

/// Tells whether one is under way.
pub(super) fn drilling(is_on: bool) {
    metrics::gauge!(DRILLING).set(if is_on { 1.0 } else { 0.0 });
}

/// Sets a gauge to a moment, in seconds since 1970.
fn gauge_at(name: &'static str, at: DateTime<Utc>) {
    // Seconds of this era are exact in it.
    #[expect(clippy::cast_precision_loss, reason = "a moment needs 34 bits")]
    metrics::gauge!(name).set(at.timestamp() as f64);
}

fn set(alarm: &Alarm, stands: bool) {
    metrics::gauge!(ALARMS, "alarm" => alarm.name()).set(if stands { 1.0 } else { 0.0 });
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_counter!(ROUNDS, Unit::Count, "Rounds of backups, by outcome");
    describe_counter!(DRILLS, Unit::Count, "Trial restores, by outcome");
    describe_gauge!(DRILLING, Unit::Count, "1 while one is restored on trial");
    describe_gauge!(
        ALARMS,
        Unit::Count,
        "1 while something is wrong with backups"
    );
    describe_gauge!(LAST_BACKUP, Unit::Seconds, "When the last backup was made");
    describe_gauge!(
        LAST_DRILL,
        Unit::Seconds,
        "When one was last restored on trial"
    );
}
