//! Maintenance of a PostgreSQL database beside its clients.

mod check;
mod reindex;

use db_core::{Engine, ErrorKind};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use super::{Done, Plan, PlannedTask, Skipped, Steps, Task};
use crate::Error;

/// What errors say was being done.
const DOING: &str = "maintenance";

/// Tables that this role may maintain. Partitioned ones have no rows of their own.
const TABLES: &str = "
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
      AND pg_catalog.pg_has_role(c.relowner, 'USAGE')";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

pub(super) fn plan(conn: &mut PgConnection, tasks: &[Task]) -> Result<Plan, Error> {
    let mut planned = Vec::new();
    for &task in tasks {
        let (steps, blocks) = match task {
            Task::Check => (
                check::steps(conn)?,
                "nobody but changes of schema, one index or key at a time; it reads everything",
            ),
            Task::Analyze => (
                tables(conn)?.len(),
                "nobody but changes of schema and VACUUM of the same table, one table at a time",
            ),
            Task::Optimize => (
                stale(conn)?.len(),
                "nobody but changes of schema and VACUUM of the same table, one table at a time",
            ),
            Task::Vacuum => (
                tables(conn)?.len(),
                "nobody but changes of schema, one table at a time; if the end of a table is empty \
                 it is cut off in a moment for which nobody else is in it",
            ),
            Task::Reindex => (
                reindex::indexes(conn)?.len(),
                "nobody but changes of schema, one index at a time; it waits for transactions that \
                 are older than itself",
            ),
            Task::Checkpoint => (1, "nobody; the disk is busier"),
        };
        planned.push(PlannedTask {
            task,
            steps,
            blocks: blocks.to_owned(),
            needs_temporary: None,
            needs_bytes: match task {
                Task::Reindex => Some(reindex::largest(conn)?),
                _ => None,
            },
            may_free_bytes: None,
        });
    }
    Ok(Plan {
        tasks: planned,
        bytes: bytes(conn)?,
    })
}

pub(super) fn run(conn: &mut PgConnection, steps: &mut Steps<'_>) -> Result<Done, Error> {
    match steps.task {
        Task::Check => check::run(conn, steps),
        Task::Analyze => {
            let tables = tables(conn)?;
            one_by_one(conn, steps, &tables, |table| format!("ANALYZE {table}"))
        }
        Task::Optimize => {
            let tables = stale(conn)?;
            one_by_one(conn, steps, &tables, |table| format!("ANALYZE {table}"))
        }
        Task::Vacuum => {
            let tables = tables(conn)?;
            one_by_one(conn, steps, &tables, |table| {
                format!("VACUUM (ANALYZE) {table}")
            })
        }
        Task::Reindex => reindex::run(conn, steps),
        Task::Checkpoint => {
            steps.begin("", 1, 1)?;
            let mut done = Done::default();
            match execute(conn, "CHECKPOINT") {
                Ok(()) => done.steps = 1,
                Err(error) => skip(&mut done, "", error)?,
            }
            Ok(done)
        }
    }
}

/// Everything of this database: tables, indexes, catalogs. The log is the server's.
pub(super) fn bytes(conn: &mut PgConnection) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS n";
    number(conn, sql)
}

/// Runs one statement per object, so that a lock is held for one of them only.
fn one_by_one(
    conn: &mut PgConnection,
    steps: &mut Steps<'_>,
    objects: &[String],
    statement: impl Fn(&str) -> String,
) -> Result<Done, Error> {
    let mut done = Done::default();
    for (at, object) in objects.iter().enumerate() {
        steps.begin(object, at + 1, objects.len())?;
        match execute(conn, &statement(object)) {
            Ok(()) => done.steps += 1,
            Err(error) => skip(&mut done, object, error)?,
        }
    }
    Ok(done)
}

/// Notes a step that could not be done and need not end the others: a lock that was not had in
/// time, a right that is missing, an object that is gone by now.
fn skip(done: &mut Done, object: &str, error: Error) -> Result<(), Error> {
    let (reason, is_busy) = match kind(&error) {
        Some(ErrorKind::LockTimeout | ErrorKind::Deadlock) => {
            ("its lock was not free in time".to_owned(), true)
        }
        Some(ErrorKind::PermissionDenied | ErrorKind::Statement) => match &error {
            Error::Database { error, .. } => (error.message().to_owned(), false),
            _ => return Err(error),
        },
        _ => return Err(error),
    };
    done.skipped.push(Skipped {
        object: object.to_owned(),
        reason,
        is_busy,
    });
    Ok(())
}

fn tables(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    names(conn, &format!("{TABLES} ORDER BY 1"))
}

/// Tables of which a tenth was changed since they were last looked at, or that never were.
fn stale(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    names(
        conn,
        &format!(
            "{TABLES} AND EXISTS (SELECT FROM pg_catalog.pg_stat_user_tables s
                 WHERE s.relid = c.oid
                   AND (s.n_mod_since_analyze > s.n_live_tup / 10
                        OR s.last_analyze IS NULL AND s.last_autoanalyze IS NULL
                           AND s.n_live_tup > 0))
             ORDER BY 1"
        ),
    )
}

fn names(conn: &mut PgConnection, sql: &str) -> Result<Vec<String>, Error> {
    let rows = load::<Name>(conn, sql)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

fn number(conn: &mut PgConnection, sql: &str) -> Result<u64, Error> {
    let rows = load::<Number>(conn, sql)?;
    let first = rows.first().and_then(|row| u64::try_from(row.n).ok());
    Ok(first.unwrap_or(0))
}

fn load<T>(conn: &mut PgConnection, sql: &str) -> Result<Vec<T>, Error>
where
    T: QueryableByName<diesel::pg::Pg> + 'static,
{
    sql_query(sql)
        .load::<T>(conn)
        .map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Postgres, &e)))
}

/// By itself and outside of a transaction, as VACUUM and CONCURRENTLY demand.
fn execute(conn: &mut PgConnection, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql)
        .map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Postgres, &e)))
}

fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Database { error, .. } => Some(error.kind()),
        _ => None,
    }
}
