//! Sessions, and the events and snapshots of usage in them.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{events, sessions, usage_snapshots};
use crate::types::{Json, UtcTime, vocabulary};

/// A session that events and snapshots belong to.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = sessions, primary_key(session_id), check_for_backend(Sqlite, Pg))]
pub struct Session {
    /// Key.
    pub session_id: String,
    /// When it began.
    pub started_at: UtcTime,
    /// When it ended; none while it runs.
    pub ended_at: Option<UtcTime>,
    /// Anything else.
    pub metadata: Option<Json>,
}

/// A session to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub struct NewSession {
    /// Key.
    pub session_id: String,
    /// Now.
    pub started_at: UtcTime,
    /// Anything else.
    pub metadata: Option<Json>,
}

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = events, check_for_backend(Sqlite, Pg))]
pub struct Event {
    /// Key.
    pub id: i64,
    /// The session.
    pub session_id: String,
    /// What kind of thing: a word of the application's.
    pub event_type: String,
    /// What there is to say of it.
    pub payload: Json,
    /// When.
    pub timestamp: UtcTime,
}

/// An event to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub struct NewEvent {
    /// The session.
    pub session_id: String,
    /// What kind of thing: a word of the application's.
    pub event_type: String,
    /// What there is to say of it.
    pub payload: Json,
    /// When.
    pub timestamp: UtcTime,
}

vocabulary! {
    /// What a snapshot is of.
    pub enum SnapshotType {
        /// Statistics of usage.
        Stats = "stats",
        /// The configuration.
        Config = "config",
        /// The session.
        Session = "session",
    }
}

/// Usage at one moment of a session.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = usage_snapshots, check_for_backend(Sqlite, Pg))]
pub struct UsageSnapshot {
    /// Key.
    pub id: i64,
    /// The session.
    pub session_id: String,
    /// The usage.
    pub snapshot_data: Json,
    /// What it is of.
    pub snapshot_type: SnapshotType,
    /// When.
    pub timestamp: UtcTime,
}

/// A snapshot to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = usage_snapshots, treat_none_as_default_value = false)]
pub struct NewUsageSnapshot {
    /// The session.
    pub session_id: String,
    /// The usage.
    pub snapshot_data: Json,
    /// What it is of.
    pub snapshot_type: SnapshotType,
    /// When.
    pub timestamp: UtcTime,
}
