//! One state of a database, and its rows as streams.

mod fields;

use db_core::bulk::{CopyOut, PostgresBulk, SqliteBulk, SqliteStatement};
use db_core::{Access, DatabaseUrl, EncryptionKey, Engine, Interrupt};

pub use fields::Fields;

use crate::error::{Doing as _, Error};
use crate::shape::{Shape, Table, TableKind, quoted, rowid};

/// What makes the same value the same text in every session, and the same table the same rows: no
/// scan that begins in the middle or runs on several processes, no policy that hides some.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    SET xmloption = 'content'; SET row_security = off; SET synchronize_seqscans = off; \
    SET max_parallel_workers_per_gather = 0; SET lock_timeout = 0; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0";

/// Which rows of a table, and in which order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a> {
    /// A condition in SQL.
    pub filter: Option<&'a str>,
    /// By primary key (without one, by all columns) instead of as they are stored.
    pub sorted: bool,
}

/// A database as it was when this was opened, whoever writes meanwhile.
#[derive(Debug)]
pub struct Source {
    /// Its tables.
    pub shape: Shape,
    pub(crate) engine: EngineSource,
}

#[derive(Debug)]
pub(crate) enum EngineSource {
    Sqlite(SqliteBulk),
    /// With the name under which others see the same state.
    Postgres(PostgresBulk, String),
}

impl Source {
    /// Opens a database to read it, and takes the snapshot.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(
        url: &DatabaseUrl,
        key: Option<&EncryptionKey>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let opening = || format!("opening {url}");
        match url.engine() {
            Engine::Sqlite => {
                let mut bulk =
                    SqliteBulk::open(url, Access::ReadOnly, key, interrupt).doing(opening)?;
                // The transaction begins with the first read, not with BEGIN.
                bulk.execute("BEGIN; PRAGMA main.schema_version")
                    .doing(opening)?;
                let shape = Shape::of_sqlite(&bulk).doing(|| "reading the catalog".to_owned())?;
                let engine = EngineSource::Sqlite(bulk);
                Ok(Self { shape, engine })
            }
            Engine::Postgres => {
                let mut bulk =
                    PostgresBulk::open(url, Access::ReadOnly, interrupt).doing(opening)?;
                bulk.execute(SESSION).doing(opening)?;
                let snapshot = bulk.begin_snapshot().doing(opening)?;
                let shape =
                    Shape::of_postgres(&mut bulk).doing(|| "reading the catalog".to_owned())?;
                let engine = EngineSource::Postgres(bulk, snapshot);
                Ok(Self { shape, engine })
            }
        }
    }
}

/// The rows of a table of SQLite, with its stored columns.
pub(crate) fn sqlite_rows<'b>(
    bulk: &'b SqliteBulk,
    table: &Table,
    rows: Rows<'_>,
) -> Result<SqliteStatement<'b>, db_core::Error> {
    let by_key = rows.sorted || table.without_rowid;
    let order = match rowid(table) {
        _ if table.kind == TableKind::Virtual => String::new(),
        _ if by_key && !table.primary_key.is_empty() => columns(table.primary_key.iter()),
        _ if rows.sorted => columns(table.columns.iter().map(|column| &column.name)),
        Some(rowid) => rowid.to_owned(),
        None => String::new(),
    };
    bulk.prepare(&select(
        table,
        &format!("main.{}", table.name.quoted()),
        rows,
        &order,
    ))
}

/// The rows of a table of PostgreSQL, with its stored columns, in a format of COPY.
pub(crate) fn postgres_rows<'b>(
    bulk: &'b mut PostgresBulk,
    table: &Table,
    rows: Rows<'_>,
    format: &str,
) -> Result<CopyOut<'b>, db_core::Error> {
    let name = table.name.quoted();
    let from = match table.kind {
        TableKind::Partitioned => name.clone(),
        // Its heirs are tables of their own.
        TableKind::Plain | TableKind::Virtual => format!("ONLY {name}"),
    };
    let is_whole = rows.filter.is_none() && !rows.sorted && table.kind == TableKind::Plain;
    let what = if is_whole && table.stored_columns().next().is_some() {
        format!(
            "{name} ({})",
            columns(table.stored_columns().map(|column| &column.name))
        )
    } else {
        let order = match rows.sorted {
            false => String::new(),
            true if !table.primary_key.is_empty() => columns(table.primary_key.iter()),
            // Not every type has an order; every one has a text.
            true => format!(
                "CAST(ROW({}) AS text) COLLATE \"C\"",
                columns(table.columns.iter().map(|column| &column.name))
            ),
        };
        format!("({})", select(table, &from, rows, &order))
    };
    bulk.copy_out(&format!("COPY {what} TO STDOUT (FORMAT {format})"))
}

fn select(table: &Table, from: &str, rows: Rows<'_>, order: &str) -> String {
    let names = columns(table.stored_columns().map(|column| &column.name));
    let mut sql = format!("SELECT {names} FROM {from}");
    if let Some(filter) = rows.filter {
        // A comment at its end must not take the parenthesis with it.
        sql.push_str(" WHERE (");
        sql.push_str(filter);
        sql.push_str("\n)");
    }
    if !order.is_empty() {
        sql.push_str(" ORDER BY ");
        sql.push_str(order);
    }
    sql
}

/// A list of columns, in quotes.
pub(crate) fn columns<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}
