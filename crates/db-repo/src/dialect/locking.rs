//! Rows that an operation holds until it ends: PostgreSQL is asked to, SQLite has one writer.
//!
//! `FOR KEY SHARE` is what foreign keys take. It may return a row as it was before an update that
//! runs or has just ended, unless that update counts as one of the key. So whoever changes the state
//! of a game takes it `FOR UPDATE` first, in the same transaction and under the same savepoint: then
//! its update counts as one, and a bet waits for it and sees the new state.

use db_core::statement;
use db_schema::rows::GameState;
use diesel::sql_types::{Array, BigInt, Text};
use diesel::{
    OptionalExtension as _, PgConnection, QueryResult, RunQueryDsl as _, SqliteConnection,
};

/// State and pot of a game.
pub(crate) type HeldGame = (GameState, i64);

/// What the holder of a game means to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Keep it from ending. Any number may at a time.
    Open,
    /// Change its pot. One at a time, beside those that keep it open.
    Pot,
    /// Change its state. Alone.
    State,
}

statement! {
    struct FindGame<'a> {
        id: &'a str as Text,
    }
    returns (Text, BigInt);
    "SELECT state, pot_size FROM games WHERE id = " id
}

statement! {
    struct KeepGameOpen<'a> {
        id: &'a str as Text,
    }
    returns (Text, BigInt);
    "SELECT state, pot_size FROM games WHERE id = " id " FOR KEY SHARE"
}

statement! {
    struct HoldPot<'a> {
        id: &'a str as Text,
    }
    returns (Text, BigInt);
    "SELECT state, pot_size FROM games WHERE id = " id " FOR NO KEY UPDATE"
}

statement! {
    struct HoldGame<'a> {
        id: &'a str as Text,
    }
    returns (Text, BigInt);
    "SELECT state, pot_size FROM games WHERE id = " id " FOR UPDATE"
}

statement! {
    /// In the order of their keys, as every operation takes them.
    struct HoldBalances<'a> {
        users: &'a [&'a str] as Array<Text>,
    }
    "SELECT user_id FROM token_balances WHERE user_id = ANY (" users ")
    ORDER BY user_id FOR NO KEY UPDATE"
}

statement! {
    /// In the order of their keys. A player is there before the row of balances is.
    struct HoldPlayers<'a> {
        users: &'a [&'a str] as Array<Text>,
    }
    "SELECT id FROM users WHERE id = ANY (" users ") ORDER BY id FOR NO KEY UPDATE"
}

statement! {
    struct HoldAccount<'a> {
        id: &'a str as Text,
    }
    "SELECT id FROM accounts WHERE id = " id " FOR NO KEY UPDATE"
}

statement! {
    struct HoldStatistics<'a> {
        players: &'a [&'a str] as Array<Text>,
    }
    "SELECT player_id FROM player_statistics WHERE player_id = ANY (" players ")
    ORDER BY player_id FOR NO KEY UPDATE"
}

statement! {
    struct HoldPosition<'a> {
        id: &'a str as Text,
    }
    "SELECT id FROM staking_positions WHERE id = " id " FOR NO KEY UPDATE"
}

pub(crate) fn game_sqlite(
    c: &mut SqliteConnection,
    id: &str,
    _hold: Hold,
) -> QueryResult<Option<HeldGame>> {
    FindGame { id }.get_result(c).optional()
}

pub(crate) fn game_postgres(
    c: &mut PgConnection,
    id: &str,
    hold: Hold,
) -> QueryResult<Option<HeldGame>> {
    match hold {
        Hold::Open => KeepGameOpen { id }.get_result(c),
        Hold::Pot => HoldPot { id }.get_result(c),
        Hold::State => HoldGame { id }.get_result(c),
    }
    .optional()
}

/// The balances of all of these players, whatever their order.
pub(crate) fn balances_postgres(c: &mut PgConnection, users: &[&str]) -> QueryResult<()> {
    HoldBalances { users }.execute(c).map(drop)
}

/// These players, against whoever holds players too, and then their balances, against operations.
pub(crate) fn players_postgres(c: &mut PgConnection, users: &[&str]) -> QueryResult<()> {
    HoldPlayers { users }.execute(c)?;
    balances_postgres(c, users)
}

pub(crate) fn account_postgres(c: &mut PgConnection, id: &str) -> QueryResult<()> {
    HoldAccount { id }.execute(c).map(drop)
}

/// The totals of all of these players, whatever their order.
pub(crate) fn statistics_postgres(c: &mut PgConnection, players: &[&str]) -> QueryResult<()> {
    HoldStatistics { players }.execute(c).map(drop)
}

pub(crate) fn position_postgres(c: &mut PgConnection, id: &str) -> QueryResult<()> {
    HoldPosition { id }.execute(c).map(drop)
}
