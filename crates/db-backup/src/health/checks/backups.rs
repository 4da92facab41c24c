//! How old the last backup is, and the last that was proven.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::duration::show;

use super::super::look::{Look, Untold};
use super::super::query::{Trouble, counted, gauge};
use super::super::{Limit, State, Verdict, metrics};

/// What is wrong with a place of backups is said more closely by whoever works on it.
const WRONG_PLACE: &str = "is dir in [backup] of bitcraps-db.toml right, and what the environment says of a bucket? \
     `bitcraps-db backup list` says more";

const UNTOLD: &str = "nobody tells where backups are (dir in [backup] of bitcraps-db.toml does)";

/// There is a young backup, and the last attempt worked.
pub(super) fn backup(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let ages = match look.ages() {
        None => return Ok(Verdict::unknown(UNTOLD)),
        Some(Err(untold)) => return not_told(untold),
        Some(Ok(ages)) => ages,
    };
    let limit = &look.limits.backup_age;
    let aged = Aged {
        at: ages.last_backup,
        never: "there is no backup",
        what: "the last backup is",
        limit,
        metric: metrics::BACKUP_AGE,
    };
    let mut verdict = aged.verdict(look.now);
    if ages.failures > 0 {
        let failures = counted(ages.failures, "attempt has", "attempts have");
        verdict.observed = format!("{}; {failures} failed since", verdict.observed);
        verdict.state = verdict.state.max(State::Warn);
    }
    if ages.shrunk {
        let observed = &mut verdict.observed;
        observed.push_str("; it has less than half of the rows of the one before");
        verdict.state = verdict.state.max(State::Warn);
        verdict = verdict.hint(
            "was the database lost, and made anew? `bitcraps-db backup status` names both backups",
        );
    }
    Ok(verdict
        .hint("`bitcraps-db backup` makes one now; `backup schedule` one every hour")
        .measure(metrics::BACKUP_FAILURES, gauge(ages.failures)))
}

/// A backup was restored and verified not long ago, and of none it is known that it would not be.
pub(super) fn restore_drill(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let ages = match look.ages() {
        None => return Ok(Verdict::unknown(UNTOLD)),
        Some(Err(untold)) => return not_told(untold),
        Some(Ok(ages)) => ages,
    };
    let aged = Aged {
        at: ages.last_verified_restore,
        never: "no backup counts as restored and verified",
        what: "the last verified restore is",
        limit: &look.limits.restore_age,
        metric: metrics::RESTORE_AGE,
    };
    let mut verdict = aged.verdict(look.now);
    if ages.failed > 0 {
        let failed = counted(ages.failed, "backup has", "backups have");
        verdict.observed = format!("{}; {failed} failed a verification", verdict.observed);
        verdict.state = verdict.state.max(State::Warn);
        verdict = verdict.hint("`bitcraps-db backup list` says which, and why");
    }
    Ok(verdict.hint("`bitcraps-db backup verify --restore` restores the latest one on the side"))
}

/// A place that is wrong must not look well: nothing is backed up there. What passes by itself is unknown.
fn not_told(untold: Untold) -> Result<Verdict, Trouble> {
    if untold.is_wrong {
        return Ok(Verdict::warn(untold.words).hint(WRONG_PLACE));
    }
    Err(Trouble::Other(untold.words))
}

struct Aged<'l> {
    at: Option<DateTime<Utc>>,
    never: &'static str,
    what: &'static str,
    limit: &'l Limit<Duration>,
    metric: &'static str,
}

impl Aged<'_> {
    fn verdict(&self, now: DateTime<Utc>) -> Verdict {
        let Some(at) = self.at else {
            return Verdict::fail(self.never).at(self.limit, |age| show(*age));
        };
        let age = now.signed_duration_since(at);
        let what = self.what;
        let verdict = match age.to_std() {
            Ok(age) => Verdict::new(self.limit.judge(&age), format!("{what} {} old", show(age))),
            // The check of the clock says which of the two is wrong.
            Err(_) => Verdict::ok(format!("{what} of {at}, which is still to come")),
        };
        let seconds = age.max(TimeDelta::zero()).as_seconds_f64();
        verdict
            .at(self.limit, |age| show(*age))
            .measure(self.metric, seconds)
    }
}
