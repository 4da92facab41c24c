//! Alerts: when somebody has to be told, and when it is over.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::{CheckResult, HealthLimits, HealthReport, State, metrics};

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
    /// How long it has to hold as long as what it is about was never made, nor failed.
    pub before_first: Duration,
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
            before_first: Duration::ZERO,
        }
    }

    /// The same, but only after it has held for so long.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// The same, but of backups or trial restores only after it has held for so long while there never
    /// was one, as at a first start, and none failed.
    #[must_use]
    pub const fn before_first(mut self, grace: Duration) -> Self {
        self.before_first = grace;
        self
    }

    /// The rules that every operation needs: the pool is exhausted, transactions fail, backups
    /// fail or are old, the disk fills up, events do not leave, and everything else that is broken.
    ///
    /// That there never was a backup, or a trial restore, is told when it has been so for as long as
    /// the usual [`HealthLimits`] let the last one be old. A monitor that begins anew counts anew.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let warn = Condition::AtLeast(State::Warn);
        let fail = Condition::AtLeast(State::Fail);
        let limits = HealthLimits::default();
        let mut rules = vec![
            Self::new("pool_exhaustion", "pool", warn).after(Duration::from_secs(30)),
            Self::new("transaction_failures", "failures", warn),
            Self::new("backup_failures", "backup", warn).before_first(limits.backup_age.warn),
            Self::new("restore_drill_missing", "restore_drill", warn)
                .before_first(limits.restore_age.warn),
            Self::new("disk_space", "disk", warn),
            Self::new("long_transaction", "transactions", warn),
            Self::new("wal_size", "wal", warn).after(Duration::from_mins(1)),
            Self::new("replica_lag", "replication", warn).after(Duration::from_secs(30)),
            // Of an application that has such a check.
            Self::new("outbox", "outbox", warn),
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
            // Of an application that has such checks.
            "half_copy",
            "money",
            "audit_chain",
        ];
        rules.extend(broken.map(|check| Self::new(check, check, fail)));
        rules
    }

    /// How long it has to hold now.
    fn patience(&self, result: &CheckResult) -> Duration {
        if is_before_first(result) {
            self.after.max(self.before_first)
        } else {
            self.after
        }
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
            let is_due = now.saturating_duration_since(since) >= self.rule.patience(result);
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

/// Whether a check of backups or trial restores has seen none, nor that one failed.
fn is_before_first(result: &CheckResult) -> bool {
    let age = [metrics::BACKUP_AGE, metrics::RESTORE_AGE];
    let was_made = age.iter().any(|age| result.measured(age).is_some());
    let failures = result.measured(metrics::BACKUP_FAILURES);
    !was_made && failures.is_none_or(|failures| failures < 1.0)
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
    fn a_first_backup_has_its_time() {
        let rules = AlertRule::usual();
        let rule = rules.iter().find(|rule| rule.name == "backup_failures");
        let rule = rule.unwrap();
        let told = |seconds, measures: &[(&'static str, f64)]| {
            let mut watched = Watched::new(rule.clone());
            let mut report = report(State::Fail, 0.0);
            report.results[0].name = "backup".into();
            let measures = measures
                .iter()
                .map(|&(metric, value)| Measure { metric, value });
            report.results[0].measures = measures.collect();
            let start = Instant::now();
            let at = |seconds| start + Duration::from_secs(seconds);
            let first = watched.after(&report, start);
            first
                .or_else(|| watched.after(&report, at(seconds)))
                .is_some()
        };
        let none_failed = [(metrics::BACKUP_FAILURES, 0.0)];
        assert!(!told(7_199, &none_failed));
        assert!(told(7_200, &none_failed));
        // One that failed, and one that is old, are told at once.
        assert!(told(0, &[(metrics::BACKUP_FAILURES, 1.0)]));
        assert!(told(0, &[(metrics::BACKUP_AGE, 90_000.0)]));
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
