//! The audit trail and its seals.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{audit_logs, audit_seals};
use crate::types::{Json, UtcTime, vocabulary};

vocabulary! {
    /// What was done to a row.
    pub enum AuditAction {
        /// It was added.
        Insert = "insert",
        /// It was changed.
        Update = "update",
        /// It was removed.
        Delete = "delete",
    }
}

/// A line of the audit trail: one change of one row.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[diesel(table_name = audit_logs, check_for_backend(Sqlite, Pg))]
pub struct AuditLog {
    /// Key, in the order of writing.
    pub id: i64,
    /// Who did it; none when done by hand in a shell.
    pub user_id: Option<String>,
    /// What was done.
    pub action: AuditAction,
    /// Name of the table.
    pub entity_type: String,
    /// Primary key as text, bytes as lower-case hex; the old one if an update changed it.
    pub entity_id: String,
    /// The row before; none for an insert. Times are Unix microseconds, bytes lower-case hex.
    pub before_state: Option<Json>,
    /// The row after; none for a delete. Same form.
    pub after_state: Option<Json>,
    /// Where from.
    pub ip_address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// When, by the clock of who did it.
    pub created_at: UtcTime,
    /// Whatever else.
    pub metadata: Option<Json>,
}

/// A run of lines of the audit trail under one hash.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Insertable)]
#[diesel(table_name = audit_seals, check_for_backend(Sqlite, Pg), treat_none_as_default_value = false)]
pub struct AuditSeal {
    /// Counts them: 1, 2, 3 and so on.
    pub id: i64,
    /// First line in it.
    pub first_id: i64,
    /// Last line in it.
    pub last_id: i64,
    /// How many lines.
    pub row_count: i64,
    /// The hash of all lines, then id and short hash of each in order.
    pub marks: Vec<u8>,
    /// The hash of the seal before; zeros in the first.
    pub previous_hash: Vec<u8>,
    /// SHA-256 of all the rest.
    pub hash: Vec<u8>,
    /// When it was made.
    pub sealed_at: UtcTime,
}
