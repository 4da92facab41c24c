//! The statements of the outbox.

use db_core::statement;
use db_schema::rows::OutboxType;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

type Columns = (
    BigInt,
    Nullable<Text>,
    Text,
    Text,
    JsonDoc,
    Integer,
    Nullable<UtcTimestamp>,
    UtcTimestamp,
    UtcTimestamp,
    Nullable<JsonDoc>,
);

statement! {
    /// Adds one that is due at once.
    pub(super) struct Enqueue<'a> {
        user_id: Option<&'a str> as Nullable<Text>,
        outbox_type: OutboxType as Text,
        payload: &'a Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    returns BigInt;
    "INSERT INTO outbox (user_id, outbox_type, payload, next_retry_at, created_at, updated_at)
    VALUES (" user_id ", " outbox_type ", " payload ", " at ", " at ", " at ") RETURNING id"
}

statement! {
    /// The first page of the dead.
    pub(super) struct DeadNewest {
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, outbox_type, status, payload, attempts, next_retry_at, created_at,
    updated_at, metadata FROM outbox WHERE status = 'dead'
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// A page of the dead, after this one.
    pub(super) struct DeadBefore {
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, outbox_type, status, payload, attempts, next_retry_at, created_at,
    updated_at, metadata FROM outbox WHERE status = 'dead' AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// The oldest of each kind that is not delivered; each is the first in an index.
    pub(super) struct OldestWaiting {}
    returns (Nullable<UtcTimestamp>, Nullable<UtcTimestamp>, Nullable<UtcTimestamp>);
    "SELECT (SELECT min(created_at) FROM outbox WHERE status = 'pending'),
    (SELECT min(created_at) FROM outbox WHERE status = 'processing'),
    (SELECT min(created_at) FROM outbox WHERE status = 'failed')"
}

statement! {
    /// Those of these users, or of nobody, that were enqueued after an entry, as delivered. The bounds
    /// are keys of users in the order of bytes, which both engines compare them in; what is of nobody
    /// is known by its moment, which is in the past of whoever else writes.
    pub(super) struct DeliverOfSeed<'e> {
        after: i64 as BigInt,
        from: &'e str as Text,
        to: &'e str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE outbox SET status = 'delivered', next_retry_at = NULL, updated_at = " now ",
    metadata = '{\"delivered_by\": \"seed\"}'
    WHERE id > " after " AND status = 'pending'
    AND (user_id >= " from " AND user_id < " to " OR user_id IS NULL AND created_at <= " now ")"
}
