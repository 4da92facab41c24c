//! The ledger: what was applied to a database, with its text, and everything that ever happened.
//!
//! It stands beside Diesel's own table and is changed in the same transaction, so that diesel_cli
//! keeps working (docs/adr/0004). Its tables:
//!
//! | table | holds |
//! |---|---|
//! | `__db_migrate_ledger` | one row per applied migration: both SQL texts, both checksums, who, when |
//! | `__db_migrate_events` | an append-only log of applied, reverted, failed, repaired, baselined |
//! | `__db_migrate_objects` | the canonical catalog after the last change |
//! | `__db_migrate_state` | one row: its fingerprints, the server they were taken on, its seal, and what an idle run goes by |

mod cached;
mod history;
mod objects;
mod read;
mod schema;
mod seal;
mod settled;
mod tables;
mod write;

use chrono::{DateTime, SecondsFormat, Utc};
use db_core::{Conn, Engine};

use crate::Version;
use crate::error::Error;
use crate::sql::Checksums;

pub(crate) use history::{DieselRow, History};
pub(crate) use objects::{SchemaAfter, Stamp};
pub(crate) use tables::Tables;
pub(crate) use write::{NewEvent, NewRow};

/// Diesel's own table.
pub(crate) const DIESEL_TABLE: &str = "__diesel_schema_migrations";

/// Our own beside it.
const LEDGER_TABLE: &str = "__db_migrate_ledger";

/// The log of what happened.
const EVENTS_TABLE: &str = "__db_migrate_events";

/// How a ledger row came to be, and whether it counts as applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Run by this engine.
    Applied,
    /// Run by diesel_cli or by Diesel's harness, and taken over.
    Adopted,
    /// Declared as present by `baseline`, not run.
    Baselined,
    /// Failed or killed outside a transaction; some of its statements took effect.
    Incomplete,
    /// Failed or killed on its way back, outside a transaction; some of its statements took effect.
    Reverting,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Adopted => "adopted",
            Self::Baselined => "baselined",
            Self::Incomplete => "incomplete",
            Self::Reverting => "reverting",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Applied,
            Self::Adopted,
            Self::Baselined,
            Self::Incomplete,
            Self::Reverting,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
    }
}

/// A migration that the database has, as the ledger remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each mirrors a column of the ledger"
)]
pub struct Applied {
    /// Its place in the order of application.
    pub sequence: i64,
    /// Its version.
    pub version: Version,
    /// The folder's name, or the version where diesel_cli left no more.
    pub folder_name: String,
    /// The set it was read from; empty where it was adopted without a file.
    pub set: String,
    /// Whether it was written in Rust.
    pub is_rust: bool,
    /// How it came here.
    pub status: Status,
    /// The checksums of the text that was applied; none where that text was never seen.
    pub checksums: Option<Checksums>,
    /// Whether an operator accepted that its file is gone.
    pub accepted_missing: bool,
    /// Whether it ran inside a transaction.
    pub run_in_transaction: bool,
    /// Whether foreign keys were switched off around it.
    pub foreign_keys_off: bool,
    /// Statements that took effect; less than all only while `Incomplete`. While `Reverting`, those
    /// of the way back.
    pub statements_done: u64,
    /// Statements that were begun; one more than done if it was killed in the middle of one.
    pub statements_begun: u64,
    /// When, in UTC, with microseconds.
    pub applied_at: String,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// Who ran it.
    pub applied_by: String,
    /// The fingerprint of the schema after it, where it was taken.
    pub fingerprint: Option<String>,
}

impl Applied {
    /// The name after the version.
    #[must_use]
    pub fn name(&self) -> &str {
        crate::migration::short_name(&self.folder_name)
    }
}

/// Both texts of an applied migration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoredTexts {
    pub(crate) up: Option<String>,
    pub(crate) down: Option<String>,
}

/// Where the ledger's tables are: `main` in SQLite, a schema of the search path in PostgreSQL, by
/// name, because a migration may change the path.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    engine: Engine,
    schema: String,
}

impl Ledger {
    /// Finds the schema of the search path that has the ledger, else the one that has Diesel's
    /// table, else the one in which this connection's tables are made; and which of the two tables
    /// there are. The order matters: a migration may create the schema `"$user"`, which from then on
    /// is the first of the path.
    pub(crate) fn locate(conn: &mut Conn<'_>) -> Result<(Self, Tables), Error> {
        let engine = conn.engine();
        let (schema, tables) =
            Tables::find(conn, "pg_catalog.current_schemas(false)")?.ok_or(Error::NoSchema)?;
        Ok((Self { engine, schema }, tables))
    }

    pub(crate) const fn engine(&self) -> Engine {
        self.engine
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// A table's name, qualified and quoted.
    fn table(&self, name: &str) -> String {
        format!("{}.{}", quote(&self.schema), quote(name))
    }

    fn rows(&self) -> String {
        self.table(LEDGER_TABLE)
    }

    fn events(&self) -> String {
        self.table(EVENTS_TABLE)
    }

    fn objects(&self) -> String {
        self.table("__db_migrate_objects")
    }

    fn state(&self) -> String {
        self.table("__db_migrate_state")
    }

    fn diesel(&self) -> String {
        self.table(DIESEL_TABLE)
    }
}

/// A quoted identifier, for both engines.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A moment as the ledger writes it: readable in a shell, and in order as text.
pub(crate) fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
