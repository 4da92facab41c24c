//! Samples, their medians, and the store that bars look figures up in.

use std::collections::BTreeMap;
use std::time::Duration;

/// Repeated measurements of one thing.
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
pub(crate) struct Metrics(BTreeMap<(String, String), f64>);

impl Metrics {
    /// Keeps one figure; a later one for the same key replaces it.
    pub(crate) fn set(&mut self, metric: &str, who: &str, value: f64) {
        self.0.insert((metric.to_owned(), who.to_owned()), value);
    }

    /// Adds to a count, which starts at 0.
    pub(crate) fn add(&mut self, metric: &str, who: &str, value: f64) {
        let key = (metric.to_owned(), who.to_owned());
        *self.0.entry(key).or_insert(0.0) += value;
    }

    /// Keeps a median, if there is one.
    pub(crate) fn set_median(&mut self, metric: &str, who: &str, samples: &Samples) {
        if let Some(median) = samples.median() {
            self.set(metric, who, median);
        }
    }

    /// Looks a figure up.
    pub(crate) fn get(&self, metric: &str, who: &str) -> Option<f64> {
        self.0.get(&(metric.to_owned(), who.to_owned())).copied()
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
