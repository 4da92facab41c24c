//! The bars in `bench/bars.toml`, and how figures are judged by them.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::metrics::Metrics;

/// Who is judged; the other names in a bar are peers.
const SUBJECT: &str = "ours";

/// All bars of all areas.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bars {
    #[serde(rename = "bar")]
    all: Vec<Bar>,
}

/// One limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bar {
    name: String,
    area: String,
    metric: String,
    kind: Kind,
    /// No more than this; one of the two, for a time or a count.
    max: Option<f64>,
    /// No less than this; one of the two, for a rate.
    min: Option<f64>,
    /// Ratio only: the peer that our figure is divided by.
    against: Option<String>,
    /// Ratio only: the peer's metric, where it is not the same as ours.
    against_metric: Option<String>,
    unit: String,
    reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Our figure divided by a peer's, both from the same run.
    Ratio,
    /// Our figure as it is.
    Absolute,
}

/// What became of one bar.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The bar.
    pub(crate) bar: Bar,
    /// The figure that was compared with it; nothing if it was not measured.
    pub(crate) value: Option<f64>,
}

impl Bars {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// If it cannot be read, or a bar makes no sense.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let bars: Self = toml::from_str(text)?;
        for bar in &bars.all {
            let name = &bar.name;
            ensure!(
                bar.max.is_some() != bar.min.is_some(),
                "{name}: it needs `max` or `min`, and not both"
            );
            ensure!(
                [bar.max, bar.min]
                    .into_iter()
                    .flatten()
                    .all(|limit| limit.is_finite() && limit >= 0.0),
                "{name}: its limit must not be negative"
            );
            ensure!(
                !bar.reason.trim().is_empty(),
                "{name}: say why, in `reason`"
            );
            ensure!(
                (bar.kind == Kind::Ratio) == bar.against.is_some(),
                "{name}: `against` names the peer of a ratio, and nothing else has one"
            );
            ensure!(
                bars.all.iter().filter(|other| other.name == *name).count() == 1,
                "{name}: there are two bars of this name"
            );
        }
        Ok(bars)
    }

    /// Holds the figures of one area against its bars.
    pub(crate) fn judge(&self, area: &str, metrics: &Metrics) -> Vec<Verdict> {
        self.all
            .iter()
            .filter(|bar| bar.area == area)
            .map(|bar| Verdict {
                bar: bar.clone(),
                value: bar.value(metrics),
            })
            .collect()
    }
}

impl Bar {
    fn value(&self, metrics: &Metrics) -> Option<f64> {
        let Some(peer) = &self.against else {
            return metrics.get(&self.metric, SUBJECT);
        };
        let theirs = self.against_metric.as_ref().unwrap_or(&self.metric);
        metrics.ratio((&self.metric, SUBJECT), (theirs, peer))
    }

    /// The bar's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is judged.
    pub(crate) fn metric(&self) -> &str {
        &self.metric
    }

    /// What is compared: `sqlite.apply.wall_ms, ours / diesel`.
    pub(crate) fn subject(&self) -> String {
        match (&self.against, &self.against_metric) {
            (None, _) => format!("{}, {SUBJECT}", self.metric),
            (Some(peer), None) => format!("{}, {SUBJECT} / {peer}", self.metric),
            (Some(peer), Some(theirs)) => format!("{}, {SUBJECT} / {theirs}, {peer}", self.metric),
        }
    }

    /// The limit with its unit.
    pub(crate) fn limit(&self) -> String {
        let unit = &self.unit;
        match (self.max, self.min) {
            (Some(max), _) => format!("≤ {max} {unit}"),
            (None, Some(min)) => format!("≥ {min} {unit}"),
            (None, None) => unit.clone(),
        }
    }

    fn admits(&self, value: f64) -> bool {
        self.max.is_none_or(|max| value <= max) && self.min.is_none_or(|min| value >= min)
    }

    /// Why the limit is there.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

impl Verdict {
    /// Whether the figure is there and within the bar. What was not measured has not passed.
    pub(crate) fn passed(&self) -> bool {
        self.value.is_some_and(|value| self.bar.admits(value))
    }

    /// The figure with its unit, as people read it.
    pub(crate) fn shown(&self) -> String {
        let unit = &self.bar.unit;
        match self.value {
            None => "not measured".to_owned(),
            Some(count) if count.fract() == 0.0 => format!("{count:.0} {unit}"),
            Some(value) => format!("{value:.2} {unit}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({}), bar {}",
            self.bar.name,
            self.shown(),
            self.bar.subject(),
            self.bar.limit()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        [[bar]]
        name = "faster"
        area = "migrate"
        metric = "wall"
        kind = "ratio"
        against = "diesel"
        max = 0.5
        unit = "×"
        reason = "half"

        [[bar]]
        name = "short"
        area = "migrate"
        metric = "validate"
        kind = "absolute"
        max = 40
        unit = "ms"
        reason = "a health check runs it"
    "#;

    fn judged(figures: &[(&str, &str, f64)]) -> Vec<Verdict> {
        let mut metrics = Metrics::default();
        for (metric, who, value) in figures {
            metrics.set(metric, who, *value);
        }
        Bars::parse(TWO).unwrap().judge("migrate", &metrics)
    }

    #[test]
    fn figures_within_the_bars_pass() {
        let verdicts = judged(&[
            ("wall", "ours", 10.0),
            ("wall", "diesel", 20.0),
            ("validate", "ours", 40.0),
        ]);
        assert!(verdicts.iter().all(Verdict::passed), "{verdicts:?}");
    }

    #[test]
    fn figures_above_the_bars_fail_and_say_so() {
        let verdicts = judged(&[
            ("wall", "ours", 11.0),
            ("wall", "diesel", 20.0),
            ("validate", "ours", 40.1),
        ]);
        assert!(!verdicts.iter().any(Verdict::passed), "{verdicts:?}");
        assert_eq!(
            verdicts[0].to_string(),
            "faster: 0.55 × (wall, ours / diesel), bar ≤ 0.5 ×"
        );
    }

    #[test]
    fn a_rate_must_not_be_below_its_bar() {
        let text = TWO.replace("max = 0.5", "min = 1.3");
        for (ours, passes) in [(12.9, false), (13.0, true), (40.0, true)] {
            let mut metrics = Metrics::default();
            metrics.set("wall", "ours", ours);
            metrics.set("wall", "diesel", 10.0);
            let verdicts = Bars::parse(&text).unwrap().judge("migrate", &metrics);
            assert_eq!(verdicts[0].passed(), passes, "{}", verdicts[0]);
            assert!(verdicts[0].to_string().ends_with("bar ≥ 1.3 ×"));
        }
    }

    #[test]
    fn what_was_not_measured_fails() {
        let verdicts = judged(&[("wall", "ours", 1.0)]);
        assert!(!verdicts.iter().any(Verdict::passed), "{verdicts:?}");
        assert!(verdicts[0].to_string().contains("not measured"));
    }

    #[test]
    fn a_peer_that_took_no_time_proves_nothing() {
        assert!(!judged(&[("wall", "ours", 0.0), ("wall", "diesel", 0.0)])[0].passed());
    }

    #[test]
    fn a_ratio_can_compare_two_different_metrics() {
        let text = TWO.replace("max = 0.5", "max = 0.5\nagainst_metric = \"idle\"");
        let mut metrics = Metrics::default();
        metrics.set("wall", "ours", 1.0);
        metrics.set("idle", "diesel", 4.0);
        let verdicts = Bars::parse(&text).unwrap().judge("migrate", &metrics);
        assert_eq!(verdicts[0].value, Some(0.25));
    }

    #[test]
    fn other_areas_bars_are_left_alone() {
        assert!(
            Bars::parse(TWO)
                .unwrap()
                .judge("pool", &Metrics::default())
                .is_empty()
        );
    }

    #[test]
    fn senseless_bars_are_refused() {
        for (from, to) in [
            ("against = \"diesel\"", ""),
            ("max = 0.5", "max = -1.0"),
            ("max = 0.5", "max = nan"),
            ("max = 0.5", ""),
            ("max = 0.5", "max = 0.5\nmin = 0.1"),
            ("max = 0.5", "min = -0.1"),
            ("reason = \"half\"", "reason = \" \""),
            ("name = \"short\"", "name = \"faster\""),
            ("kind = \"absolute\"", "kind = \"absolut\""),
            ("unit = \"ms\"", "unti = \"ms\""),
        ] {
            assert!(
                Bars::parse(&TWO.replace(from, to)).is_err(),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn the_committed_file_is_valid() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bars.toml");
        let bars = Bars::read(&file).unwrap();
        assert!(!bars.judge("migrate", &Metrics::default()).is_empty());
    }
}
