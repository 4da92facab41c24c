//! What a recorder sees: names, units, labels, and how many series.

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;
use crate::cache::Way;

/// Everything that can be recorded of one database with two pools, on each engine.
fn record_everything() {
    for engine in Engine::ALL {
        let database = DatabaseMetrics::new(engine, "game");
        for operation in [Operation::Read, Operation::Write] {
            database.succeeded(operation, Stopwatch::start());
            database.failed(operation, Some(ErrorKind::Timeout), Stopwatch::start());
            database.failed(operation, None, Stopwatch::start());
        }
        database.retried();
        for way in [Way::Hit, Way::Miss, Way::Shared, Way::Bypass] {
            database.cached(way);
        }
        database.async_pending(|| 3);
        database.committed(16, Duration::from_millis(2), 4_096);
        for pool in ["game/primary", "game/replica-0"] {
            let pool = PoolMetrics::new(engine, pool);
            pool.counts(|| PoolCounts {
                idle: 3,
                used: 1,
                max: 8,
                pending: 0,
            });
            pool.timed_out();
            pool.rejected();
            pool.created(Stopwatch::start());
            pool.waited(Stopwatch::start());
            pool.used(Stopwatch::start());
        }
    }
}

fn recorded(run: impl FnOnce()) -> Snapshotter {
    let recorder = DebuggingRecorder::new();
    ::metrics::with_local_recorder(&recorder, run);
    recorder.snapshotter()
}

#[test]
fn every_metric_is_described_and_recorded() {
    let snapshot = recorded(record_everything).snapshot().into_vec();
    let mut seen = BTreeSet::new();
    for (key, unit, text, _) in &snapshot {
        let name = key.key().name();
        let (_, kind, expected, description) = METRICS
            .iter()
            .find(|(known, ..)| *known == name)
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        let kind = match kind {
            Kind::Counter => MetricKind::Counter,
            Kind::Gauge => MetricKind::Gauge,
            Kind::Histogram => MetricKind::Histogram,
        };
        assert_eq!(key.kind(), kind, "{name}");
        assert_eq!(unit.as_ref(), Some(expected), "{name}");
        assert_eq!(text.as_deref(), Some(*description), "{name}");
        seen.insert(name.to_owned());
    }
    assert_eq!(seen.len(), METRICS.len(), "{seen:?}");
}

#[test]
fn labels_are_few_and_hold_no_data() {
    let snapshot = recorded(record_everything).snapshot().into_vec();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, ..) in &snapshot {
        for label in key.key().labels() {
            let values = values.entry(label.key().to_owned()).or_default();
            values.insert(label.value().to_owned());
        }
    }
    let is = |label: &str, expected: &[&str]| {
        let found: Vec<_> = values[label].iter().map(String::as_str).collect();
        assert_eq!(found, expected, "{label}");
    };
    is(SYSTEM, &["postgresql", "sqlite"]);
    is(NAMESPACE, &["game"]);
    is(POOL, &["game/primary", "game/replica-0"]);
    is(STATE, &["idle", "used"]);
    is(OPERATION, &["read", "write"]);
    is(ERROR_TYPE, &["Timeout", "_OTHER"]);
    is(CACHE_OUTCOME, &["bypass", "hit", "miss", "shared"]);
    assert_eq!(values.len(), 7, "{:?}", values.keys());
    // Two engines: 15 series for the database, two of them for errors, and 9 for each pool.
    assert_eq!(snapshot.len(), 2 * (15 + 2 * 9));
}

#[test]
fn values_arrive() {
    let snapshotter = recorded(|| {
        let database = DatabaseMetrics::new(Engine::Sqlite, "game");
        database.committed(16, Duration::from_millis(2), 4_096);
        database.committed(2, Duration::from_millis(1), 8_192);
        database.retried();
        database.retried();
    });
    let values: BTreeMap<_, _> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| (key.key().name().to_owned(), value))
        .collect();
    assert_eq!(values[RETRIES], DebugValue::Counter(2));
    assert_eq!(values[WAL_SIZE], DebugValue::Gauge(8_192.0.into()));
    assert_eq!(
        values[GROUP_SIZE],
        DebugValue::Histogram(vec![16.0.into(), 2.0.into()])
    );
}

#[test]
fn without_a_recorder_no_clock_is_read() {
    assert_eq!(recorder(), None);
    assert!(Stopwatch::start().0.is_none());
    ::metrics::with_local_recorder(&DebuggingRecorder::new(), || {
        assert!(Stopwatch::start().0.is_some());
    });
    assert_eq!(recorder(), None);
}

#[test]
fn a_recorder_without_a_size_is_one_when_it_is_boxed() {
    let boxed: Box<dyn ::metrics::Recorder> = Box::new(::metrics::NoopRecorder);
    ::metrics::with_local_recorder(&*boxed, || assert!(recorder().is_some()));
}

#[test]
fn each_recorder_gets_its_own() {
    let database = DatabaseMetrics::new(Engine::Sqlite, "game");
    let (first, second) = (DebuggingRecorder::new(), DebuggingRecorder::new());
    for recorder in [&first, &second, &first] {
        ::metrics::with_local_recorder(recorder, || database.retried());
    }
    for (recorder, expected) in [(first, 2), (second, 1)] {
        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let retries: Vec<_> = snapshot
            .iter()
            .filter(|(key, ..)| key.key().name() == RETRIES)
            .map(|(.., value)| value)
            .collect();
        assert_eq!(retries, [&DebugValue::Counter(expected)]);
    }
}
