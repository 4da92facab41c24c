//! Entries of the outbox that are due: SQLite has one writer at a time, PostgreSQL passes over rows
//! that another transaction is just claiming.

use db_core::statement;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _, SqliteConnection};

use crate::outbox::{ClaimedEntry, Lease, reported_attempt};

type Columns = (
    BigInt,
    Nullable<Text>,
    Text,
    JsonDoc,
    Integer,
    UtcTimestamp,
    Nullable<JsonDoc>,
);

type Claimed = (
    i64,
    Option<String>,
    String,
    Json,
    i32,
    UtcTime,
    Option<Json>,
);

statement! {
    struct ClaimAlone {
        now: UtcTime as UtcTimestamp,
        ends_at: UtcTime as UtcTimestamp,
        limit: i64 as BigInt,
    }
    returns Columns;
    "UPDATE outbox SET status = 'processing', attempts = attempts + 1, next_retry_at = " ends_at
    ", updated_at = " now "
    WHERE id IN (
        SELECT id FROM outbox WHERE next_retry_at <= " now "
        ORDER BY next_retry_at, id LIMIT " limit " + 0)
    RETURNING id, user_id, outbox_type, payload, attempts, created_at, metadata"
}

statement! {
    /// As an array the inner query runs once, whatever the plan: joined, it might run again and claim
    /// more, or be taken for so large that the whole table is read.
    struct ClaimAmongOthers {
        now: UtcTime as UtcTimestamp,
        ends_at: UtcTime as UtcTimestamp,
        limit: i64 as BigInt,
    }
    returns Columns;
    "UPDATE outbox SET status = 'processing', attempts = attempts + 1, next_retry_at = " ends_at
    ", updated_at = " now "
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox WHERE next_retry_at <= " now "
        ORDER BY next_retry_at, id LIMIT " limit " FOR UPDATE SKIP LOCKED))
    RETURNING id, user_id, outbox_type, payload, attempts, created_at, metadata"
}

pub(crate) fn claim_sqlite(
    c: &mut SqliteConnection,
    now: UtcTime,
    ends_at: UtcTime,
    limit: i64,
) -> QueryResult<Vec<ClaimedEntry>> {
    let claim = ClaimAlone {
        now,
        ends_at,
        limit,
    };
    let rows: Vec<Claimed> = claim.load(c)?;
    Ok(rows.into_iter().map(|row| entry(row, ends_at)).collect())
}

pub(crate) fn claim_postgres(
    c: &mut PgConnection,
    now: UtcTime,
    ends_at: UtcTime,
    limit: i64,
) -> QueryResult<Vec<ClaimedEntry>> {
    let claim = ClaimAmongOthers {
        now,
        ends_at,
        limit,
    };
    let rows: Vec<Claimed> = claim.load(c)?;
    Ok(rows.into_iter().map(|row| entry(row, ends_at)).collect())
}

fn entry(row: Claimed, ends_at: UtcTime) -> ClaimedEntry {
    let (id, user_id, outbox_type, payload, attempt, created_at, metadata) = row;
    let reported = metadata.as_ref().and_then(reported_attempt);
    ClaimedEntry {
        lease: Lease {
            id,
            attempt,
            ends_at,
        },
        user_id,
        outbox_type,
        payload,
        created_at,
        unreported: attempt > 1 && reported != Some(i64::from(attempt) - 1),
    }
}
