//! Samples by bucket of time: SQLite keeps microseconds as they are, PostgreSQL has to be asked for
//! them. The remainder of what lies before 1970 is negative on both, hence the second one.
//! PostgreSQL's `avg` reckons squares and refuses where they overflow; a sum of samples does not.

use db_core::{Conn, statement};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::sql_types::{BigInt, Double, Text};
use diesel::{QueryResult, RunQueryDsl as _};

/// Start in Unix microseconds, count, min, max, avg.
pub(crate) type Bucket = (i64, i64, f64, f64, f64);

/// What to roll up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) name: &'a str,
    pub(crate) start: UtcTime,
    /// Not in it.
    pub(crate) end: UtcTime,
    /// Of a bucket, in microseconds.
    pub(crate) width: i64,
}

statement! {
    struct Sqlite<'a> {
        name: &'a str as Text,
        start: UtcTime as UtcTimestamp,
        end: UtcTime as UtcTimestamp,
        width: i64 as BigInt,
    }
    returns (BigInt, BigInt, Double, Double, Double);
    "SELECT recorded_at - ((recorded_at % " width ") + " width ") % " width " AS bucket,
    count(*), min(value), max(value), sum(value) / count(*) FROM performance_metrics
    WHERE name = " name " AND recorded_at >= " start " AND recorded_at < " end "
    GROUP BY bucket ORDER BY bucket"
}

statement! {
    struct Postgres<'a> {
        name: &'a str as Text,
        start: UtcTime as UtcTimestamp,
        end: UtcTime as UtcTimestamp,
        width: i64 as BigInt,
    }
    returns (BigInt, BigInt, Double, Double, Double);
    "SELECT micros - ((micros % " width ") + " width ") % " width " AS bucket,
    count(*), min(value), max(value), sum(value) / count(*) FROM (
        SELECT (extract(epoch FROM recorded_at) * 1000000)::bigint AS micros, value
        FROM performance_metrics
        WHERE name = " name " AND recorded_at >= " start " AND recorded_at < " end "
    ) AS samples GROUP BY bucket ORDER BY bucket"
}

pub(crate) fn roll_up(conn: &mut Conn<'_>, span: Span<'_>) -> QueryResult<Vec<Bucket>> {
    let Span {
        name,
        start,
        end,
        width,
    } = span;
    match conn.reborrow() {
        Conn::Sqlite(c) => Sqlite {
            name,
            start,
            end,
            width,
        }
        .load(c),
        Conn::Postgres(c) => Postgres {
            name,
            start,
            end,
            width,
        }
        .load(c),
    }
}
