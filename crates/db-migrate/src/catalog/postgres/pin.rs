//! Settings that make PostgreSQL's answers comparable, for as long as it is read.

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use diesel::{PgConnection, QueryResult, QueryableByName, RunQueryDsl as _, sql_query};

/// `plan_cache_mode` spares planning over and over; `jit` would compile for longer than the
/// queries run.
const PIN: &str = "\
SELECT current_setting('search_path') AS path, current_setting('plan_cache_mode') AS plan, \
current_setting('jit') AS jit, \
set_config('search_path', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true), \
set_config('jit', 'off', true)";
const RESTORE: &str = "\
SELECT set_config('search_path', $1, true), set_config('plan_cache_mode', $2, true), \
set_config('jit', $3, true)";
const IS_PINNED: &str = "\
SELECT current_setting('search_path') AS path, current_setting('plan_cache_mode') AS plan, \
current_setting('jit') AS jit";

#[derive(QueryableByName, PartialEq)]
struct Settings {
    #[diesel(sql_type = Text)]
    path: String,
    #[diesel(sql_type = Text)]
    plan: String,
    #[diesel(sql_type = Text)]
    jit: String,
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
    let path = search_path(home);
    let before = pin(conn, &path)?;
    let now: Settings = sql_query(IS_PINNED).get_result(conn)?;
    if now.path == path && now.plan == "force_generic_plan" {
        return read_and_restore(conn, &before, read);
    }
    conn.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let answer = pin(conn, &path).and_then(|_| read(conn));
    // Nothing was written, so this can only fail with the connection.
    conn.batch_execute("ROLLBACK")?;
    answer
}

/// As [`pinned`], for a caller that is known to be in a transaction.
pub(in crate::catalog) fn pinned_in_transaction<T>(
    conn: &mut PgConnection,
    home: &str,
    read: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let before = pin(conn, &search_path(home))?;
    read_and_restore(conn, &before, read)
}

/// Restores after a failure too. If the server aborted the transaction it refuses, but then
/// the rollback restores, and the first error is the one to report.
fn read_and_restore<T>(
    conn: &mut PgConnection,
    before: &Settings,
    read: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let answer = read(conn);
    let restored = restore(conn, before);
    answer.and_then(|answer| restored.map(|()| answer))
}

/// Home alone; a temporary table must not hide a table of home, so those come last.
fn search_path(home: &str) -> String {
    format!("pg_catalog, \"{}\", pg_temp", home.replace('"', "\"\""))
}

fn pin(conn: &mut PgConnection, path: &str) -> QueryResult<Settings> {
    sql_query(PIN).bind::<Text, _>(path).get_result(conn)
}

fn restore(conn: &mut PgConnection, before: &Settings) -> QueryResult<()> {
    sql_query(RESTORE)
        .bind::<Text, _>(&before.path)
        .bind::<Text, _>(&before.plan)
        .bind::<Text, _>(&before.jit)
        .execute(conn)?;
    Ok(())
}
