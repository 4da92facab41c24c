//! The schema as typed values, the same for both engines.
//!
//! Where a [`Catalog`](super::Catalog) is made to be compared with another of the same engine,
//! a [`Model`] is made to be looked into: to compare the engines with each other, to check that
//! every foreign key has an index, to generate code.

mod clauses;
mod logical;
mod postgres;
mod sqlite;

use db_core::Conn;
use diesel::QueryResult;
use serde::{Deserialize, Serialize};

pub use logical::{LogicalType, Storage};

use super::Scope;

/// All tables in scope, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The tables, by name; no views, no virtual tables.
    pub tables: Vec<Table>,
}

impl Model {
    /// Reads the schema of a live database.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn read(conn: &mut Conn<'_>, scope: &Scope) -> QueryResult<Self> {
        let mut tables = match conn {
            Conn::Sqlite(c) => sqlite::read(c, scope)?,
            Conn::Postgres(c) => postgres::read(c, scope)?,
        };
        tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { tables })
    }

    /// The table of that name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// A table. Its constraints and indexes are sorted by name, or by what they say without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Table {
    /// Its name, with the schema unless that is the home schema.
    pub name: String,
    /// Its comment; SQLite has none.
    pub comment: Option<String>,
    /// Whether it is a `STRICT` table of SQLite.
    #[serde(default)]
    pub strict: bool,
    /// Whether it is a `WITHOUT ROWID` table of SQLite.
    #[serde(default)]
    pub without_rowid: bool,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// The primary key.
    pub primary_key: Option<Key>,
    /// The foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// The unique constraints; a unique index is an index.
    pub uniques: Vec<Key>,
    /// The checks.
    pub checks: Vec<Check>,
    /// The indexes that do not merely serve a constraint.
    pub indexes: Vec<Index>,
    /// The triggers.
    pub triggers: Vec<Trigger>,
}

impl Table {
    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether some key or whole index starts with these columns, in any order among them, so
    /// that looking rows up by them, or deleting what they refer to, needs no scan.
    #[must_use]
    pub fn has_index_on(&self, columns: &[String]) -> bool {
        let starts = |keys: Vec<Option<&str>>| {
            keys.len() >= columns.len()
                && keys[..columns.len()]
                    .iter()
                    .all(|key| key.is_some_and(|key| columns.iter().any(|c| c == key)))
        };
        let constraints = self.primary_key.iter().chain(&self.uniques);
        let keys = constraints.map(|key| key.columns.iter().map(|c| Some(c.as_str())).collect());
        let indexes = self
            .indexes
            .iter()
            .filter(|index| index.predicate.is_none());
        let indexed = indexes.map(|index| index.keys.iter().map(|k| k.column.as_deref()).collect());
        keys.chain(indexed).any(starts)
    }

    fn sort(&mut self) {
        self.foreign_keys
            .sort_unstable_by(|a, b| (&a.name, &a.columns).cmp(&(&b.name, &b.columns)));
        self.uniques
            .sort_unstable_by(|a, b| (&a.name, &a.columns).cmp(&(&b.name, &b.columns)));
        self.checks
            .sort_unstable_by(|a, b| (&a.name, &a.expression).cmp(&(&b.name, &b.expression)));
        self.indexes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.triggers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its place in the table, from 1, without gaps.
    pub position: u32,
    /// The type as the engine writes it.
    pub declared_type: String,
    /// What the type means. SQLite cannot tell bool, time and JSON from INTEGER and TEXT.
    pub logical_type: LogicalType,
    /// Whether NULL may be stored.
    pub nullable: bool,
    /// The default expression as the engine writes it.
    pub default: Option<String>,
    /// Whether the engine numbers it: an identity column, a serial, an `INTEGER PRIMARY KEY`.
    pub numbered: bool,
    /// How it is computed, if it is.
    pub generated: Option<Generated>,
    /// Its comment; SQLite has none.
    pub comment: Option<String>,
}

/// How a generated column is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Generated {
    /// The expression, as the engine writes it.
    pub expression: String,
    /// Whether the value is stored.
    pub stored: bool,
}

/// A primary key or unique constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Key {
    /// The name; PostgreSQL invents one, SQLite does without.
    pub name: Option<String>,
    /// The columns in order.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ForeignKey {
    /// The name; PostgreSQL invents one, SQLite does without.
    pub name: Option<String>,
    /// The referring columns in order.
    pub columns: Vec<String>,
    /// The table referred to.
    pub references: String,
    /// The columns referred to; empty on SQLite where the text leaves it at the primary key.
    pub referenced_columns: Vec<String>,
    /// What a deletion there does here.
    pub on_delete: Action,
    /// What a change of the key there does here.
    pub on_update: Action,
    /// Whether checking it can be put off to the end of the transaction.
    pub deferrable: bool,
}

/// What a foreign key does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuse at the end of the statement.
    #[default]
    NoAction,
    /// Refuse at once.
    Restrict,
    /// Do the same here.
    Cascade,
    /// Forget the reference.
    SetNull,
    /// Refer to the default.
    SetDefault,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// The name; PostgreSQL invents one, SQLite does without.
    pub name: Option<String>,
    /// The expression, as the engine writes it, without the outermost parentheses.
    pub expression: String,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Index {
    /// Its name.
    pub name: String,
    /// What it is over, in order; columns that are merely included are left out.
    pub keys: Vec<IndexKey>,
    /// Whether it refuses duplicates.
    pub unique: bool,
    /// The predicate of a partial index.
    pub predicate: Option<String>,
    /// The access method, on PostgreSQL; `btree` on SQLite.
    pub method: String,
}

/// One key of an index: a column or an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct IndexKey {
    /// The column, if it is one.
    pub column: Option<String>,
    /// The expression, if it is one.
    pub expression: Option<String>,
    /// Whether it is in descending order.
    pub descending: bool,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Its definition, as a catalog shows it.
    pub definition: String,
}
