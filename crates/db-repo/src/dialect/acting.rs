//! Who acts: a row that triggers read on SQLite, settings of the transaction on PostgreSQL.

use db_core::statement;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _, SqliteConnection};

use crate::Actor;

statement! {
    /// Fills the one row of the context.
    struct SetRow<'a> {
        user: Option<&'a str> as Nullable<Text>,
        address: Option<&'a str> as Nullable<Text>,
        agent: Option<&'a str> as Nullable<Text>,
        at: UtcTime as UtcTimestamp,
    }
    "INSERT INTO audit_context (id, user_id, ip_address, user_agent, at) VALUES (1, " user
    ", " address ", " agent ", " at
    ") ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id,
    ip_address = excluded.ip_address, user_agent = excluded.user_agent, at = excluded.at"
}

statement! {
    /// Empties it.
    struct ClearRow {}
    "UPDATE audit_context SET user_id = NULL, ip_address = NULL, user_agent = NULL, at = NULL WHERE id = 1"
}

statement! {
    /// Sets what `audit_row()` reads, until the transaction ends.
    struct SetSettings<'a> {
        user: &'a str as Text,
        address: &'a str as Text,
        agent: &'a str as Text,
        at: i64 as BigInt,
    }
    "SELECT set_config('bitcraps.audit_user', " user ", true),
    set_config('bitcraps.audit_ip', " address ", true),
    set_config('bitcraps.audit_agent', " agent ", true),
    set_config('bitcraps.audit_at', " at "::text, true)"
}

pub(crate) fn begin_sqlite(
    c: &mut SqliteConnection,
    actor: &Actor,
    now: UtcTime,
) -> QueryResult<()> {
    SetRow {
        user: actor.user.as_deref(),
        address: actor.address.as_deref(),
        agent: actor.agent.as_deref(),
        at: now,
    }
    .execute(c)
    .map(drop)
}

/// Others in the same group of writes must not find it.
pub(crate) fn end_sqlite(c: &mut SqliteConnection) -> QueryResult<()> {
    ClearRow {}.execute(c).map(drop)
}

pub(crate) fn begin_postgres(c: &mut PgConnection, actor: &Actor, now: UtcTime) -> QueryResult<()> {
    SetSettings {
        user: actor.user.as_deref().unwrap_or_default(),
        address: actor.address.as_deref().unwrap_or_default(),
        agent: actor.agent.as_deref().unwrap_or_default(),
        at: now.timestamp_micros(),
    }
    .execute(c)
    .map(drop)
}
