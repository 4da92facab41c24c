//! Samples and roll-ups.

use std::collections::BTreeMap;
use std::time::Duration;

use db_repo::{Error, MetricsRepository, RollUp};
use db_schema::rows::NewMetric;
use db_schema::types::{Json, UtcTime};
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::rows::sample;
use crate::support::{all_pages, at, open, read, refusal, write};

fn micros(micros: i64) -> UtcTime {
    chrono::DateTime::from_timestamp_micros(micros)
        .unwrap()
        .into()
}

both_engines! {
    fn a_sample_comes_back_as_it_was(db: TestDb) {
        let database = open(&db);
        let new = sample("latency", 0.1 + 0.2, 5);
        let made = write(&database, |conn| MetricsRepository::record(conn, &new));
        assert_eq!((made.value.to_bits(), made.recorded_at), ((0.1_f64 + 0.2).to_bits(), at(5)));
        assert_eq!((made.unit.as_deref(), &made.labels.0), (Some("ms"), &json!({"host": "a"})));
        assert_eq!(read(&database, |conn| MetricsRepository::find_latest(conn, "latency")), Some(made));
        assert_eq!(read(&database, |conn| MetricsRepository::find_latest(conn, "other")), None);
        for (field, wrong) in [
            ("name", sample("", 1.0, 0)),
            ("value", sample("x", f64::NAN, 0)),
            ("value", sample("x", f64::INFINITY, 0)),
            ("value", sample("x", -1.1e288, 0)),
            ("unit", NewMetric { unit: Some(String::new()), ..sample("x", 1.0, 0) }),
            ("labels", NewMetric { labels: Json(json!([])), ..sample("x", 1.0, 0) }),
        ] {
            for refused in [
                refusal(&database, |conn| MetricsRepository::record(conn, &wrong).map(drop)),
                refusal(&database, |conn| {
                    MetricsRepository::record_many(conn, std::slice::from_ref(&wrong)).map(drop)
                }),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
    }

    fn samples_of_a_span_come_once_each_oldest_first(db: TestDb) {
        let database = open(&db);
        let new: Vec<_> = (0_i32..2_500)
            .map(|n| sample(if n % 5 == 0 { "other" } else { "load" }, n.into(), i64::from(n / 3)))
            .collect();
        assert_eq!(write(&database, |conn| MetricsRepository::record_many(conn, &new)), 2_500);
        let seen: Vec<_> = all_pages(&database, 37, |conn, page| {
            MetricsRepository::list(conn, "load", at(100)..at(200), page)
        })
        .into_iter()
        .map(|metric| metric.value)
        .collect();
        let expected: Vec<f64> = (300_i32..600).filter(|n| n % 5 != 0).map(f64::from).collect();
        assert_eq!(seen, expected);
        let latest = read(&database, |conn| MetricsRepository::find_latest(conn, "load")).unwrap();
        assert_eq!(latest.value.to_bits(), 2_499.0_f64.to_bits());
        // A cursor from before the span does not lead out of it.
        let before = db_repo::PageRequest::first(1).after("2:metrics:0.5".parse().unwrap());
        let page = read(&database, |conn| {
            MetricsRepository::list(conn, "load", at(100)..at(200), &before)
        });
        assert_eq!(page.items[0].recorded_at, at(100));
    }

    fn buckets_hold_what_a_loop_finds(db: TestDb) {
        let database = open(&db);
        let width = 7_000_001;
        // From both sides of 1970, and on the very bounds of buckets.
        let mut times: Vec<i64> = (-40..40).map(|n| n * 1_234_567).collect();
        times.extend([0, -1, 1, width, width - 1, -width, -width - 1, 3 * width]);
        let new: Vec<_> = (0_i32..).zip(&times)
            .map(|(n, &time)| NewMetric { recorded_at: micros(time), ..sample("x", f64::from(n % 17) * 0.5, 0) })
            .collect();
        write(&database, |conn| MetricsRepository::record_many(conn, &new));
        write(&database, |conn| MetricsRepository::record(conn, &sample("other", 1.0, 0)));
        let (from, to) = (-30_000_000, 35_000_000);
        let mut expected: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for new in &new {
            let time = new.recorded_at.timestamp_micros();
            if (from..to).contains(&time) {
                expected.entry(time.div_euclid(width) * width).or_default().push(new.value);
            }
        }
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(start, values)| RollUp {
                start: micros(start),
                count: i64::try_from(values.len()).unwrap(),
                min: values.iter().copied().fold(f64::INFINITY, f64::min),
                max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                // Halves: the sum is exact, whatever the order.
                avg: values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap()),
            })
            .collect();
        let found = read(&database, |conn| {
            let bucket = Duration::from_micros(7_000_001);
            MetricsRepository::roll_up(conn, "x", micros(from)..micros(to), bucket)
        });
        assert!(expected.len() > 8);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(
                (found.start, found.count, found.min.to_bits(), found.max.to_bits()),
                (expected.start, expected.count, expected.min.to_bits(), expected.max.to_bits()),
            );
            assert!((found.avg - expected.avg).abs() < 1e-12, "{found:?} {expected:?}");
        }
    }

    fn a_roll_up_has_bounds(db: TestDb) {
        let database = open(&db);
        let roll = |span, bucket| {
            database.read(|conn| MetricsRepository::roll_up(conn, "x", span, bucket))
        };
        for (span, bucket) in [
            (at(0)..at(1), Duration::from_nanos(1)),
            (at(0)..at(1), Duration::MAX),
            (at(0)..at(10_000), Duration::from_secs(1)),
            (UtcTime::FIRST..UtcTime::LAST, Duration::from_hours(24)),
        ] {
            let refused = roll(span, bucket).unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: "bucket", .. }), "{refused}");
        }
        assert_eq!(roll(at(0)..at(9_999), Duration::from_secs(1)).unwrap(), []);
        assert_eq!(roll(at(9)..at(0), Duration::from_secs(1)).unwrap(), []);
        let huge: Vec<_> = (0..3).map(|n| sample("x", 1e288, n)).collect();
        write(&database, |conn| MetricsRepository::record_many(conn, &huge));
        let all = roll(UtcTime::FIRST..UtcTime::LAST, Duration::from_micros(1 << 61)).unwrap();
        assert_eq!((all.len(), all[0].count, all[0].start), (1, 3, micros(0)));
        assert!((all[0].avg / 1e288 - 1.0).abs() < 1e-12);
    }

    fn a_mean_needs_no_squares(db: TestDb) {
        let database = open(&db);
        let mixed = [sample("x", 1e200, 0), sample("x", 0.0, 1), sample("y", -1e288, 0), sample("y", 1e288, 1)];
        write(&database, |conn| MetricsRepository::record_many(conn, &mixed));
        for (name, mean) in [("x", 5e199), ("y", 0.0_f64)] {
            let all = read(&database, |conn| {
                MetricsRepository::roll_up(conn, name, at(0)..at(9), Duration::from_hours(24))
            });
            assert_eq!((all.len(), all[0].avg.to_bits()), (1, mean.to_bits()), "{name}");
        }
    }

    fn old_samples_go_the_oldest_first(db: TestDb) {
        let database = open(&db);
        let new: Vec<_> = (0..10).map(|n| sample("x", 1.0, n)).collect();
        write(&database, |conn| MetricsRepository::record_many(conn, &new));
        let delete = |limit| {
            write(&database, |conn| MetricsRepository::delete_older_than(conn, at(7), limit))
        };
        assert_eq!(delete(5), 5);
        let left = all_pages(&database, 100, |conn, page| {
            MetricsRepository::list(conn, "x", at(0)..at(100), page)
        });
        assert_eq!(left.iter().map(|m| m.recorded_at).collect::<Vec<_>>(), (5..10).map(at).collect::<Vec<_>>());
        assert_eq!((delete(5), delete(5)), (2, 0));
        let refused =
            refusal(&database, |conn| MetricsRepository::delete_older_than(conn, at(7), 0));
        assert!(matches!(refused, Error::Invalid { field: "limit", .. }), "{refused:?}");
    }
}
