//! Sessions, and what belongs to them.

mod events;
mod snapshots;

pub use events::EventRepository;
pub use snapshots::{SnapshotFilter, UsageSnapshotRepository};

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{NewSession, Session};
use db_schema::schema::sessions;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::page::Place;
use crate::refusal::{Parent, Row, refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "session";

statement! {
    struct Newest<'a> {
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, UtcTimestamp, Nullable<UtcTimestamp>, Nullable<JsonDoc>);
    "SELECT session_id, started_at, ended_at, metadata FROM sessions
    WHERE (started_at, session_id) < (" at ", " id ")
    ORDER BY started_at DESC, session_id DESC LIMIT " rows " + 0"
}

statement! {
    struct End<'a> {
        id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    returns (Text, UtcTimestamp, Nullable<UtcTimestamp>, Nullable<JsonDoc>);
    "UPDATE sessions SET ended_at = " at " WHERE session_id = " id " AND ended_at IS NULL
    AND started_at <= " at "
    RETURNING session_id, started_at, ended_at, metadata"
}

/// Sessions, of which usage is watched.
#[derive(Debug)]
pub struct SessionRepository;

impl SessionRepository {
    /// Starts a session.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `Database`.
    pub fn start(conn: &mut Conn<'_>, new: &NewSession) -> Result<Session> {
        check::key("session_id", &new.session_id)?;
        check::moment("started_at", new.started_at)?;
        if let Some(metadata) = &new.metadata {
            check::json("metadata", &metadata.0)?;
        }
        let taken = |constraint: &str| {
            (constraint == "pk_sessions").then(|| Error::already_exists(ENTITY, &new.session_id))
        };
        with_conn!(conn, |c| diesel::insert_into(sessions::table)
            .values(new)
            .returning(Session::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken, &[]))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `Invalid` for an end before the start or a key that cannot be, `NotFound`, `Ended`, `Database`.
    pub fn end(conn: &mut Conn<'_>, id: &str, now: UtcTime) -> Result<Session> {
        check::sought("session_id", id)?;
        let ended: Option<Session> =
            with_conn!(conn, |c| End { id, at: now }.get_result(c).optional())?;
        if let Some(ended) = ended {
            return Ok(ended);
        }
        let found = Self::get(conn, id)?;
        let started = found.ended_at.is_some() || found.started_at <= now;
        check::rule("ended_at", started, "must not be before the start")?;
        Err(Error::ended(ENTITY, id))
    }

    /// The session of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, id: &str) -> Result<Option<Session>> {
        check::sought("session_id", id)?;
        Ok(with_conn!(conn, |c| sessions::table
            .find(id)
            .select(Session::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The session of this key, which has to be there.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: &str) -> Result<Session> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// Sessions, latest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<Session>> {
        let page = &page.of("sessions")?;
        let rows = page.rows();
        let (at, id) = page.before_time()?;
        let found: Vec<Session> = with_conn!(conn, |c| page.load(Newest { at, id, rows }, c))?;
        Ok(Page::of(found, page, |last| {
            Place::at(last.started_at, &last.session_id)
        }))
    }

    /// Removes a session, its events and its snapshots.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, id: &str) -> Result<()> {
        check::sought("session_id", id)?;
        let rows = with_conn!(conn, |c| diesel::delete(sessions::table.find(id))
            .execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Whether there is a session of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn exists(conn: &mut Conn<'_>, id: &str) -> Result<bool> {
        check::sought("session_id", id)?;
        let query = diesel::dsl::select(diesel::dsl::exists(sessions::table.find(id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

/// The session that a row of a table refers to.
fn session<'a>(constraint: &'static str, id: &'a str) -> Parent<'a> {
    Parent {
        constraint,
        field: "session_id",
        row: Row::Session(id),
    }
}
