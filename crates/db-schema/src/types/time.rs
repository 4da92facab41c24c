//! Moments: Unix microseconds in SQLite, `TIMESTAMPTZ` in PostgreSQL.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound as _, Utc};
use diesel::backend::Backend;
use diesel::data_types::PgTimestamp;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, SqlOrd, Timestamptz};
use diesel::sqlite::{Sqlite, SqliteValue};
use serde::{Deserialize, Serialize};

/// Digits of a second that both engines keep.
const MICROSECOND_DIGITS: u16 = 6;

/// 2000-01-01 in Unix microseconds: where PostgreSQL begins to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The first moment that PostgreSQL knows, in Unix microseconds: 24 November of 4714 BC
/// (<https://www.postgresql.org/docs/current/datatype-datetime.html>).
///
/// Its last one is later than the last one of chrono, so only this end needs care. SQLite could
/// hold more, but what one engine refuses, the other refuses too.
const FIRST: i64 = -210_866_803_200_000_000;

/// The SQL type of a moment, whose value is a [`UtcTime`] or a `DateTime<Utc>`.
///
/// Both engines keep microseconds, so a value survives a copy from one to the other; what is
/// finer is cut off, always downwards. A moment before the year 4714 BC is refused when it is
/// written, and one that chrono cannot hold (`infinity`, a wild integer) when it is read.
///
/// ```
/// use db_schema::schema::users;
/// use db_schema::types::UtcTime;
/// use diesel::prelude::*;
///
/// fn newcomers(conn: &mut SqliteConnection, since: UtcTime) -> QueryResult<Vec<String>> {
///     users::table.filter(users::created_at.ge(since)).select(users::id).load(conn)
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, diesel::SqlType, diesel::query_builder::QueryId)]
// By number: a name would cost one look-up in the server's catalog per connection.
#[diesel(
    sqlite_type(name = "Long"),
    postgres_type(oid = 1184, array_oid = 1185)
)]
pub struct UtcTimestamp;

impl SqlOrd for UtcTimestamp {}

/// A moment as a column holds it: whole microseconds, so that it equals itself after a round trip.
///
/// Rows can be read straight into `DateTime<Utc>`. What is written or compared has to be of this
/// type, because only a type of this crate can be an expression of a SQL type of this crate.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    AsExpression,
    FromSqlRow,
    Serialize,
    Deserialize,
)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[diesel(sql_type = UtcTimestamp)]
#[serde(from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct UtcTime(DateTime<Utc>);

impl From<DateTime<Utc>> for UtcTime {
    /// Cuts off what is finer than a microsecond, downwards.
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment.trunc_subsecs(MICROSECOND_DIGITS))
    }
}

impl UtcTime {
    /// The first moment that a column can hold: 24 November of 4714 BC.
    pub const FIRST: Self = match DateTime::from_timestamp_micros(FIRST) {
        Some(moment) => Self(moment),
        None => Self(DateTime::<Utc>::MIN_UTC),
    };

    /// The last moment that a program can read, in the year 262142.
    pub const LAST: Self = {
        let micros = DateTime::<Utc>::MAX_UTC.timestamp_micros();
        match DateTime::from_timestamp_micros(micros) {
            Some(moment) => Self(moment),
            None => Self(DateTime::<Utc>::UNIX_EPOCH),
        }
    };
}

impl From<UtcTime> for DateTime<Utc> {
    fn from(time: UtcTime) -> Self {
        time.0
    }
}

impl Deref for UtcTime {
    type Target = DateTime<Utc>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<DB: Backend> ToSql<UtcTimestamp, DB> for UtcTime
where
    DateTime<Utc>: ToSql<UtcTimestamp, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl<DB: Backend> FromSql<UtcTimestamp, DB> for UtcTime
where
    DateTime<Utc>: FromSql<UtcTimestamp, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        DateTime::from_sql(value).map(Self)
    }
}

impl ToSql<UtcTimestamp, Sqlite> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(to_micros(self)?);
        Ok(IsNull::No)
    }
}

impl FromSql<UtcTimestamp, Sqlite> for DateTime<Utc> {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(from_micros(<i64 as FromSql<BigInt, Sqlite>>::from_sql(
            value,
        )?)?)
    }
}

impl ToSql<UtcTimestamp, Pg> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        // Not Diesel's own conversion: it rounds towards the year 2000 instead of downwards.
        let since_epoch = PgTimestamp(to_micros(self)? - POSTGRES_EPOCH);
        ToSql::<Timestamptz, Pg>::to_sql(&since_epoch, &mut out.reborrow())
    }
}

impl FromSql<UtcTimestamp, Pg> for DateTime<Utc> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let PgTimestamp(since_epoch) = FromSql::<Timestamptz, Pg>::from_sql(value)?;
        Ok(from_micros(since_epoch.saturating_add(POSTGRES_EPOCH))?)
    }
}

fn to_micros(moment: &DateTime<Utc>) -> Result<i64, String> {
    let micros = moment.timestamp_micros();
    if micros < FIRST {
        return Err(format!(
            "{moment} is before 4714 BC, where PostgreSQL's time begins"
        ));
    }
    Ok(micros)
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

thread_local! {
    /// The last day that was read, in days from 1970: rows of a list are mostly of one, and to find its
    /// date takes three times as long as all else.
    static LAST_DAY: Cell<(i64, NaiveDate)> = const { Cell::new((i64::MIN, NaiveDate::MIN)) };
}

fn from_micros(micros: i64) -> Result<DateTime<Utc>, String> {
    moment(micros).ok_or_else(|| {
        format!("{micros} microseconds from 1970 are beyond the years that a date can hold")
    })
}

fn moment(micros: i64) -> Option<DateTime<Utc>> {
    let (day, in_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (last, date) = LAST_DAY.get();
    if day != last {
        let moment = DateTime::from_timestamp_micros(micros)?;
        LAST_DAY.set((day, moment.date_naive()));
        return Some(moment);
    }
    let seconds = u32::try_from(in_day / 1_000_000).ok()?;
    let nanos = u32::try_from(in_day % 1_000_000).ok()? * 1_000;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(date.and_time(time).and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{DAY, from_micros};

    #[test]
    fn a_moment_is_the_one_that_chrono_finds() {
        // Each after each other, since the day of the last is kept.
        let moments = [
            0,
            1,
            -1,
            DAY - 1,
            DAY,
            -DAY,
            5 * DAY + 999_999,
            i64::MIN,
            i64::MAX,
        ];
        for first in moments {
            for micros in moments {
                for micros in [first, micros] {
                    let found = from_micros(micros).ok();
                    assert_eq!(found, DateTime::from_timestamp_micros(micros), "{micros}");
                }
            }
        }
    }
}
