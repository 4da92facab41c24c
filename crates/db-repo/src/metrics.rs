//! Samples of measured values: recorded, rolled up, and let go.

use std::ops::Range;
use std::time::Duration;

use chrono::DateTime;
use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Metric, NewMetric};
use db_schema::schema::performance_metrics;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};

use crate::dialect::metrics::{Bucket, Span, roll_up};
use crate::dialect::old::old_metrics;
use crate::page::Place;
use crate::{Page, PageRequest, Result, check};

/// Rows of one statement of [`MetricsRepository::record_many`]: far below SQLite's 32,766 parameters.
const BATCH: usize = 1_000;

/// Most buckets of one roll-up.
const BUCKETS: i64 = 10_000;

/// Widest bucket in microseconds, 73,000 years: twice as much is still a 64-bit integer.
const WIDEST: i64 = 1 << 61;

/// Greatest value of a sample. The column holds up to 1e308, but as many of them as a 64-bit number
/// counts, 9.2e18, have to have a sum: PostgreSQL refuses a mean without.
const GREATEST: f64 = 1e288;

/// Columns in the order of [`Metric`].
type Row6 = (BigInt, Text, Double, Nullable<Text>, JsonDoc, UtcTimestamp);

statement! {
    struct Samples<'a> {
        name: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        end: UtcTime as UtcTimestamp,
        rows: i64 as BigInt,
    }
    returns Row6;
    "SELECT id, name, value, unit, labels, recorded_at FROM performance_metrics
    WHERE name = " name " AND (recorded_at, id) > (" at ", " id ") AND recorded_at < " end "
    ORDER BY recorded_at, id LIMIT " rows " + 0"
}

statement! {
    struct Latest<'a> {
        name: &'a str as Text,
    }
    returns Row6;
    "SELECT id, name, value, unit, labels, recorded_at FROM performance_metrics
    WHERE name = " name " ORDER BY recorded_at DESC, id DESC LIMIT 1"
}

/// Samples of one bucket of time, in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RollUp {
    /// Where the bucket begins: a multiple of its width after 1970.
    pub start: UtcTime,
    /// Samples in it, at least one.
    pub count: i64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean value.
    pub avg: f64,
}

/// Samples of the health of the system.
#[derive(Debug)]
pub struct MetricsRepository;

impl MetricsRepository {
    /// Records a sample.
    ///
    /// # Errors
    /// `Invalid`, `Database`.
    pub fn record(conn: &mut Conn<'_>, new: &NewMetric) -> Result<Metric> {
        check_new(new)?;
        Ok(with_conn!(conn, |c| diesel::insert_into(
            performance_metrics::table
        )
        .values(new)
        .returning(Metric::as_returning())
        .get_result(c))?)
    }

    /// Records samples, all or none; how many.
    ///
    /// # Errors
    /// `Invalid`, `Database`.
    pub fn record_many(conn: &mut Conn<'_>, new: &[NewMetric]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            added += with_conn!(conn, |c| diesel::insert_into(performance_metrics::table)
                .values(batch)
                .execute(c))?;
        }
        Ok(added)
    }

    /// Samples of a name over a span of time, oldest first. The end is not in it.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(
        conn: &mut Conn<'_>,
        name: &str,
        span: Range<UtcTime>,
        page: &PageRequest,
    ) -> Result<Page<Metric>> {
        check::sought("name", name)?;
        let page = &page.of("metrics")?;
        let rows = page.rows();
        let (at, id) = page.after_time_id(span.start)?;
        let list = Samples {
            name,
            at,
            id,
            end: span.end,
            rows,
        };
        let found: Vec<Metric> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| {
            Place::at(last.recorded_at, last.id)
        }))
    }

    /// The latest sample of a name.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_latest(conn: &mut Conn<'_>, name: &str) -> Result<Option<Metric>> {
        check::sought("name", name)?;
        Ok(with_conn!(conn, |c| Latest { name }.get_result(c)).optional()?)
    }

    /// Samples of a name over a span of time, rolled up into buckets of this width, oldest first.
    /// Buckets without samples are left out. The end of the span is not in it; its bounds cut the
    /// first and the last bucket.
    ///
    /// # Errors
    /// `Invalid` for a width below a microsecond or above 73,000 years, or more than 10,000 buckets, `Database`.
    pub fn roll_up(
        conn: &mut Conn<'_>,
        name: &str,
        span: Range<UtcTime>,
        bucket: Duration,
    ) -> Result<Vec<RollUp>> {
        check::sought("name", name)?;
        let width = i64::try_from(bucket.as_micros()).unwrap_or(i64::MAX);
        check::within("bucket", width, 1..=WIDEST)?;
        let length = span
            .end
            .timestamp_micros()
            .saturating_sub(span.start.timestamp_micros());
        check::rule(
            "bucket",
            length / width < BUCKETS,
            "must be wide enough for at most 10,000 in the span",
        )?;
        let asked = Span {
            name,
            start: span.start,
            end: span.end,
            width,
        };
        let buckets = roll_up(conn, asked)?;
        Ok(buckets.into_iter().filter_map(read).collect())
    }

    /// Removes at most so many samples from before this moment, the oldest first; how many. Fewer
    /// than asked for were the last: see [`RetentionTask`](crate::RetentionTask).
    ///
    /// # Errors
    /// `Invalid` for a limit below 1, `Database`.
    pub fn delete_older_than(conn: &mut Conn<'_>, before: UtcTime, limit: i64) -> Result<usize> {
        check::within("limit", limit, 1..=i64::MAX)?;
        Ok(old_metrics(conn, before, limit)?)
    }
}

/// The start is a moment near one that was read from the column.
fn read((start, count, min, max, avg): Bucket) -> Option<RollUp> {
    Some(RollUp {
        start: DateTime::from_timestamp_micros(start)?.into(),
        count,
        min,
        max,
        avg,
    })
}

fn check_new(new: &NewMetric) -> Result<()> {
    check::key("name", &new.name)?;
    check::moment("recorded_at", new.recorded_at)?;
    check::rule(
        "value",
        new.value.abs() <= GREATEST,
        "must be a finite number up to 1e288",
    )?;
    if let Some(unit) = &new.unit {
        check::text("unit", unit, 1..=32)?;
    }
    check::object("labels", &new.labels.0)
}
