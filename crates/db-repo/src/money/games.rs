//! The game that money moves in: its row, held, and its pot.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{GameEvent, GameState, NewGameEvent};
use db_schema::types::UtcTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::dialect::locking::{self, Hold};
use crate::refusal::touched_one;
use crate::{Error, EventStore, Result};

statement! {
    struct MirrorPot<'a> {
        game: &'a str as Text,
        pot: i64 as BigInt,
    }
    "UPDATE games SET pot_size = " pot " WHERE id = " game
}

/// Holds a game that has not ended; what is in its pot.
pub(crate) fn hold_open(conn: &mut Conn<'_>, game: &str, hold: Hold) -> Result<i64> {
    let (state, pot) = held(conn, game, hold)?;
    open(game, state)?;
    Ok(pot)
}

/// Holds a game; its state and what is in its pot.
pub(crate) fn held(conn: &mut Conn<'_>, game: &str, hold: Hold) -> Result<(GameState, i64)> {
    let found = match conn {
        Conn::Sqlite(c) => locking::game_sqlite(c, game, hold),
        Conn::Postgres(c) => locking::game_postgres(c, game, hold),
    };
    found?.ok_or_else(|| Error::not_found("game", game))
}

/// A game that takes bets and settles them.
pub(crate) fn open(game: &str, state: GameState) -> Result<()> {
    match state {
        GameState::Open | GameState::Active => Ok(()),
        GameState::Completed | GameState::Cancelled => Err(Error::GameClosed {
            game: game.to_owned(),
            state,
        }),
    }
}

/// `games.pot_size` shows what the account of the pot has.
pub(super) fn mirror_pot(conn: &mut Conn<'_>, game: &str, pot: i64) -> Result<()> {
    let rows = with_conn!(conn, |c| MirrorPot { game, pot }.execute(c))?;
    touched_one(rows, "game", game)
}

/// Appends to the game's events. The caller holds the game, or the row of its statistics.
pub(crate) fn record(
    conn: &mut Conn<'_>,
    game: &str,
    events: &[GameEvent],
    now: UtcTime,
) -> Result<()> {
    let events: Vec<_> = events.iter().map(NewGameEvent::from).collect();
    EventStore::record(conn, game, &events, now)
}
