//! Samples, their medians, and the store that bars look figures up in.

use std::collections::BTreeMap;
use std::time::Duration;

/// Repeated measurements of one thing, in the order of the rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one measurement.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one, or the mean of the middle two; nothing if there are none.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        sorted
            .get(middle.checked_sub(1)?)
            .map(|lower| f64::midpoint(*lower, upper))
    }

    /// Each divided by the other's of the same round; nothing unless both have as many and the
    /// other's are positive.
    pub(crate) fn over(&self, other: &Self) -> Option<Self> {
        let positive = other.0.iter().all(|value| *value > 0.0);
        let paired = !self.0.is_empty() && self.0.len() == other.0.len();
        (positive && paired)
            .then(|| Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect()))
    }

    /// The smallest.
    pub(crate) fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    /// The largest.
    pub(crate) fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }
}

/// Figures by metric (`sqlite.apply.wall_ms`) and by who was measured (`ours`, `diesel`).
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    figures: BTreeMap<(String, String), f64>,
    /// Of figures that are medians of rounds in which everyone had a turn.
    rounds: BTreeMap<(String, String), Samples>,
}

impl Metrics {
    /// Keeps one figure; a later one for the same key replaces it.
    pub(crate) fn set(&mut self, metric: &str, who: &str, value: f64) {
        self.figures
            .insert((metric.to_owned(), who.to_owned()), value);
    }

    /// Adds to a count, which starts at 0.
    pub(crate) fn add(&mut self, metric: &str, who: &str, value: f64) {
        let key = (metric.to_owned(), who.to_owned());
        *self.figures.entry(key).or_insert(0.0) += value;
    }

    /// Keeps a median, if there is one.
    pub(crate) fn set_median(&mut self, metric: &str, who: &str, samples: &Samples) {
        if let Some(median) = samples.median() {
            self.set(metric, who, median);
        }
    }

    /// Looks a figure up.
    pub(crate) fn get(&self, metric: &str, who: &str) -> Option<f64> {
        self.figures
            .get(&(metric.to_owned(), who.to_owned()))
            .copied()
    }

    /// Keeps the figures of all rounds, and their median.
    pub(crate) fn set_rounds(&mut self, metric: &str, who: &str, samples: &Samples) {
        self.set_median(metric, who, samples);
        self.rounds
            .insert((metric.to_owned(), who.to_owned()), samples.clone());
    }

    /// One figure divided by another: the median of the rounds' ratios, which what slows down a
    /// whole round does not move; without rounds, the ratio of the figures.
    pub(crate) fn ratio(&self, ours: (&str, &str), theirs: (&str, &str)) -> Option<f64> {
        let rounds = |(metric, who): (&str, &str)| self.rounds.get(&(metric.into(), who.into()));
        if let (Some(a), Some(b)) = (rounds(ours), rounds(theirs))
            && let Some(ratios) = a.over(b)
        {
            return ratios.median();
        }
        let theirs = self.get(theirs.0, theirs.1)?;
        let ours = self.get(ours.0, ours.1)?;
        (theirs > 0.0).then(|| ours / theirs)
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Bytes in MiB.
#[expect(
    clippy::cast_precision_loss,
    reason = "a process is far below 2^52 bytes"
)]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1_024.0 * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn median_is_the_middle_whatever_the_order() {
        assert_eq!(samples(&[9.0, 1.0, 5.0]).median(), Some(5.0));
        assert_eq!(samples(&[4.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(samples(&[7.0]).median(), Some(7.0));
        assert_eq!(samples(&[]).median(), None);
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        assert_eq!(
            samples(&[10.0, 11.0, 9_000.0, 10.5, 9.0]).median(),
            Some(10.5)
        );
    }

    #[test]
    fn extremes() {
        let all = samples(&[3.0, 1.0, 2.0]);
        assert_eq!((all.min(), all.max()), (Some(1.0), Some(3.0)));
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let mut metrics = Metrics::default();
        metrics.set_rounds("a", "ours", &samples(&[20.0, 200.0, 2.0]));
        metrics.set_rounds("a", "peer", &samples(&[10.0, 50.0, 2.0]));
        assert_eq!(metrics.ratio(("a", "ours"), ("a", "peer")), Some(2.0));
        metrics.set_rounds("b", "peer", &samples(&[10.0, 50.0]));
        assert_eq!(
            metrics.ratio(("a", "ours"), ("b", "peer")),
            Some(20.0 / 30.0)
        );
        metrics.set_rounds("c", "peer", &samples(&[0.0, 0.0, 0.0]));
        assert_eq!(metrics.ratio(("a", "ours"), ("c", "peer")), None);
        assert_eq!(metrics.ratio(("a", "ours"), ("a", "nobody")), None);
    }

    #[test]
    fn figures_are_kept_per_metric_and_subject() {
        let mut metrics = Metrics::default();
        metrics.set("a", "ours", 1.0);
        metrics.set("a", "diesel", 2.0);
        metrics.add("c", "ours", 0.0);
        metrics.add("c", "ours", 2.0);
        assert_eq!(metrics.get("c", "ours"), Some(2.0));
        metrics.set_median("b", "ours", &samples(&[]));
        assert_eq!(metrics.get("a", "diesel"), Some(2.0));
        assert_eq!(metrics.get("b", "ours"), None);
    }
}
