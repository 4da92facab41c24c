//! Rows that a write of several operations holds before the first of them: PostgreSQL is asked to, SQLite
//! has one writer. Each statement holds its rows in the order of their keys.

use db_core::statement;
use db_schema::types::BetId;
use diesel::sql_types::{Array, Binary, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _};

statement! {
    /// Game and player of a bet never change.
    struct PlacesOfBets<'a> {
        bets: &'a [BetId] as Array<Binary>,
    }
    returns (Text, Text);
    "SELECT game_id, player_id FROM bets WHERE id = ANY (" bets ")"
}

statement! {
    /// Alone: a weaker hold, under which others still place bets, could not become this one for the
    /// end of a game without waiting for them, and they would wait for players that are held.
    struct HoldGames<'a> {
        games: &'a [&'a str] as Array<Text>,
    }
    "SELECT id FROM games WHERE id = ANY (" games ") ORDER BY id FOR UPDATE"
}

statement! {
    /// Of games that are held.
    struct PlayersOfOpenBets<'a> {
        games: &'a [&'a str] as Array<Text>,
    }
    returns Text;
    "SELECT DISTINCT player_id FROM bets WHERE game_id = ANY (" games ") AND outcome IS NULL"
}

statement! {
    /// And whose they are.
    struct HoldPositions<'a> {
        positions: &'a [&'a str] as Array<Text>,
    }
    returns Text;
    "SELECT user_id FROM staking_positions WHERE id = ANY (" positions ")
    ORDER BY id FOR NO KEY UPDATE"
}

/// Games and players of bets.
pub(crate) fn places_of(
    c: &mut PgConnection,
    bets: &[BetId],
) -> QueryResult<Vec<(String, String)>> {
    if bets.is_empty() {
        return Ok(Vec::new());
    }
    PlacesOfBets { bets }.load(c)
}

pub(crate) fn hold_games(c: &mut PgConnection, games: &[&str]) -> QueryResult<()> {
    if games.is_empty() {
        return Ok(());
    }
    HoldGames { games }.execute(c).map(drop)
}

pub(crate) fn players_of_open_bets(
    c: &mut PgConnection,
    games: &[&str],
) -> QueryResult<Vec<String>> {
    if games.is_empty() {
        return Ok(Vec::new());
    }
    PlayersOfOpenBets { games }.load(c)
}

/// Players of the positions.
pub(crate) fn hold_positions(c: &mut PgConnection, positions: &[&str]) -> QueryResult<Vec<String>> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    HoldPositions { positions }.load(c)
}
