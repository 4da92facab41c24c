//! One statement, executed, and the place of its error in the file.

use db_core::{Conn, ErrorKind, with_conn};
use diesel::sql_types::{Bool, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, sql_query};

use super::script::Prepared;
use crate::Direction;
use crate::error::{Error, Failure, Outcome, in_database};
use crate::ledger::quote;
use crate::plan::PlannedStep;
use crate::sql::IndexName;

/// The longest line of a script that a message quotes.
const LONGEST_EXCERPT: usize = 200;

#[derive(QueryableByName)]
struct IndexState {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Bool)]
    is_valid: bool,
}

/// Runs one statement and returns the rows it changed, where `count` asks for them.
pub(super) fn execute(
    conn: &mut Conn<'_>,
    prepared: &Prepared<'_>,
    count: bool,
) -> QueryResult<Option<u64>> {
    let text = prepared.statement.text;
    if count && prepared.facts.changes_rows {
        let rows: usize = with_conn!(conn, |c| sql_query(text).execute(c))?;
        return Ok(Some(rows as u64));
    }
    conn.batch_execute(text).map(|()| None)
}

/// Describes the failure of a statement.
pub(super) fn failure(
    step: &PlannedStep<'_>,
    direction: Direction,
    prepared: &Prepared<'_>,
    error: &db_core::Error,
) -> Failure {
    let statement = &prepared.statement;
    let offset = error.position().map(|p| p.byte_in(statement.text));
    let line = offset.map_or(statement.line, |at| statement.line_of_byte(at));
    let mut message = error.in_full();
    if prepared.facts.refuses_transaction && step.options.run_in_transaction {
        message.push_str(
            " (such a statement needs run_in_transaction = false in its migration's metadata.toml)",
        );
    }
    Failure {
        version: step.version.clone(),
        name: step.name().to_owned(),
        direction,
        file: step.file.clone(),
        statement: Some(statement.number as u64),
        line: Some(line),
        excerpt: excerpt(statement.text, line - statement.line),
        message,
        outcome: Outcome::RolledBack,
        kind: Some(error.kind()),
        suggests_baseline: false,
    }
}

/// One line of a statement, shortened.
fn excerpt(text: &str, line: usize) -> Option<String> {
    let line = text.lines().nth(line)?.trim();
    Some(line.chars().take(LONGEST_EXCERPT).collect()).filter(|l: &String| !l.is_empty())
}

/// What to do about an index that a killed or failed `CREATE INDEX CONCURRENTLY` left behind.
pub(super) enum Leftover {
    /// There is none.
    None,
    /// It is there and valid: the statement took effect before its record was written.
    Done,
    /// It was there, invalid, and is dropped now.
    Dropped(String),
}

/// Looks for the index that the statement is about to build. With `IF NOT EXISTS` the server would
/// keep an invalid one for ever, and without it the retry would fail.
pub(super) fn clear_leftover(
    conn: &mut Conn<'_>,
    index: &IndexName,
    was_begun: bool,
) -> Result<Leftover, Error> {
    let (Conn::Postgres(c), Some(name)) = (conn.reborrow(), &index.name) else {
        return Ok(Leftover::None);
    };
    let table = match &index.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&index.on_table)),
        None => quote(&index.on_table),
    };
    let found: Vec<IndexState> = sql_query(
        "SELECT n.nspname::text AS schema, i.indisvalid AS is_valid
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE i.indrelid = pg_catalog.to_regclass($1) AND c.relname = $2",
    )
    .bind::<Text, _>(table)
    .bind::<Text, _>(name)
    .load(c)
    .map_err(in_database(
        db_core::Engine::Postgres,
        "looking for a leftover index",
    ))?;
    match found.into_iter().next() {
        None => Ok(Leftover::None),
        Some(state) if state.is_valid && was_begun => Ok(Leftover::Done),
        Some(state) if state.is_valid => Ok(Leftover::None),
        Some(state) => {
            let qualified = format!("{}.{}", quote(&state.schema), quote(name));
            conn.batch_execute(&format!("DROP INDEX CONCURRENTLY {qualified}"))
                .map_err(in_database(
                    db_core::Engine::Postgres,
                    "dropping an invalid index",
                ))?;
            Ok(Leftover::Dropped(qualified))
        }
    }
}

/// What the server said of a failure, without its place and on one line.
pub(super) fn first_line_of(error: &Error) -> String {
    let message = match error {
        Error::Failed { failure, .. } => failure.message.clone(),
        other => other.to_string(),
    };
    message.lines().next().unwrap_or_default().to_owned()
}

/// Whether a failure is a lock that could not be had in time, which is worth another try.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    let kind = match error {
        Error::Failed { failure, .. } => failure.kind,
        other => other.database_kind(),
    };
    matches!(kind, Some(ErrorKind::LockTimeout | ErrorKind::Deadlock))
}
