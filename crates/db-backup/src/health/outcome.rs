//! What a check says.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::Limit;
use super::query::gauge;

/// How it is, the better before the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It cannot be told, which raises no alarm by itself: the reason is in the result.
    Unknown,
    /// It wants attention, and works meanwhile.
    Warn,
    /// It is broken, or is about to be.
    Fail,
}

impl State {
    /// The word in JSON and in metrics' descriptions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// The value of the gauge: 0 is ok, 1 warn, 2 fail, -1 unknown.
    #[must_use]
    pub const fn number(self) -> i8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => -1,
            Self::Warn => 1,
            Self::Fail => 2,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a check takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Milliseconds: catalogs, counters, `stat`.
    Cheap,
    /// As long as it takes to read the data.
    Expensive,
}

/// A number that a check saw, under the name of its metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// One of [`metrics`](super::metrics).
    pub metric: &'static str,
    /// In the unit of that metric.
    pub value: f64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How it is.
    pub state: State,
    /// What was seen, in words.
    pub observed: String,
    /// From where on it is not ok, in words.
    pub limit: Option<String>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// What it is about: the missing tables, the largest ones, the broken keys.
    pub names: Vec<String>,
    /// The numbers in it.
    pub measures: Vec<Measure>,
}

impl Verdict {
    /// A verdict of this state.
    #[must_use]
    pub fn new(state: State, observed: impl Into<String>) -> Self {
        Self {
            state,
            observed: observed.into(),
            limit: None,
            hint: None,
            names: Vec::new(),
            measures: Vec::new(),
        }
    }

    /// All is well.
    #[must_use]
    pub fn ok(observed: impl Into<String>) -> Self {
        Self::new(State::Ok, observed)
    }

    /// It wants attention.
    #[must_use]
    pub fn warn(observed: impl Into<String>) -> Self {
        Self::new(State::Warn, observed)
    }

    /// It is broken.
    #[must_use]
    pub fn fail(observed: impl Into<String>) -> Self {
        Self::new(State::Fail, observed)
    }

    /// It cannot be told, for this reason.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::new(State::Unknown, reason)
    }

    /// The same with a limit in words.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<String>) -> Self {
        self.limit = Some(limit.into());
        self
    }

    /// The same with the two values of a limit.
    #[must_use]
    pub(crate) fn at<T>(self, limit: &Limit<T>, show: impl Fn(&T) -> String) -> Self {
        let text = format!("warn {}, fail {}", show(&limit.warn), show(&limit.fail));
        self.limit(text)
    }

    /// The same with what to do, which is said only where something is to be done, and once.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        if self.state != State::Ok && self.hint.is_none() {
            self.hint = Some(hint.into());
        }
        self
    }

    /// The same with what it is about.
    #[must_use]
    pub fn names(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }

    /// The same with a number.
    #[must_use]
    pub fn measure(mut self, metric: &'static str, value: f64) -> Self {
        self.measures.push(Measure { metric, value });
        self
    }
}

/// What a check found, and when.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct CheckResult {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it takes.
    pub cost: Cost,
    /// How it is.
    pub state: State,
    /// What was seen, in words.
    pub observed: String,
    /// From where on it is not ok, in words.
    pub limit: Option<String>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// What it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The numbers in it, by the names of their metrics.
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "json-schema",
        schemars(with = "std::collections::BTreeMap<String, f64>")
    )]
    pub measures: Vec<Measure>,
    /// How long the check took.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "json-schema", schemars(with = "f64"))]
    pub took: Duration,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How long ago that was when the report was made: what reads the data is looked at less often.
    #[serde(rename = "age_ms", serialize_with = "as_millis")]
    #[cfg_attr(feature = "json-schema", schemars(with = "f64"))]
    pub age: Duration,
}

impl CheckResult {
    /// The number under this metric.
    #[must_use]
    pub fn measured(&self, metric: &str) -> Option<f64> {
        let found = self.measures.iter().find(|m| m.metric == metric);
        found.map(|measure| measure.value)
    }
}

fn as_map<S: Serializer>(measures: &[Measure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(measures.iter().map(|m| (m.metric, m.value)))
}

fn as_millis<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Microseconds are as much as a clock tells.
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    serializer.serialize_f64(gauge(micros) / 1_000.0)
}
