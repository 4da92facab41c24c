//! What happened in each game, event by event, and what that makes of it.

mod replay;
mod view;

use db_core::{Conn, ErrorKind, statement, with_conn};
use db_schema::rows::{NewGameEvent, StoredGameEvent};
use db_schema::schema::game_events;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::refusal::{Parent, Row, refused};
use crate::{Error, Result, check};

pub use replay::Until;
pub use view::{BetView, GameView};

/// Characters of the kind of an event.
const EVENT_TYPE: std::ops::RangeInclusive<usize> = 1..=64;

/// Most events of one call of [`EventStore::read`].
const MOST: i64 = 1_000;

/// Events of one statement.
const BATCH: usize = 1_000;

statement! {
    /// Appends an event if the game is at the expected version; a negative one is any.
    struct AppendEvent<'a> {
        game: &'a str as Text,
        expected: i64 as BigInt,
        event_type: &'a str as Text,
        payload: &'a Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    returns BigInt;
    "INSERT INTO game_events (game_id, version, event_type, payload, created_at)
    SELECT " game ", (SELECT coalesce(max(version), 0) FROM game_events WHERE game_id = " game
    ") + 1, " event_type ", " payload ", " at " WHERE " expected " < 0 OR " expected
    " = (SELECT coalesce(max(version), 0) FROM game_events WHERE game_id = " game
    ") RETURNING version"
}

statement! {
    /// The version that a game is at.
    struct Version<'a> {
        game: &'a str as Text,
    }
    returns BigInt;
    "SELECT coalesce(max(version), 0) FROM game_events WHERE game_id = " game
}

statement! {
    /// Events of a game from a version on. The plus keeps SQLite from planning anew for each limit.
    struct EventsFrom<'a> {
        game: &'a str as Text,
        from: i64 as BigInt,
        limit: i64 as BigInt,
    }
    returns (Text, BigInt, Text, JsonDoc, UtcTimestamp);
    "SELECT game_id, version, event_type, payload, created_at FROM game_events
    WHERE game_id = " game " AND version >= " from " ORDER BY version LIMIT " limit " + 0"
}

/// The version that a game has to be at for an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is at.
    Any,
    /// This one: the number of its events, 0 before the first.
    Version(i64),
}

/// What happened in each game, and what that makes of it.
#[derive(Debug)]
pub struct EventStore;

impl EventStore {
    /// Appends events to a game's, in order, all or none; the version that it is at afterwards.
    ///
    /// The operations write the events of what they do themselves: `GameCreated`, `PhaseChanged` and
    /// the rest come with [`GameRepository`](crate::GameRepository) and [`money`](crate::money), and no
    /// event here changes a row of another table. So this is for whoever brings games in from
    /// elsewhere, along with their rows: an event of a bet that no table knows makes a replay that
    /// differs from the tables, and [`Reconciliation`](crate::Reconciliation) finds it.
    ///
    /// Each has to be a [`GameEvent`](db_schema::rows::GameEvent), with all that it holds and nothing
    /// else, and to follow from those before: the game is replayed, from the state kept last
    /// ([`snapshot`](Self::snapshot)), so that no replay finds a broken history afterwards.
    ///
    /// Let the caller hold the row of the game or of its statistics: on PostgreSQL, two who append
    /// to one game at a time meet at the key, and the later one is refused with an error of the
    /// kind `Serialization`, which [`write_with_retry`](db_core::Database::write_with_retry) runs
    /// again.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent`, `WrongVersion`, `BrokenHistory` for an event that cannot follow,
    /// `Database`.
    pub fn append(
        conn: &mut Conn<'_>,
        game: &str,
        expected: Expected,
        events: &[NewGameEvent],
        now: UtcTime,
    ) -> Result<i64> {
        check::sought("game_id", game)?;
        events.iter().try_for_each(check_new)?;
        let wanted = match expected {
            Expected::Any => None,
            Expected::Version(version) => {
                check::within("version", version, 0..=i64::MAX)?;
                Some(version)
            }
        };
        let found = Self::version(conn, game)?;
        if let Some(version) = wanted.filter(|version| *version != found) {
            return Err(wrong(game, version, found));
        }
        if events.is_empty() {
            return Ok(found);
        }
        check_follow(conn, game, found, events, now)?;
        match write(conn, game, Some(found), events, now) {
            // Of no version that the caller knows: somebody else was faster after the look.
            Err(Error::WrongVersion { .. }) if wanted.is_none() => Err(raced(game)),
            done => done,
        }
    }

    /// Appends what an operation has done: its events follow from the rows that it holds.
    pub(crate) fn record(
        conn: &mut Conn<'_>,
        game: &str,
        events: &[NewGameEvent],
        now: UtcTime,
    ) -> Result<()> {
        events.iter().try_for_each(check_new)?;
        if events.is_empty() {
            return Ok(());
        }
        write(conn, game, None, events, now).map(drop)
    }

    /// Events of a game from this version on, in order: at most `limit`, and at most a thousand.
    ///
    /// # Errors
    /// `Invalid` for a limit that cannot be, `Database`.
    pub fn read(
        conn: &mut Conn<'_>,
        game: &str,
        from: i64,
        limit: i64,
    ) -> Result<Vec<StoredGameEvent>> {
        check::sought("game_id", game)?;
        check::within("limit", limit, 1..=MOST)?;
        let events = EventsFrom { game, from, limit };
        Ok(with_conn!(conn, |c| events.load(c))?)
    }

    /// The version that a game is at: the number of its events.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn version(conn: &mut Conn<'_>, game: &str) -> Result<i64> {
        check::sought("game_id", game)?;
        Ok(with_conn!(conn, |c| Version { game }.get_result(c))?)
    }
}

/// What no replay could read would end the game's history.
fn check_new(event: &NewGameEvent) -> Result<()> {
    check::text("event_type", &event.event_type, EVENT_TYPE)?;
    check::json("payload", &event.payload.0)?;
    let read = event.event().map_err(|error| Error::Invalid {
        field: "event",
        rule: error.to_string(),
    })?;
    check::rule(
        "payload",
        NewGameEvent::from(&read) == *event,
        "must hold what the event has, and nothing else",
    )
}

/// What no replay could take in would end the game's history as well.
fn check_follow(
    conn: &mut Conn<'_>,
    game: &str,
    found: i64,
    events: &[NewGameEvent],
    now: UtcTime,
) -> Result<()> {
    let mut view = EventStore::replay(conn, game, Until::Version(found))?;
    if view.is_none() {
        let parent = parent(game);
        if !parent.is_there(conn)? {
            return Err(parent.missing());
        }
    }
    for (event, version) in events.iter().zip(found + 1..) {
        let stored = StoredGameEvent {
            game_id: game.to_owned(),
            version,
            event_type: event.event_type.clone(),
            payload: event.payload.clone(),
            created_at: now,
        };
        view = Some(GameView::after(view, &stored)?);
    }
    Ok(())
}

fn write(
    conn: &mut Conn<'_>,
    game: &str,
    wanted: Option<i64>,
    events: &[NewGameEvent],
    now: UtcTime,
) -> Result<i64> {
    match events {
        [event] => append_one(conn, game, wanted, event, now),
        events => append_many(conn, game, wanted, events, now),
    }
}

fn append_one(
    conn: &mut Conn<'_>,
    game: &str,
    wanted: Option<i64>,
    event: &NewGameEvent,
    now: UtcTime,
) -> Result<i64> {
    let append = AppendEvent {
        game,
        expected: wanted.unwrap_or(-1),
        event_type: &event.event_type,
        payload: &event.payload,
        at: now,
    };
    let appended: Option<i64> = with_conn!(conn, |c| append.get_result(c).optional())
        .map_err(|error| not_appended(conn, game, error))?;
    match (appended, wanted) {
        (Some(version), _) => Ok(version),
        (None, Some(version)) => Err(wrong(game, version, EventStore::version(conn, game)?)),
        (None, None) => Err(diesel::result::Error::NotFound.into()),
    }
}

/// A look at the version, and a statement for a thousand events.
fn append_many(
    conn: &mut Conn<'_>,
    game: &str,
    wanted: Option<i64>,
    events: &[NewGameEvent],
    now: UtcTime,
) -> Result<i64> {
    let mut version = EventStore::version(conn, game)?;
    if let Some(expected) = wanted.filter(|expected| *expected != version) {
        return Err(wrong(game, expected, version));
    }
    for batch in events.chunks(BATCH) {
        let values: Vec<_> = batch
            .iter()
            .map(|event| {
                version += 1;
                (
                    game_events::game_id.eq(game),
                    game_events::version.eq(version),
                    game_events::event_type.eq(&event.event_type),
                    game_events::payload.eq(&event.payload),
                    game_events::created_at.eq(now),
                )
            })
            .collect();
        with_conn!(conn, |c| diesel::insert_into(game_events::table)
            .values(values)
            .execute(c))
        .map_err(|error| not_appended(conn, game, error))?;
    }
    Ok(version)
}

/// There is no such game, or another transaction was faster.
fn not_appended(conn: &mut Conn<'_>, game: &str, error: diesel::result::Error) -> Error {
    refused(conn, error, |name| overtaken(name, game), &[parent(game)])
}

const fn parent(game: &str) -> Parent<'_> {
    Parent {
        constraint: "fk_game_events_game_id",
        field: "game_id",
        row: Row::Game(game),
    }
}

fn wrong(game: &str, expected: i64, found: i64) -> Error {
    Error::WrongVersion {
        game: game.to_owned(),
        expected,
        found,
    }
}

/// Another transaction has taken the version in the meantime.
fn overtaken(constraint: &str, game: &str) -> Option<Error> {
    (constraint == "pk_game_events").then(|| raced(game))
}

/// Again from the beginning it may go well.
fn raced(game: &str) -> Error {
    Error::Database(db_core::Error::new(
        ErrorKind::Serialization,
        format!("another transaction has appended to the events of game {game}"),
    ))
}
