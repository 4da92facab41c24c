//! What is wrong, told once when it begins and once when it ends, and as metrics.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Event, later};

const ROUNDS: &str = "bitcraps.db.backup.rounds";
const ALARMS: &str = "bitcraps.db.backup.alarms";
pub(super) const LAST_BACKUP: &str = "bitcraps.db.backup.last_success";
const LAST_DRILL: &str = "bitcraps.db.backup.last_verified";

/// Something that somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
}

impl Alarm {
    const ALL: [Self; 4] = [
        Self::Failing,
        Self::DrillFailing,
        Self::PruneFailing,
        Self::VerifiedTooOld,
    ];

    const fn name(&self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::DrillFailing => "drill_failing",
            Self::PruneFailing => "prune_failing",
            Self::VerifiedTooOld => "verified_too_old",
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
        })
    }
}

/// The alarms of one scheduler.
#[derive(Debug)]
pub(super) struct Alarms {
    standing: Vec<Alarm>,
    born: DateTime<Utc>,
    verified_within: Duration,
}

impl Alarms {
    pub(super) fn new(now: DateTime<Utc>, verified_within: Duration) -> Self {
        describe();
        let alarms = Self {
            standing: Vec::new(),
            born: now,
            verified_within,
        };
        for alarm in &Alarm::ALL {
            set(alarm, false);
        }
        alarms
    }

    pub(super) fn standing(&self) -> Vec<Alarm> {
        self.standing.clone()
    }

    pub(super) fn raise(&mut self, alarm: Alarm, on_event: &mut dyn FnMut(Event<'_>)) {
        if self.standing.contains(&alarm) {
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

    /// Looks whether the last trial restore is too old. If there never was one, the scheduler's own
    /// age counts: a new store is not alarming at once.
    pub(super) fn look(
        &mut self,
        now: DateTime<Utc>,
        last_drill: Option<DateTime<Utc>>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) {
        if let Some(at) = last_drill {
            gauge_now(LAST_DRILL, at);
        }
        let since = last_drill.unwrap_or(self.born);
        if later(since, self.verified_within) < now {
            self.raise(Alarm::VerifiedTooOld, on_event);
        } else {
            self.well(&Alarm::VerifiedTooOld, on_event);
        }
    }
}

/// Counts a round by its outcome.
pub(super) fn count(outcome: &'static str) {
    metrics::counter!(ROUNDS, "outcome" => outcome).increment(1);
}

/// Sets a gauge to a moment, in seconds since 1970.
pub(super) fn gauge_now(name: &'static str, at: DateTime<Utc>) {
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
