//! A recorder of metrics for the whole test program, which can be asked about one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

type Labels = BTreeMap<String, String>;

/// What was recorded under one name and one set of labels.
#[derive(Debug, Default)]
struct Series {
    /// How often.
    count: AtomicU64,
    /// A counter's sum.
    sum: AtomicU64,
    /// The last value of a gauge or histogram, as bits.
    last: AtomicU64,
    /// The largest, as bits; none is negative, and so their bits are in order.
    most: AtomicU64,
}

#[derive(Default)]
struct All {
    series: Mutex<BTreeMap<(String, Labels), Arc<Series>>>,
    units: Mutex<BTreeMap<String, Option<Unit>>>,
}

/// The series of one database.
pub(super) struct Recorded {
    series: Vec<(String, Labels, Arc<Series>)>,
}

/// The recorder, which is installed when it is first asked for.
pub(super) struct Metrics(&'static All);

pub(super) fn metrics() -> Metrics {
    static ALL: OnceLock<All> = OnceLock::new();
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let all = ALL.get_or_init(All::default);
    INSTALLED.get_or_init(|| metrics::set_global_recorder(Handle(all)).unwrap());
    Metrics(all)
}

impl Metrics {
    /// What was recorded of the databases and pools with this name.
    pub(super) fn of(&self, name: &str) -> Recorded {
        let series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = |labels: &Labels| labels.values().any(|value| value.starts_with(name));
        let found = series.iter().filter(|((_, labels), _)| is_its(labels));
        let series = found
            .map(|((metric, labels), series)| (metric.clone(), labels.clone(), Arc::clone(series)))
            .collect();
        Recorded { series }
    }

    pub(super) fn unit(&self, metric: &str) -> Option<Unit> {
        let units = self.0.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.get(metric).copied().flatten()
    }
}

impl Recorded {
    fn find(&self, metric: &str, labels: &[(&str, &str)]) -> Vec<&Series> {
        let fits = |all: &Labels| {
            labels
                .iter()
                .all(|(key, value)| all.get(*key).is_some_and(|found| found == value))
        };
        let found = self.series.iter();
        found
            .filter(|(name, all, _)| name == metric && fits(all))
            .map(|(.., series)| &**series)
            .collect()
    }

    /// How often something was recorded under this name, with these labels among others.
    pub(super) fn count(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let found = self.find(metric, labels).into_iter();
        found
            .map(|series| series.count.load(Ordering::Relaxed))
            .sum()
    }

    /// The sum of counters.
    pub(super) fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let found = self.find(metric, labels).into_iter();
        found.map(|series| series.sum.load(Ordering::Relaxed)).sum()
    }

    /// The last value, of one series.
    #[track_caller]
    pub(super) fn last(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let [series] = self.find(metric, labels)[..] else {
            panic!("{metric} {labels:?}: not one series");
        };
        f64::from_bits(series.last.load(Ordering::Relaxed))
    }

    /// The largest value, of one series.
    #[track_caller]
    pub(super) fn most(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let [series] = self.find(metric, labels)[..] else {
            panic!("{metric} {labels:?}: not one series");
        };
        f64::from_bits(series.most.load(Ordering::Relaxed))
    }

    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.series.iter().map(|(name, ..)| name.as_str()).collect()
    }

    pub(super) fn labels(&self) -> BTreeSet<(&str, &str)> {
        let labels = self.series.iter().flat_map(|(_, labels, _)| labels);
        labels
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }
}

struct Handle(&'static All);

impl Handle {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels = key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let key = (key.name().to_owned(), labels.collect());
        let mut series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry(key).or_default())
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>) {
        let mut units = self.0.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.insert(key.as_str().to_owned(), unit);
    }
}

impl Recorder for Handle {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

impl Series {
    fn note(&self, value: f64) {
        assert!(value >= 0.0, "{value}");
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.store(value.to_bits(), Ordering::Relaxed);
        self.most.fetch_max(value.to_bits(), Ordering::Relaxed);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.sum.fetch_max(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.note(value);
    }

    fn decrement(&self, value: f64) {
        self.note(value);
    }

    fn set(&self, value: f64) {
        self.note(value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.note(value);
    }
}
