//! Which tables the way back takes away, and the rows that go with them.

use std::collections::BTreeSet;

use db_core::{Conn, with_conn};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, sql_query};

use crate::error::{Error, in_database};
use crate::ledger::quote;
use crate::migration::Direction;
use crate::report::{DroppedTable, Report};

/// Virtual tables show what others hold, and shadow tables are theirs.
const OF_SQLITE: &str = "SELECT name FROM pragma_table_list \
    WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

/// The rows of a partitioned table are those of its partitions.
const OF_POSTGRES: &str = "SELECT c.oid::pg_catalog.regclass::text AS name \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// The tables that a step on the way back may drop; none on the way up.
pub(crate) fn before(
    conn: &mut Conn<'_>,
    direction: Direction,
) -> Result<Option<BTreeSet<String>>, Error> {
    match direction {
        Direction::Up => Ok(None),
        Direction::Down => tables(conn).map(Some),
    }
}

/// Those of them that are gone, their rows not counted.
pub(crate) fn since(
    conn: &mut Conn<'_>,
    before: Option<BTreeSet<String>>,
) -> Result<Option<Vec<DroppedTable>>, Error> {
    let Some(before) = before else {
        return Ok(None);
    };
    let after = tables(conn)?;
    let gone = before.into_iter().filter(|name| !after.contains(name));
    Ok(Some(
        gone.map(|name| DroppedTable { name, rows: None }).collect(),
    ))
}

/// Counts the rows of what a rehearsal has dropped, where all of it is there again: so nobody waits for
/// the count, and no other table is read.
pub(crate) fn count(conn: &mut Conn<'_>, report: &mut Report) -> Result<(), Error> {
    let mut there = tables(conn)?;
    let steps = report.steps.iter_mut();
    for table in steps.filter_map(|step| step.dropped.as_mut()).flatten() {
        let rows = if there.remove(&table.name) {
            rows(conn, &table.name)?
        } else {
            0
        };
        table.rows = Some(rows);
    }
    Ok(())
}

fn tables(conn: &mut Conn<'_>) -> Result<BTreeSet<String>, Error> {
    let sql = match conn {
        Conn::Sqlite(_) => OF_SQLITE,
        Conn::Postgres(_) => OF_POSTGRES,
    };
    let found: QueryResult<Vec<Name>> = with_conn!(conn, |c| sql_query(sql).load(c));
    let found = found.map_err(in_database(conn.engine(), "listing the tables"))?;
    Ok(found.into_iter().map(|row| row.name).collect())
}

fn rows(conn: &mut Conn<'_>, table: &str) -> Result<u64, Error> {
    let sql = match conn {
        Conn::Sqlite(_) => format!("SELECT count(*) AS rows FROM main.{}", quote(table)),
        // The text of a regclass is quoted where it has to be. Heirs are tables of their own.
        Conn::Postgres(_) => format!("SELECT count(*) AS rows FROM ONLY {table}"),
    };
    let found: QueryResult<Rows> = with_conn!(conn, |c| sql_query(sql).get_result(c));
    let found = found.map_err(in_database(conn.engine(), "counting the rows of a table"))?;
    Ok(u64::try_from(found.rows).unwrap_or(0))
}
