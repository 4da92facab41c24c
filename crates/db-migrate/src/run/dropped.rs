//! Which tables the way back takes away, and the rows that go with them.
//!
//! A table is known by its number, since a name says little: one that is renamed is still there, and one that was made
//! under the name of another holds what was put into it.

use std::collections::{BTreeMap, BTreeSet};

use db_core::{Conn, with_conn};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, sql_query};

use crate::error::{Error, in_database};
use crate::ledger::quote;
use crate::migration::Direction;
use crate::report::{DroppedTable, Report};

/// Virtual tables show what others hold, and shadow tables are theirs. `RENAME` leaves the number of a row as it is; the
/// root page changes where `auto_vacuum` moves it, and the next table takes that of one that is gone.
const OF_SQLITE: &str = "SELECT s.rowid AS number, s.name \
    FROM pragma_table_list l CROSS JOIN main.sqlite_schema s ON s.name = l.name AND s.type = 'table' \
    WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

/// The rows of a partitioned table are those of its partitions.
const OF_POSTGRES: &str = "SELECT c.oid::bigint AS number, c.oid::pg_catalog.regclass::text AS name \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/// SQLite gives the next row the highest number and one: behind this view, which is only there meanwhile, no new table
/// can have the number of one that is gone.
const MARK: &str = "CREATE VIEW main.__db_migrate_mark AS SELECT 1";
const UNMARK: &str = "DROP VIEW IF EXISTS main.__db_migrate_mark";

/// A table as it is now.
#[derive(QueryableByName)]
pub(crate) struct Table {
    /// By which it stays the same one.
    #[diesel(sql_type = BigInt)]
    number: i64,
    /// With its schema where that is not on the search path.
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The name that each table, or the one whose rows it took over, had before the run; none for one that the run has made.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<i64, Option<String>>);

/// The tables that a step on the way back may drop; none on the way up. Until [`since`] the step's transaction holds a
/// mark.
pub(crate) fn before(
    conn: &mut Conn<'_>,
    direction: Direction,
    origins: &mut Origins,
) -> Result<Option<Vec<Table>>, Error> {
    if direction == Direction::Up {
        return Ok(None);
    }
    let found = tables(conn)?;
    for table in &found {
        let origin = origins.0.entry(table.number);
        origin.or_insert_with(|| Some(table.name.clone()));
    }
    on_sqlite(conn, MARK)?;
    Ok(Some(found))
}

/// Those of them that are gone, their rows not counted. One is there again if the step has made a table of its name and put
/// rows into it, which is how SQLite's tables are rebuilt.
pub(crate) fn since(
    conn: &mut Conn<'_>,
    before: Option<Vec<Table>>,
    origins: &mut Origins,
) -> Result<Option<Vec<DroppedTable>>, Error> {
    let Some(before) = before else {
        return Ok(None);
    };
    on_sqlite(conn, UNMARK)?;
    let after = tables(conn)?;
    let left: BTreeSet<i64> = after.iter().map(|table| table.number).collect();
    let were: BTreeSet<i64> = before.iter().map(|table| table.number).collect();
    let mut made: BTreeMap<String, Table> = BTreeMap::new();
    for table in after.into_iter().filter(|t| !were.contains(&t.number)) {
        origins.0.insert(table.number, None);
        made.insert(table.name.clone(), table);
    }
    let mut dropped = Vec::new();
    for table in before.into_iter().filter(|t| !left.contains(&t.number)) {
        let origin = origins.0.get(&table.number).cloned().flatten();
        let anew = made.remove(&table.name);
        if let Some(anew) = &anew
            && holds_rows(conn, anew)?
        {
            origins.0.insert(anew.number, origin);
            continue;
        }
        dropped.push(DroppedTable {
            is_of_run: origin.is_none(),
            is_made_anew: anew.is_some(),
            name: origin.unwrap_or(table.name),
            rows: None,
        });
    }
    dropped.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(dropped))
}

/// Counts the rows of what a rehearsal has dropped, where all of it is there again: so nobody waits for
/// the count, and no other table is read. An empty table that was made anew is no loss.
pub(crate) fn count(conn: &mut Conn<'_>, report: &mut Report) -> Result<(), Error> {
    let found = tables(conn)?;
    let mut there: BTreeSet<String> = found.into_iter().map(|table| table.name).collect();
    let steps = report.steps.iter_mut();
    for tables in steps.filter_map(|step| step.dropped.as_mut()) {
        for table in &mut *tables {
            let is_there = !table.is_of_run && there.remove(&table.name);
            table.rows = Some(if is_there {
                rows(conn, &table.name)?
            } else {
                0
            });
        }
        tables.retain(|table| !table.is_made_anew || table.rows != Some(0));
    }
    Ok(())
}

fn tables(conn: &mut Conn<'_>) -> Result<Vec<Table>, Error> {
    let sql = match conn {
        Conn::Sqlite(_) => OF_SQLITE,
        Conn::Postgres(_) => OF_POSTGRES,
    };
    let found: QueryResult<Vec<Table>> = with_conn!(conn, |c| sql_query(sql).load(c));
    found.map_err(in_database(conn.engine(), "listing the tables"))
}

fn on_sqlite(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    if let Conn::Sqlite(_) = conn {
        conn.batch_execute(sql)
            .map_err(in_database(conn.engine(), "listing the tables"))?;
    }
    Ok(())
}

/// Whether anything was put into a table that this transaction has made. On PostgreSQL its size says so to those who may
/// not read it, too.
fn holds_rows(conn: &mut Conn<'_>, table: &Table) -> Result<bool, Error> {
    let sql = match conn {
        Conn::Sqlite(_) => format!(
            "SELECT EXISTS (SELECT 1 FROM main.{}) AS count",
            quote(&table.name)
        ),
        Conn::Postgres(_) => format!(
            "SELECT pg_catalog.pg_relation_size({}::pg_catalog.oid) AS count",
            table.number
        ),
    };
    Ok(number(conn, &sql)? > 0)
}

fn rows(conn: &mut Conn<'_>, table: &str) -> Result<u64, Error> {
    let sql = match conn {
        Conn::Sqlite(_) => format!("SELECT count(*) AS count FROM main.{}", quote(table)),
        // The text of a regclass is quoted where it has to be. Heirs are tables of their own.
        Conn::Postgres(_) => format!("SELECT count(*) AS count FROM ONLY {table}"),
    };
    Ok(u64::try_from(number(conn, &sql)?).unwrap_or(0))
}

fn number(conn: &mut Conn<'_>, sql: &str) -> Result<i64, Error> {
    let found: QueryResult<Count> = with_conn!(conn, |c| sql_query(sql).get_result(c));
    let found = found.map_err(in_database(conn.engine(), "counting the rows of a table"))?;
    Ok(found.count)
}
