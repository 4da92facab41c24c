//! The outbox: events written in the transaction that caused them, and delivered afterwards at
//! least once (<https://microservices.io/patterns/data/transactional-outbox.html>).
//!
//! A relay claims entries for the time of a lease. What it delivers it reports with that lease; a
//! relay that died reports nothing, and its entries are due again when the lease ends. So an entry
//! may be delivered twice: its receiver tells by a key in the payload.

mod lease;
mod relay;
mod run;
mod schedule;
mod statements;

use std::time::Duration;

use chrono::TimeDelta;
use db_core::{Conn, with_conn};
use db_schema::rows::{NewOutboxEntry, OutboxEntry, OutboxStatus};
use db_schema::schema::outbox;
use db_schema::types::{Json, UtcTime};
use diesel::prelude::*;

pub(crate) use lease::reported_attempt;
pub use lease::{FailedDelivery, Lease};
pub use relay::{OutboxRelay, RelayReport};
pub use schedule::RetrySchedule;
use statements::{DeadBefore, DeadNewest, DeliverOfSeed, Enqueue, OldestWaiting};

use crate::dialect::claim;
use crate::dialect::old::old_delivered;
use crate::page::Place;
use crate::refusal::{Parent, Row, each_once, refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

/// Rows of one statement that writes many.
const BATCH: usize = 1_000;

/// Most entries of one claim.
const MOST_CLAIMED: i64 = 1_000;

/// The foreign key.
const USER: &str = "fk_outbox_user_id";

/// An entry to deliver now.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedEntry {
    /// The right to do so.
    pub lease: Lease,
    /// Whom it is about, if anybody.
    pub user_id: Option<String>,
    /// What happened: the word of an [`OutboxType`](db_schema::rows::OutboxType), or one of another version of the program.
    pub outbox_type: String,
    /// What is to be delivered.
    pub payload: Json,
    /// When it happened.
    pub created_at: UtcTime,
    /// Whether the attempt before this one ended without a report, perhaps because the entry brings
    /// down who hands it over.
    pub unreported: bool,
}

/// How many entries there are of each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// Never tried.
    pub pending: i64,
    /// With a relay.
    pub processing: i64,
    /// Waiting for another attempt.
    pub failed: i64,
    /// Delivered, and not yet deleted.
    pub delivered: i64,
    /// Given up.
    pub dead: i64,
}

/// Events on their way to the outside.
#[derive(Debug)]
pub struct OutboxRepository;

impl OutboxRepository {
    /// Adds an entry that is due at once, when the caller's transaction is committed; its key.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent`, `Database`.
    pub fn enqueue(conn: &mut Conn<'_>, new: &NewOutboxEntry) -> Result<i64> {
        check_new(new)?;
        let entry = Enqueue {
            user_id: new.user_id.as_deref(),
            outbox_type: new.outbox_type,
            payload: &new.payload,
            at: new.created_at,
        };
        with_conn!(conn, |c| entry.get_result(c))
            .map_err(|error| refused(conn, error, |_| None, parent(new).as_slice()))
    }

    /// Adds entries, all or none; how many.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_many(conn: &mut Conn<'_>, new: &[NewOutboxEntry]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            let values: Vec<_> = batch
                .iter()
                .map(|new| {
                    (
                        outbox::user_id.eq(new.user_id.as_deref()),
                        outbox::outbox_type.eq(new.outbox_type),
                        outbox::payload.eq(&new.payload),
                        outbox::next_retry_at.eq(new.created_at),
                        outbox::created_at.eq(new.created_at),
                        outbox::updated_at.eq(new.created_at),
                    )
                })
                .collect();
            added += with_conn!(conn, |c| diesel::insert_into(outbox::table)
                .values(values)
                .execute(c))
            .map_err(|error| {
                refused(
                    conn,
                    error,
                    |_| None,
                    &each_once(batch.iter().filter_map(parent)),
                )
            })?;
        }
        Ok(added)
    }

    /// Takes entries that are due, those first that have waited longest, for so long: what was never
    /// tried, what failed and has paused, and what a relay did not report on in time. They come in
    /// the order of their keys. Two that claim at once never get the same.
    ///
    /// # Errors
    /// `Invalid` for more than 1,000 or a lease of no time; `Database`.
    pub fn claim(
        conn: &mut Conn<'_>,
        now: UtcTime,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<ClaimedEntry>> {
        check::within("limit", limit, 1..=MOST_CLAIMED)?;
        check::rule("lease", !lease.is_zero(), "must be some time")?;
        let ends_at = later(now, lease)?;
        let mut claimed = match conn {
            Conn::Sqlite(c) => claim::claim_sqlite(c, now, ends_at, limit),
            Conn::Postgres(c) => claim::claim_postgres(c, now, ends_at, limit),
        }?;
        claimed.sort_by_key(|entry| entry.lease.id);
        Ok(claimed)
    }

    /// The highest key there is, or 0.
    pub(crate) fn newest(conn: &mut Conn<'_>) -> Result<i64> {
        let newest = outbox::table.select(diesel::dsl::max(outbox::id));
        let found: Option<i64> = with_conn!(conn, |c| newest.first(c))?;
        Ok(found.unwrap_or_default())
    }

    /// Marks as delivered what was enqueued after an entry for users whose keys begin with `prefix`
    /// and a hyphen: those of a demonstration, which nobody outside waits for.
    pub(crate) fn deliver_of_seed(
        conn: &mut Conn<'_>,
        after: i64,
        prefix: &str,
        now: UtcTime,
    ) -> Result<usize> {
        // The byte after a hyphen is a full stop.
        let (from, to) = (format!("{prefix}-"), format!("{prefix}."));
        let deliver = DeliverOfSeed {
            after,
            from: &from,
            to: &to,
            now,
        };
        Ok(with_conn!(conn, |c| deliver.execute(c))?)
    }

    /// The entry of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<OutboxEntry>> {
        Ok(with_conn!(conn, |c| outbox::table.find(id).get_result(c)).optional()?)
    }

    /// Entries that were given up, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_dead(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<OutboxEntry>> {
        let page = &page.of("outbox.dead")?;
        let rows = page.rows();
        let found: Vec<OutboxEntry> = match page.time_id()? {
            None => with_conn!(conn, |c| page.load(DeadNewest { rows }, c))?,
            Some((at, id)) => with_conn!(conn, |c| page.load(DeadBefore { at, id, rows }, c))?,
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.created_at, last.id)
        }))
    }

    /// Gives an entry that was given up all its attempts again, due at once.
    ///
    /// # Errors
    /// `NotFound` if no such entry is dead, `Database`.
    pub fn requeue(conn: &mut Conn<'_>, id: i64, now: UtcTime) -> Result<()> {
        let dead = outbox::table
            .find(id)
            .filter(outbox::status.eq(OutboxStatus::Dead));
        let set = (
            outbox::status.eq(OutboxStatus::Pending),
            outbox::attempts.eq(0),
            outbox::next_retry_at.eq(now),
            outbox::updated_at.eq(now),
        );
        let rows = with_conn!(conn, |c| diesel::update(dead).set(set).execute(c))?;
        touched_one(rows, "dead outbox entry", id)
    }

    /// Removes at most so many delivered entries that were added before this moment, the oldest first; how
    /// many. Those that wait, and those that were given up, stay. Fewer than asked for were the last: see
    /// [`RetentionTask`](crate::RetentionTask).
    ///
    /// # Errors
    /// `Invalid` for a limit below 1, `Database`.
    pub fn delete_older_than(conn: &mut Conn<'_>, before: UtcTime, limit: i64) -> Result<usize> {
        check::within("limit", limit, 1..=i64::MAX)?;
        Ok(old_delivered(conn, before, limit)?)
    }

    /// How many there are of each status. Reads an index over all of them.
    ///
    /// # Errors
    /// `Database`.
    pub fn counts(conn: &mut Conn<'_>) -> Result<OutboxCounts> {
        let query = outbox::table
            .group_by(outbox::status)
            .select((outbox::status, diesel::dsl::count_star()));
        let rows: Vec<(OutboxStatus, i64)> = with_conn!(conn, |c| query.load(c))?;
        let mut counts = OutboxCounts::default();
        for (status, count) in rows {
            match status {
                OutboxStatus::Pending => counts.pending = count,
                OutboxStatus::Processing => counts.processing = count,
                OutboxStatus::Failed => counts.failed = count,
                OutboxStatus::Delivered => counts.delivered = count,
                OutboxStatus::Dead => counts.dead = count,
            }
        }
        Ok(counts)
    }

    /// When the oldest entry that is neither delivered nor given up was added.
    ///
    /// # Errors
    /// `Database`.
    pub fn oldest_waiting(conn: &mut Conn<'_>) -> Result<Option<UtcTime>> {
        type Oldest = (Option<UtcTime>, Option<UtcTime>, Option<UtcTime>);
        let (pending, processing, failed): Oldest =
            with_conn!(conn, |c| OldestWaiting {}.get_result(c))?;
        Ok([pending, processing, failed].into_iter().flatten().min())
    }
}

/// A moment so much later.
pub(crate) fn later(now: UtcTime, time: Duration) -> Result<UtcTime> {
    let moment = TimeDelta::from_std(time)
        .ok()
        .and_then(|time| now.checked_add_signed(time));
    moment.map(UtcTime::from).ok_or_else(|| Error::Invalid {
        field: "lease",
        rule: "must end in this era".to_owned(),
    })
}

fn parent(new: &NewOutboxEntry) -> Option<Parent<'_>> {
    new.user_id.as_deref().map(|id| Parent {
        constraint: USER,
        field: "user_id",
        row: Row::User(id),
    })
}

fn check_new(new: &NewOutboxEntry) -> Result<()> {
    if let Some(user) = &new.user_id {
        check::key("user_id", user)?;
    }
    check::moment("created_at", new.created_at)?;
    check::json("payload", &new.payload.0)
}
