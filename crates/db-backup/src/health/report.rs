//! What a look came to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use db_core::duration::show;
use db_core::{Engine, Error};
use serde::Serialize;

use super::checks::{CONNECTIVITY, INDEXES, TABLES};
use super::examiner::worst;
use super::{CheckResult, State};

/// What every check but that of the connection observes where there is none.
pub const CANNOT_BE_OPENED: &str = "the database cannot be opened";

/// All results of a look, in the order of the checks.
#[derive(Debug, Clone)]
pub struct HealthReport {
    /// Which engine.
    pub engine: Engine,
    /// The file, or the server's URL without its password.
    pub location: String,
    /// When the look began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// What each check saw. Those of earlier looks say when that was.
    pub results: Vec<CheckResult>,
    /// Why the database cannot be opened.
    pub refused: Option<Error>,
    /// The worst that the engine said while a check looked: an error of the disk, or else damage.
    pub met: Option<Error>,
    /// The first refusal of the server to let the role read what a check needs: a table, a schema, a
    /// sequence. What only says more of the server, for which `pg_monitor` is needed, is none.
    pub forbidden: Option<Error>,
}

/// A report as JSON: three parts that many tools know, the whole, and each check.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct HealthDocument<'r> {
    engine: &'static str,
    location: &'r str,
    checked_at: DateTime<Utc>,
    took_ms: f64,
    connectivity: Connectivity<'r>,
    /// None if this was not looked at.
    tables: Option<Missing<'r>>,
    indexes: Option<Missing<'r>>,
    /// Whether nothing is broken; what only wants attention does not count.
    overall_healthy: bool,
    state: State,
    checks: &'r [CheckResult],
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
struct Connectivity<'r> {
    ok: bool,
    error: Option<&'r str>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
struct Missing<'r> {
    ok: bool,
    missing: &'r [String],
}

impl HealthReport {
    /// The worst that was seen. What is unknown does not count, unless nothing is known.
    #[must_use]
    pub fn state(&self) -> State {
        worst(&self.results)
    }

    /// Whether nothing is broken, and nothing of the database was kept from the role that looked.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.forbidden.is_none() && matches!(self.state(), State::Ok | State::Warn)
    }

    /// What the check of this name saw.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&CheckResult> {
        self.results.iter().find(|result| result.name == name)
    }

    /// The report for JSON.
    #[must_use]
    pub fn document(&self) -> HealthDocument<'_> {
        let missing = |name| {
            self.find(name).map(|result: &CheckResult| Missing {
                ok: result.state == State::Ok,
                missing: &result.names,
            })
        };
        HealthDocument {
            engine: self.engine.name(),
            location: &self.location,
            checked_at: self.at,
            took_ms: self.took.as_secs_f64() * 1_000.0,
            connectivity: Connectivity {
                ok: self
                    .find(CONNECTIVITY)
                    .is_some_and(|result| result.state == State::Ok),
                error: self.refused.as_ref().map(Error::message),
            },
            tables: missing(TABLES),
            indexes: missing(INDEXES),
            overall_healthy: self.is_healthy(),
            state: self.state(),
            checks: &self.results,
        }
    }

    /// This report, with the results of an earlier one where this has none. They are so much
    /// older, and what is older than `stale` is not known any more, unless it was broken: that it
    /// stays until somebody has seen it whole.
    #[must_use]
    pub(super) fn over(mut self, earlier: &Self, age: Duration, stale: Option<Duration>) -> Self {
        let kept = earlier.results.iter();
        let kept = kept.filter(|old| self.find(&old.name).is_none());
        let kept: Vec<_> = kept.map(|old| aged(old, age, stale)).collect();
        self.results.extend(kept);
        self.met = self.met.or_else(|| earlier.met.clone());
        self.forbidden = self.forbidden.or_else(|| earlier.forbidden.clone());
        self
    }
}

fn aged(result: &CheckResult, age: Duration, stale: Option<Duration>) -> CheckResult {
    let mut result = CheckResult {
        age: result.age.max(age),
        ..result.clone()
    };
    if stale.is_some_and(|stale| age > stale) {
        result.observed = format!("not looked at for {}: {}", show(age), result.observed);
        if result.state != State::Fail {
            result.state = State::Unknown;
        }
    }
    result
}
