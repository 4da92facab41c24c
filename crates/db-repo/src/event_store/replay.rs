//! The state of a game at any moment, from its events and from states that were kept.

use db_core::{Conn, statement, with_conn};
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::{Deserialize, Serialize};

use super::{EventStore, GameView, MOST};
use crate::{Error, Result, check};

/// Counts the forms in which states were kept: one of another form is passed over.
const FORM: i64 = 1;

statement! {
    /// The newest state of a game that was kept at or before a version.
    struct NewestSnapshot<'a> {
        game: &'a str as Text,
        version: i64 as BigInt,
    }
    returns (BigInt, JsonDoc);
    "SELECT version, state FROM game_snapshots WHERE game_id = " game " AND version <= " version
    " ORDER BY version DESC LIMIT 1"
}

statement! {
    /// Keeps a state, also instead of one that is there: it may be one that cannot be used.
    struct KeepSnapshot<'a> {
        game: &'a str as Text,
        version: i64 as BigInt,
        state: &'a Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    "INSERT INTO game_snapshots (game_id, version, state, created_at) VALUES (" game ", " version
    ", " state ", " at ") ON CONFLICT (game_id, version)
    DO UPDATE SET state = excluded.state, created_at = excluded.created_at"
}

statement! {
    /// The first event of a game after a moment.
    struct FirstAfter<'a> {
        game: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    returns BigInt;
    "SELECT version FROM game_events WHERE game_id = " game " AND created_at > " at
    " ORDER BY version LIMIT 1"
}

/// How far to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the newest event.
    Newest,
    /// To this version; one that is not there yet is the newest.
    Version(i64),
    /// To the last event before the first one that is later than this moment.
    Time(UtcTime),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    form: i64,
    view: GameView,
}

impl EventStore {
    /// A game as it was then; none if it had no event yet. It begins at the newest state that
    /// [`snapshot`](Self::snapshot) kept at or before the target. Give it one snapshot of the
    /// database: a read, or a write.
    ///
    /// # Errors
    /// `Invalid`, `BrokenHistory` for events that do not follow from each other, `Database`.
    pub fn replay(conn: &mut Conn<'_>, game: &str, until: Until) -> Result<Option<GameView>> {
        check::sought("game_id", game)?;
        let last = match until {
            Until::Newest => i64::MAX,
            Until::Version(version) => version,
            Until::Time(at) => {
                let first_after = FirstAfter { game, at };
                let version: Option<i64> =
                    with_conn!(conn, |c| first_after.get_result(c).optional())?;
                version.map_or(i64::MAX, |version| version - 1)
            }
        };
        let mut view = newest_snapshot(conn, game, last)?;
        loop {
            let next = view.as_ref().map_or(1, |view| view.version + 1);
            if next > last {
                return Ok(view);
            }
            let limit = MOST.min((last - next).saturating_add(1));
            let events = Self::read(conn, game, next, limit)?;
            let more = i64::try_from(events.len()) == Ok(MOST);
            for event in &events {
                view = Some(GameView::after(view, event)?);
            }
            if !more {
                return Ok(view);
            }
        }
    }

    /// Keeps the state of a game after its newest event, for later replays to begin at; the
    /// version. None of a game without events.
    ///
    /// # Errors
    /// `BrokenHistory`, `Invalid` for a state of more than 1 MiB, `Database`.
    pub fn snapshot(conn: &mut Conn<'_>, game: &str, now: UtcTime) -> Result<Option<i64>> {
        check::sought("game_id", game)?;
        let Some(view) = Self::replay(conn, game, Until::Newest)? else {
            return Ok(None);
        };
        let version = view.version;
        let broken = |why: serde_json::Error| Error::BrokenHistory {
            game: game.to_owned(),
            version,
            why: why.to_string(),
        };
        let state = Json(serde_json::to_value(Kept { form: FORM, view }).map_err(broken)?);
        check::json("state", &state.0)?;
        let keep = KeepSnapshot {
            game,
            version,
            state: &state,
            at: now,
        };
        with_conn!(conn, |c| keep.execute(c))?;
        Ok(Some(version))
    }
}

/// A state is only a shorter way: one that cannot be read, or is not of this game at its version, is
/// passed over.
fn newest_snapshot(conn: &mut Conn<'_>, game: &str, version: i64) -> Result<Option<GameView>> {
    let newest = NewestSnapshot { game, version };
    let kept: Option<(i64, Json)> = with_conn!(conn, |c| newest.get_result(c).optional())?;
    let Some((version, state)) = kept else {
        return Ok(None);
    };
    let view = match serde_json::from_value::<Kept>(state.0) {
        Ok(kept) if kept.form != FORM => return Ok(None),
        Ok(kept) => kept.view,
        Err(error) => {
            tracing::warn!(game, version, %error, "a kept state of the game cannot be read; replaying from its first event");
            return Ok(None);
        }
    };
    if view.version != version || view.game.id != game {
        tracing::warn!(
            game,
            version,
            "a kept state of the game is of another; replaying from its first event"
        );
        return Ok(None);
    }
    Ok(Some(view))
}
