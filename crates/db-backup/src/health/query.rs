//! Small queries that are the same on both engines, in shapes that most checks need.

use std::error::Error as StdError;
use std::fmt;

use db_core::{Conn, Engine, Error, ErrorKind, with_conn};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, sql_query};

/// Why a check came to no verdict.
#[derive(Debug)]
pub(super) enum Trouble {
    Database(Error),
    Migrate(db_migrate::Error),
    Other(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<db_migrate::Error> for Trouble {
    fn from(error: db_migrate::Error) -> Self {
        Self::Migrate(error)
    }
}

impl Trouble {
    /// The database's error in it.
    pub(super) const fn database(&self) -> Option<&Error> {
        match self {
            Self::Database(error) | Self::Migrate(db_migrate::Error::Database { error, .. }) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// The trouble of a check of somebody else, which knows its own kinds of errors: what the
    /// database said is looked for among the causes.
    pub(super) fn of_custom(error: &(dyn StdError + 'static), engine: Engine) -> Self {
        let mut causes = std::iter::successors(Some(error), |error: &&(dyn StdError + 'static)| {
            (*error).source()
        });
        let known = causes.find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<Error>() {
                return Some(error.clone());
            }
            if let Some(crate::Error::Database { error, .. }) = cause.downcast_ref() {
                return Some(error.clone());
            }
            if let Some(db_migrate::Error::Database { error, .. }) = cause.downcast_ref() {
                return Some(error.clone());
            }
            let of_diesel = cause.downcast_ref::<diesel::result::Error>();
            of_diesel.map(|error| Error::classify(engine, error))
        });
        known.map_or_else(|| Self::Other(error.to_string()), Self::Database)
    }

    /// The same for somebody else who asks.
    pub(super) fn again(&self) -> Self {
        match self.database() {
            Some(error) => Self::Database(error.clone()),
            None => Self::Other(self.to_string()),
        }
    }

    /// Whether the database or the disk under it is broken, and not only what looked at it.
    pub(super) fn is_fault(&self) -> bool {
        self.database().is_some_and(is_fault)
    }
}

/// What was written cannot be read again.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotADatabase)
}

/// The role may not read the database itself. Functions of the server are another thing: whoever may
/// not call them sees less of the server, as `pg_monitor` grants it.
pub(super) fn is_forbidden(error: &Error) -> bool {
    let of_server = ["permission denied for function", "pg_monitor", "superuser"];
    error.kind() == ErrorKind::PermissionDenied
        && !of_server
            .iter()
            .any(|words| error.message().contains(words))
}

fn is_fault(error: &Error) -> bool {
    is_damage(error) || error.kind() == ErrorKind::Io
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => f.write_str(error.message()),
            Self::Migrate(error) => error.fmt(f),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// A name and a number.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(super) struct Named {
    #[diesel(sql_type = Text)]
    pub(super) name: String,
    #[diesel(sql_type = BigInt)]
    pub(super) value: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    value: Option<i64>,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

/// The column `value` of the one row.
pub(super) fn number(conn: &mut Conn<'_>, sql: &str) -> Result<Option<i64>, Trouble> {
    let row: QueryResult<Number> = with_conn!(conn, |c| sql_query(sql).get_result(c));
    row.map(|row| row.value).map_err(|e| classified(conn, &e))
}

/// The column `value` of the one row.
pub(super) fn word(conn: &mut Conn<'_>, sql: &str) -> Result<Option<String>, Trouble> {
    let row: QueryResult<Word> = with_conn!(conn, |c| sql_query(sql).get_result(c));
    row.map(|row| row.value).map_err(|e| classified(conn, &e))
}

/// The column `value` of all rows.
pub(super) fn words(conn: &mut Conn<'_>, sql: &str) -> Result<Vec<String>, Trouble> {
    let rows: QueryResult<Vec<Word>> = with_conn!(conn, |c| sql_query(sql).load(c));
    let rows = rows.map_err(|e| classified(conn, &e))?;
    Ok(rows.into_iter().filter_map(|row| row.value).collect())
}

/// The columns `name` and `value` of all rows.
pub(super) fn named(conn: &mut Conn<'_>, sql: &str) -> Result<Vec<Named>, Trouble> {
    let rows: QueryResult<Vec<Named>> = with_conn!(conn, |c| sql_query(sql).load(c));
    rows.map_err(|e| classified(conn, &e))
}

/// Runs it and forgets what it says.
pub(super) fn execute(conn: &mut Conn<'_>, sql: &str) -> Result<(), Trouble> {
    let done = conn.batch_execute(sql);
    done.map_err(|e| classified(conn, &e))
}

pub(super) fn classified(conn: &Conn<'_>, error: &diesel::result::Error) -> Trouble {
    Trouble::Database(Error::classify(conn.engine(), error))
}

/// A count for a person: never negative.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A number for a gauge.
#[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
pub(super) const fn gauge(number: u64) -> f64 {
    number as f64
}

/// A size in units that a person reads: `128 KiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut size = gauge(bytes) / 1_024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if size >= 1_024.0 {
            size /= 1_024.0;
            unit = larger;
        }
    }
    if size < 10.0 {
        format!("{size:.1} {unit}")
    } else {
        format!("{size:.0} {unit}")
    }
}

/// A share as a person reads it: `42 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `1 table`, `2 tables`.
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    }
}
