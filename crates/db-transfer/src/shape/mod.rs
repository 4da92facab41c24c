//! Tables as a transfer sees them: names, columns, keys, and the order in which parents come first.
//!
//! Read from the catalog of any database, by the connection whose snapshot the rows come from.

mod order;
mod postgres;
mod shadows;
mod sqlite;

use std::fmt;

use db_core::Engine;
use db_core::bulk::{PostgresBulk, SqliteBulk};

pub(crate) use shadows::{is_among, not_shadows};
pub(crate) use sqlite::rowid;

/// What the names of our own ledgers start with, and Diesel's.
const OWN_LEDGER: &str = "__db_migrate";
const DIESEL_LEDGER: &str = "__diesel_schema_migrations";
/// What is said of a transaction for the audit; it belongs to no row that one could take along.
const CONTEXT: &str = "audit_context";

/// The name of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema, on PostgreSQL, unless it is the one that names without a schema mean.
    pub schema: Option<String>,
    /// The name in it.
    pub name: String,
}

impl TableName {
    /// The name as SQL takes it, in quotes.
    #[must_use]
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a table is to its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Rows of its own.
    Plain,
    /// PostgreSQL: the rows are in partitions, which are no tables here.
    Partitioned,
    /// SQLite: rows that a module makes up, from shadow tables that are no tables here.
    Virtual,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: TableKind,
    /// Its columns in order; no hidden ones.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in order.
    pub primary_key: Vec<String>,
    /// The tables that it refers to.
    pub parents: Vec<TableName>,
    /// SQLite: whether it is stored by its primary key.
    pub without_rowid: bool,
    /// How many rows it has, about.
    pub rows_estimate: Option<u64>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type as the engine writes it.
    pub declared_type: String,
    /// The same, for a domain of PostgreSQL what it is made of.
    pub base_type: String,
    /// Whether NULL may be stored.
    pub nullable: bool,
    /// Whether the engine computes it, so that it can be read and not written.
    pub generated: bool,
}

impl Table {
    /// The columns that can be written as well as read: all but those that the engine computes.
    pub fn stored_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// Whether it is one of the tables that keep house for this program, not data of anybody's.
    #[must_use]
    pub fn is_housekeeping(&self) -> bool {
        let name = self.name.name.as_str();
        name == DIESEL_LEDGER || name == CONTEXT || name.starts_with(OWN_LEDGER)
    }
}

/// All tables of a database, parents first, and by name where neither comes first.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The engine.
    pub engine: Engine,
    /// The tables.
    pub tables: Vec<Table>,
    /// Tables that refer to each other, or to each other's parents, in a circle: no order has all
    /// their parents first.
    pub cycles: Vec<Vec<TableName>>,
    /// What is there and is no table here, in a sentence each.
    pub left_out: Vec<String>,
}

impl Shape {
    /// Reads the tables of a SQLite database, in the transaction that is open.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn of_sqlite(bulk: &SqliteBulk) -> Result<Self, db_core::Error> {
        let (tables, left_out) = sqlite::read(bulk)?;
        Ok(Self::of(Engine::Sqlite, tables, left_out))
    }

    /// Reads the tables of a PostgreSQL database, in the transaction that is open.
    ///
    /// # Errors
    /// What the server says.
    pub fn of_postgres(bulk: &mut PostgresBulk) -> Result<Self, db_core::Error> {
        let (tables, left_out) = postgres::read(bulk)?;
        Ok(Self::of(Engine::Postgres, tables, left_out))
    }

    /// One table of SQLite that is no table of its own, a module's for example.
    pub(crate) fn sqlite_table(bulk: &SqliteBulk, name: &str) -> Result<Table, db_core::Error> {
        sqlite::table(bulk, name, false, sqlite::is_without_rowid(bulk, name)?)
    }

    fn of(engine: Engine, tables: Vec<Table>, left_out: Vec<String>) -> Self {
        let (tables, cycles) = order::parents_first(tables);
        Self {
            engine,
            tables,
            cycles,
            left_out,
        }
    }

    /// The table that a person means by this name. SQLite's names have no case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Table> {
        let exact = self
            .tables
            .iter()
            .find(|table| table.name.to_string() == name);
        exact.or_else(|| {
            let same = |table: &&Table| table.name.name.eq_ignore_ascii_case(name);
            self.tables
                .iter()
                .find(same)
                .filter(|_| self.engine == Engine::Sqlite)
        })
    }
}

/// An identifier as SQL takes it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it, where backslashes mean nothing.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
