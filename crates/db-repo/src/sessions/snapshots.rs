//! Usage at moments of sessions.

use std::time::Duration;

use chrono::TimeDelta;
use db_core::{Conn, statement, with_conn};
use db_schema::rows::{NewUsageSnapshot, UsageSnapshot};
use db_schema::schema::usage_snapshots;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::session;
use crate::dialect::old::old_snapshots;
use crate::page::Place;
use crate::refusal::refused;
use crate::{Page, PageRequest, Result, check};

/// How far back a list looks by default.
const RECENT: TimeDelta = TimeDelta::hours(24);

/// Columns in the order of [`UsageSnapshot`].
type Row5 = (BigInt, Text, JsonDoc, Text, UtcTimestamp);

statement! {
    struct Since {
        since: UtcTime as UtcTimestamp,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, session_id, snapshot_data, snapshot_type, timestamp FROM usage_snapshots
    WHERE timestamp >= " since " AND (timestamp, id) < (" at ", " id ")
    ORDER BY timestamp DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfSessionSince<'a> {
        session: &'a str as Text,
        since: UtcTime as UtcTimestamp,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, session_id, snapshot_data, snapshot_type, timestamp FROM usage_snapshots
    WHERE session_id = " session " AND timestamp >= " since "
    AND (timestamp, id) < (" at ", " id ")
    ORDER BY timestamp DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfSession<'a> {
        session: &'a str as Text,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, session_id, snapshot_data, snapshot_type, timestamp FROM usage_snapshots
    WHERE session_id = " session " AND id > " after " ORDER BY id LIMIT " rows " + 0"
}

/// Which snapshots to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Of this session; of all for `None`.
    pub session: Option<String>,
    /// Not older than this.
    pub since: UtcTime,
}

impl SnapshotFilter {
    /// All of the last 24 hours.
    #[must_use]
    pub fn recent(now: UtcTime) -> Self {
        let since = now
            .checked_sub_signed(RECENT)
            .map_or(UtcTime::FIRST, UtcTime::from);
        Self {
            session: None,
            since: since.max(UtcTime::FIRST),
        }
    }

    /// Only of this session.
    #[must_use]
    pub fn session(mut self, id: &str) -> Self {
        self.session = Some(id.to_owned());
        self
    }
}

/// Snapshots of usage: written, never changed, let go after a while.
#[derive(Debug)]
pub struct UsageSnapshotRepository;

impl UsageSnapshotRepository {
    /// How long a snapshot is kept by default: 30 days.
    pub const KEEP: Duration = Duration::from_hours(30 * 24);

    /// Writes a snapshot.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent` for a session that is not there, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewUsageSnapshot) -> Result<UsageSnapshot> {
        check::key("session_id", &new.session_id)?;
        check::moment("timestamp", new.timestamp)?;
        check::json("snapshot_data", &new.snapshot_data.0)?;
        let parent = session("fk_usage_snapshots_session_id", &new.session_id);
        with_conn!(conn, |c| diesel::insert_into(usage_snapshots::table)
            .values(new)
            .returning(UsageSnapshot::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, |_| None, &[parent]))
    }

    /// The snapshot of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<UsageSnapshot>> {
        Ok(with_conn!(conn, |c| usage_snapshots::table
            .find(id)
            .select(UsageSnapshot::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Snapshots, newest first, as [`SnapshotFilter::recent`] and a page of 100 by default.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(
        conn: &mut Conn<'_>,
        filter: &SnapshotFilter,
        page: &PageRequest,
    ) -> Result<Page<UsageSnapshot>> {
        if let Some(session) = &filter.session {
            check::sought("session_id", session)?;
        }
        let page = &page.of("snapshots")?;
        let rows = page.rows();
        let (at, id) = page.before_time_id()?;
        let since = filter.since;
        let found = if let Some(session) = &filter.session {
            let list = OfSessionSince {
                session,
                since,
                at,
                id,
                rows,
            };
            with_conn!(conn, |c| page.load(list, c))?
        } else {
            let list = Since {
                since,
                at,
                id,
                rows,
            };
            with_conn!(conn, |c| page.load(list, c))?
        };
        Ok(Page::of(found, page, place))
    }

    /// All snapshots of a session, in the order in which they were written.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_session(
        conn: &mut Conn<'_>,
        session: &str,
        page: &PageRequest,
    ) -> Result<Page<UsageSnapshot>> {
        check::sought("session_id", session)?;
        let page = &page.of("snapshots.of_session")?;
        let rows = page.rows();
        let list = OfSession {
            session,
            after: page.after_id(),
            rows,
        };
        let found: Vec<UsageSnapshot> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| Place::of_id(last.id)))
    }

    /// Removes at most so many snapshots from before this moment, the oldest first; how many. Fewer
    /// than asked for were the last: see [`RetentionTask`](crate::RetentionTask).
    ///
    /// # Errors
    /// `Invalid` for a limit below 1, `Database`.
    pub fn delete_older_than(conn: &mut Conn<'_>, before: UtcTime, limit: i64) -> Result<usize> {
        check::within("limit", limit, 1..=i64::MAX)?;
        Ok(old_snapshots(conn, before, limit)?)
    }
}

fn place(last: &UsageSnapshot) -> Place {
    Place::at(last.timestamp, last.id)
}
