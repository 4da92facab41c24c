//! Entries of the outbox that are due: SQLite has one writer at a time, PostgreSQL passes over rows
//! that another transaction is just claiming.

use db_core::statement;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
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

statement! {
    /// Done, those whose lease still holds.
    struct CompleteMany<'a> {
        ids: &'a [i64] as Array<BigInt>,
        attempts: &'a [i32] as Array<Integer>,
        ends: &'a [UtcTime] as Array<UtcTimestamp>,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET status = 'delivered', next_retry_at = NULL, updated_at = " now "
    FROM unnest(" ids "::bigint[], " attempts "::integer[], " ends "::timestamptz[])
    AS held (id, attempts, ends_at)
    WHERE outbox.id = held.id AND status = 'processing' AND outbox.attempts = held.attempts
    AND next_retry_at = held.ends_at"
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

/// How many of the leases held.
pub(crate) fn complete_postgres(
    c: &mut PgConnection,
    leases: &[Lease],
    now: UtcTime,
) -> QueryResult<usize> {
    if leases.is_empty() {
        return Ok(0);
    }
    let ids: Vec<_> = leases.iter().map(|lease| lease.id).collect();
    let attempts: Vec<_> = leases.iter().map(|lease| lease.attempt).collect();
    let ends: Vec<_> = leases.iter().map(|lease| lease.ends_at).collect();
    CompleteMany {
        ids: &ids,
        attempts: &attempts,
        ends: &ends,
        now,
    }
    .execute(c)
}
