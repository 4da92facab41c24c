//! What becomes of an entry that was claimed: each report counts only while the lease holds.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::OutboxStatus;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::OutboxRepository;
use crate::dialect::claim;
use crate::{Error, Result};

/// Characters of an error that are kept.
const ERROR_LENGTH: usize = 2_000;

/// The right to deliver an entry, until a moment. It names the attempt as well, so that a relay
/// that was too slow cannot report on the attempt of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The entry.
    pub id: i64,
    /// Which attempt this is: 1, 2, 3 and so on.
    pub attempt: i32,
    /// When others may claim the entry.
    pub ends_at: UtcTime,
}

/// A delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedDelivery<'a> {
    /// Why; its first 2,000 characters are kept.
    pub error: &'a str,
    /// When to try again; never, if the entry is to be given up.
    pub retry_at: Option<UtcTime>,
}

statement! {
    /// Done, if the lease still holds.
    struct Complete {
        id: i64 as BigInt,
        attempt: i32 as Integer,
        ends_at: UtcTime as UtcTimestamp,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET status = 'delivered', next_retry_at = NULL, updated_at = " now "
    WHERE id = " id " AND status = 'processing' AND attempts = " attempt
    " AND next_retry_at = " ends_at
}

statement! {
    /// Due again later or given up, if the lease still holds.
    struct Fail<'a> {
        id: i64 as BigInt,
        attempt: i32 as Integer,
        ends_at: UtcTime as UtcTimestamp,
        status: OutboxStatus as Text,
        due: Option<UtcTime> as Nullable<UtcTimestamp>,
        why: &'a Json as JsonDoc,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET status = " status ", next_retry_at = " due ", metadata = " why
    ", updated_at = " now "
    WHERE id = " id " AND status = 'processing' AND attempts = " attempt
    " AND next_retry_at = " ends_at
}

statement! {
    /// Due at once, with so many attempts, if the lease still holds.
    struct GiveBack {
        id: i64 as BigInt,
        attempt: i32 as Integer,
        ends_at: UtcTime as UtcTimestamp,
        status: OutboxStatus as Text,
        attempts: i32 as Integer,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET status = " status ", attempts = " attempts ", next_retry_at = " now
    ", updated_at = " now "
    WHERE id = " id " AND status = 'processing' AND attempts = " attempt
    " AND next_retry_at = " ends_at
}

statement! {
    /// So many attempts, if the lease still holds.
    struct Recount {
        id: i64 as BigInt,
        attempt: i32 as Integer,
        ends_at: UtcTime as UtcTimestamp,
        attempts: i32 as Integer,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET attempts = " attempts ", updated_at = " now "
    WHERE id = " id " AND status = 'processing' AND attempts = " attempt
    " AND next_retry_at = " ends_at
}

impl OutboxRepository {
    /// The entry was delivered.
    ///
    /// # Errors
    /// `LeaseLost`, `Database`.
    pub fn complete(conn: &mut Conn<'_>, lease: Lease, now: UtcTime) -> Result<()> {
        let Lease {
            id,
            attempt,
            ends_at,
        } = lease;
        let complete = Complete {
            id,
            attempt,
            ends_at,
            now,
        };
        let rows = with_conn!(conn, |c| complete.execute(c))?;
        held(rows, lease)
    }

    /// These entries were delivered; how many of the leases held. The others are as they were.
    ///
    /// # Errors
    /// `Database`.
    pub fn complete_many(conn: &mut Conn<'_>, leases: &[Lease], now: UtcTime) -> Result<usize> {
        match conn {
            Conn::Sqlite(_) => {
                let mut held = 0;
                for lease in leases {
                    match Self::complete(conn, *lease, now) {
                        Ok(()) => held += 1,
                        Err(Error::LeaseLost { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(held)
            }
            // One round trip.
            Conn::Postgres(c) => Ok(claim::complete_postgres(c, leases, now)?),
        }
    }

    /// The entry was not delivered: it waits for another attempt, or is given up.
    ///
    /// # Errors
    /// `LeaseLost`, `Database`.
    pub fn fail(
        conn: &mut Conn<'_>,
        lease: Lease,
        failed: FailedDelivery<'_>,
        now: UtcTime,
    ) -> Result<()> {
        let Lease {
            id,
            attempt,
            ends_at,
        } = lease;
        let fail = Fail {
            id,
            attempt,
            ends_at,
            status: match failed.retry_at {
                Some(_) => OutboxStatus::Failed,
                None => OutboxStatus::Dead,
            },
            due: failed.retry_at,
            why: &reason(failed.error, attempt),
            now,
        };
        let rows = with_conn!(conn, |c| fail.execute(c))?;
        held(rows, lease)
    }

    /// The entry was not handed over: it is due at once, and this attempt does not count.
    ///
    /// # Errors
    /// `LeaseLost`, `Database`.
    pub fn give_back(conn: &mut Conn<'_>, lease: Lease, now: UtcTime) -> Result<()> {
        return_with(conn, lease, lease.attempt.saturating_sub(1), now)
    }
}

/// An entry whose attempt is [taken back](count_attempts) already: it is due at once.
pub(super) fn return_uncounted(conn: &mut Conn<'_>, lease: Lease, now: UtcTime) -> Result<()> {
    return_with(conn, lease, lease.attempt, now)
}

/// From now on the entry has so many attempts, and its lease names this number.
pub(super) fn count_attempts(
    conn: &mut Conn<'_>,
    lease: Lease,
    attempts: i32,
    now: UtcTime,
) -> Result<Lease> {
    let Lease {
        id,
        attempt,
        ends_at,
    } = lease;
    let recount = Recount {
        id,
        attempt,
        ends_at,
        attempts,
        now,
    };
    let rows = with_conn!(conn, |c| recount.execute(c))?;
    held(rows, lease)?;
    Ok(Lease {
        attempt: attempts,
        ..lease
    })
}

fn return_with(conn: &mut Conn<'_>, lease: Lease, attempts: i32, now: UtcTime) -> Result<()> {
    let Lease {
        id,
        attempt,
        ends_at,
    } = lease;
    let give_back = GiveBack {
        id,
        attempt,
        ends_at,
        status: match attempts {
            0 => OutboxStatus::Pending,
            _ => OutboxStatus::Failed,
        },
        attempts,
        now,
    };
    let rows = with_conn!(conn, |c| give_back.execute(c))?;
    held(rows, lease)
}

/// What stands in the metadata of an entry that failed: why, and at which attempt.
fn reason(error: &str, attempt: i32) -> Json {
    let kept: String = error
        .chars()
        .take(ERROR_LENGTH)
        // PostgreSQL cannot hold it.
        .map(|c| if c == '\0' { '\u{fffd}' } else { c })
        .collect();
    Json(serde_json::json!({ "error": kept, "attempt": attempt }))
}

/// The attempt that the metadata of an entry report on.
pub(crate) fn reported_attempt(metadata: &Json) -> Option<i64> {
    metadata.0.get("attempt")?.as_i64()
}

fn held(rows: usize, lease: Lease) -> Result<()> {
    match rows {
        1 => Ok(()),
        _ => Err(Error::LeaseLost { id: lease.id }),
    }
}
