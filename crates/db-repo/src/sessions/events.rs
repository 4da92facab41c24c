//! What happened in sessions.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Event, NewEvent};
use db_schema::schema::events;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::session;
use crate::page::Place;
use crate::refusal::{each_once, refused};
use crate::{Page, PageRequest, Result, check};

/// Rows of one statement of [`EventRepository::record_many`]: far below SQLite's 32,766 parameters.
const BATCH: usize = 1_000;

const FOREIGN_KEY: &str = "fk_events_session_id";

/// Columns in the order of [`Event`].
type Row5 = (BigInt, Text, Text, JsonDoc, UtcTimestamp);

statement! {
    struct OfSession<'a> {
        session: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, session_id, event_type, payload, timestamp FROM events
    WHERE session_id = " session " AND (timestamp, id) > (" at ", " id ")
    ORDER BY timestamp, id LIMIT " rows " + 0"
}

statement! {
    struct OfType<'a> {
        event_type: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, session_id, event_type, payload, timestamp FROM events
    WHERE event_type = " event_type " AND (timestamp, id) < (" at ", " id ")
    ORDER BY timestamp DESC, id DESC LIMIT " rows " + 0"
}

/// Events of sessions: recorded, never changed.
#[derive(Debug)]
pub struct EventRepository;

impl EventRepository {
    /// Records an event.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent` for a session that is not there, `Database`.
    pub fn record(conn: &mut Conn<'_>, new: &NewEvent) -> Result<Event> {
        check_new(new)?;
        let parent = session(FOREIGN_KEY, &new.session_id);
        with_conn!(conn, |c| diesel::insert_into(events::table)
            .values(new)
            .returning(Event::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, |_| None, &[parent]))
    }

    /// Records events, all or none; how many.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent` for a session that is not there, `Database`.
    pub fn record_many(conn: &mut Conn<'_>, new: &[NewEvent]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            added += with_conn!(conn, |c| diesel::insert_into(events::table)
                .values(batch)
                .execute(c))
            .map_err(|error| {
                let parents = batch
                    .iter()
                    .map(|new| session(FOREIGN_KEY, &new.session_id));
                refused(conn, error, |_| None, &each_once(parents))
            })?;
        }
        Ok(added)
    }

    /// Events of a session, oldest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_session(
        conn: &mut Conn<'_>,
        session: &str,
        page: &PageRequest,
    ) -> Result<Page<Event>> {
        check::sought("session_id", session)?;
        let page = &page.of("session_events.of_session")?;
        let rows = page.rows();
        let (at, id) = page.after_time_id(UtcTime::FIRST)?;
        let list = OfSession {
            session,
            at,
            id,
            rows,
        };
        let found = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Events of one type, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_type(
        conn: &mut Conn<'_>,
        event_type: &str,
        page: &PageRequest,
    ) -> Result<Page<Event>> {
        check::sought("event_type", event_type)?;
        let page = &page.of("session_events.by_type")?;
        let rows = page.rows();
        let (at, id) = page.before_time_id()?;
        let list = OfType {
            event_type,
            at,
            id,
            rows,
        };
        let found = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, place))
    }
}

fn place(last: &Event) -> Place {
    Place::at(last.timestamp, last.id)
}

fn check_new(new: &NewEvent) -> Result<()> {
    check::key("session_id", &new.session_id)?;
    check::word("event_type", &new.event_type)?;
    check::moment("timestamp", new.timestamp)?;
    check::json("payload", &new.payload.0)
}
