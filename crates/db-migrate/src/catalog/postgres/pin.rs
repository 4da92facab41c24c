//! Settings that make PostgreSQL's answers comparable, for as long as it is read.

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{Array, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _};

use super::query::{Prepared, PreparedText};

/// What is set beside the search path. A plan is kept for the connection's life, so it is made
/// for few objects among many, through indexes, whatever the statistics of the catalogs are at
/// that moment; and `jit` would compile for longer than the queries run.
const SETTINGS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("search_path", ""),
];

/// The settings as they are.
struct Current;
/// Other settings, until the transaction ends.
struct Change;
/// The same, back again: a statement of its own, because the server analyses a prepared statement
/// anew whenever the search path is another than at its last run, and these two alternate.
struct Restore;

impl PreparedText for Current {
    type Row = Array<Text>;
    const TEXT: &'static str = "\
SELECT array_agg(current_setting(name) ORDER BY n) FROM unnest($?::text[]) WITH ORDINALITY s (name, n)";
}

/// Names in the first half of the parameter, values in the second; says what the values were.
/// The new values are made to depend on the old ones, so that those are looked up first.
impl PreparedText for Change {
    type Row = Array<Text>;
    const TEXT: &'static str = "\
WITH input AS (SELECT t, cardinality(t) / 2 AS half FROM (SELECT $?::text[] AS t) i), \
before AS MATERIALIZED (SELECT (SELECT array_agg(current_setting(name) ORDER BY n) \
  FROM unnest(t[:half]) WITH ORDINALITY s (name, n)) AS v, t, half FROM input) \
SELECT v FROM before, LATERAL (SELECT count(set_config(name, \
  CASE WHEN v IS NOT NULL THEN t[half + n] END, true)) AS done \
  FROM unnest(t[:half]) WITH ORDINALITY s (name, n)) changed WHERE done = half";
}

impl PreparedText for Restore {
    type Row = Array<Text>;
    const TEXT: &'static str = Change::TEXT;
}

/// Runs `read` with the home schema as the search path, inside the caller's transaction if
/// there is one, else in one of its own; afterwards the settings are what they were.
///
/// Whether there is a transaction is asked of the server, because the caller may have opened
/// one behind Diesel's back: a setting that is local to the transaction is only still there at
/// the next statement if there is a transaction.
pub(in crate::catalog) fn pinned<T>(
    conn: &mut PgConnection,
    home: &str,
    read: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let before = pin(conn, home)?;
    if current(conn)? == pinned_values(home) {
        return read_and_restore(conn, &before, read);
    }
    conn.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let answer = pin(conn, home).and_then(|_| read(conn));
    // Nothing was written, so this can only fail with the connection.
    conn.batch_execute("ROLLBACK")?;
    answer
}

/// Restores after a failure too. If the server aborted the transaction it refuses, but then
/// the rollback restores, and the first error is the one to report.
fn read_and_restore<T>(
    conn: &mut PgConnection,
    before: &[String],
    read: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let answer = read(conn);
    let restored = restore(conn, before);
    answer.and_then(|answer| restored.map(|()| answer))
}

/// Home alone; a temporary table must not hide a table of home, so those come last.
fn pinned_values(home: &str) -> Vec<String> {
    let path = format!("pg_catalog, \"{}\", pg_temp", home.replace('"', "\"\""));
    let values = SETTINGS.iter().map(|(_, value)| (*value).to_owned());
    values.take(SETTINGS.len() - 1).chain([path]).collect()
}

fn names() -> Vec<String> {
    SETTINGS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

fn current(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    Prepared::<Current>::new().texts(names()).get_result(conn)
}

fn pin(conn: &mut PgConnection, home: &str) -> QueryResult<Vec<String>> {
    Prepared::<Change>::new()
        .texts(assignments(&pinned_values(home)))
        .get_result(conn)
}

fn restore(conn: &mut PgConnection, before: &[String]) -> QueryResult<()> {
    Prepared::<Restore>::new()
        .texts(assignments(before))
        .get_result::<Vec<String>>(conn)
        .map(drop)
}

/// The names of the settings, and their values behind them.
fn assignments(values: &[String]) -> Vec<String> {
    names().into_iter().chain(values.iter().cloned()).collect()
}
