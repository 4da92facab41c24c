//! Alerts: when somebody has to be told, and when it is over.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::{CheckResult, HealthReport, State};

/// What makes an alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// The check is at least this bad.
    AtLeast(State),
    /// The number under this metric is above that.
    Above(&'static str, f64),
    /// The number under this metric is below that.
    Below(&'static str, f64),
}

/// A rule: which check, what condition, and for how long before anybody is told.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// Its name, by which whoever is told knows it.
    pub name: Cow<'static, str>,
    /// The check that it is about.
    pub check: Cow<'static, str>,
    /// When it holds.
    pub condition: Condition,
    /// How long it has to hold.
    pub after: Duration,
}

/// Whether an alert begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertChange {
    /// It holds, and has for long enough.
    Raised,
    /// It does not hold any more.
    Cleared,
}

/// An alert, as a callback gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Whether it begins or ends.
    pub change: AlertChange,
    /// The rule.
    pub rule: AlertRule,
    /// What the check saw.
    pub result: CheckResult,
}

impl AlertRule {
    /// Tells at once when the check is at least this bad.
    #[must_use]
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        check: impl Into<Cow<'static, str>>,
        condition: Condition,
    ) -> Self {
        Self {
            name: name.into(),
            check: check.into(),
            condition,
            after: Duration::ZERO,
        }
    }

    /// The same, but only after it has held for so long.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// The rules that every operation needs: the pool is exhausted, transactions fail, backups
    /// fail or are old, the disk fills up, and everything else that is broken.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let warn = Condition::AtLeast(State::Warn);
        let fail = Condition::AtLeast(State::Fail);
        let mut rules = vec![
            Self::new("pool_exhaustion", "pool", warn).after(Duration::from_secs(30)),
            Self::new("transaction_failures", "failures", warn),
            Self::new("backup_failures", "backup", warn),
            Self::new("restore_drill_missing", "restore_drill", warn),
            Self::new("disk_space", "disk", warn),
            Self::new("long_transaction", "transactions", warn),
            Self::new("wal_size", "wal", warn).after(Duration::from_mins(1)),
            Self::new("replica_lag", "replication", warn).after(Duration::from_secs(30)),
        ];
        let broken = [
            "connectivity",
            "response_time",
            "tables",
            "indexes",
            "migrations",
            "writable",
            "clock",
            "invalid_indexes",
            "slots",
            "wal_archive",
            "transaction_age",
            "integrity",
            "foreign_keys",
            "damage",
        ];
        rules.extend(broken.map(|check| Self::new(check, check, fail)));
        rules
    }

    fn holds(&self, result: &CheckResult) -> Option<bool> {
        if result.state == State::Unknown {
            return None;
        }
        match self.condition {
            Condition::AtLeast(state) => Some(result.state >= state),
            Condition::Above(metric, limit) => result.measured(metric).map(|value| value > limit),
            Condition::Below(metric, limit) => result.measured(metric).map(|value| value < limit),
        }
    }
}

/// A rule and how it stands.
#[derive(Debug)]
pub(super) struct Watched {
    rule: AlertRule,
    since: Option<Instant>,
    is_raised: bool,
}

impl Watched {
    pub(super) const fn new(rule: AlertRule) -> Self {
        Self {
            rule,
            since: None,
            is_raised: false,
        }
    }

    /// What has to be told after a look. What cannot be told leaves an alert as it is.
    pub(super) fn after(&mut self, report: &HealthReport, now: Instant) -> Option<Alert> {
        let result = report.find(&self.rule.check)?;
        let change = if self.rule.holds(result)? {
            let since = *self.since.get_or_insert(now);
            let is_due = now.saturating_duration_since(since) >= self.rule.after;
            (is_due && !self.is_raised).then_some(AlertChange::Raised)
        } else {
            self.since = None;
            self.is_raised.then_some(AlertChange::Cleared)
        }?;
        self.is_raised = change == AlertChange::Raised;
        Some(Alert {
            change,
            rule: self.rule.clone(),
            result: result.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use db_core::Engine;

    use super::super::{Cost, Measure, metrics};
    use super::*;

    fn report(state: State, value: f64) -> HealthReport {
        HealthReport {
            engine: Engine::Sqlite,
            location: String::new(),
            at: DateTime::UNIX_EPOCH,
            took: Duration::ZERO,
            refused: None,
            met: None,
            forbidden: None,
            results: vec![CheckResult {
                name: "disk".into(),
                cost: Cost::Cheap,
                state,
                observed: String::new(),
                limit: None,
                hint: None,
                names: Vec::new(),
                measures: vec![Measure {
                    metric: metrics::DISK_FREE,
                    value,
                }],
                took: Duration::ZERO,
                at: DateTime::UNIX_EPOCH,
                age: Duration::ZERO,
            }],
        }
    }

    #[test]
    fn an_alert_waits_and_is_told_once_each_way() {
        let rule = AlertRule::new("full", "disk", Condition::AtLeast(State::Warn));
        let mut watched = Watched::new(rule.after(Duration::from_secs(30)));
        let start = Instant::now();
        let mut told = |seconds, state| {
            let now = start + Duration::from_secs(seconds);
            watched
                .after(&report(state, 0.0), now)
                .map(|alert| alert.change)
        };
        assert_eq!(told(0, State::Warn), None);
        assert_eq!(told(20, State::Ok), None);
        assert_eq!(told(30, State::Fail), None);
        assert_eq!(told(59, State::Fail), None);
        assert_eq!(told(60, State::Warn), Some(AlertChange::Raised));
        assert_eq!(told(70, State::Fail), None);
        assert_eq!(told(80, State::Unknown), None);
        assert_eq!(told(90, State::Ok), Some(AlertChange::Cleared));
        assert_eq!(told(100, State::Ok), None);
    }

    #[test]
    fn a_number_has_a_threshold_too() {
        let rule = |condition| AlertRule::new("full", "disk", condition);
        let told = |condition, value| {
            let mut watched = Watched::new(rule(condition));
            watched
                .after(&report(State::Ok, value), Instant::now())
                .is_some()
        };
        assert!(told(Condition::Below(metrics::DISK_FREE, 5.0), 4.0));
        assert!(!told(Condition::Below(metrics::DISK_FREE, 5.0), 6.0));
        assert!(told(Condition::Above(metrics::DISK_FREE, 5.0), 6.0));
        assert!(!told(Condition::Above(metrics::WAL_FILE_SIZE, 5.0), 6.0));
    }
}
