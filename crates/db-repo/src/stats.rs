//! Totals of players and games, kept by the writes that change them.
//!
//! The money operations alone call the writes, in the order of their locks: a player's row before that of
//! the game. Called by anybody else, totals would say what no line says.

mod counted;
mod leaderboard;

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{BetOutcome, GameStatistics, PlayerStatistics};
use db_schema::schema::{game_statistics, player_statistics};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Text};

pub(crate) use counted::Counted;
pub use leaderboard::LeaderboardOrder;

use crate::moment::just_after;
use crate::refusal::{Parent, Row, refused};
use crate::{Error, Page, PageRequest, Result, check};

// Each statement sets only what it has to: SQLite writes anew every index over a column that is set,
// changed or not, and four of these are in leaderboards. Sums of money end at the largest 64-bit number:
// a total that cannot grow any more must not stop a bet.

statement! {
    struct PlayerBets<'a> {
        player_id: &'a str as Text,
        games: i64 as BigInt,
        amount: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics
    (player_id, games_played, bet_count, total_wagered, last_played_at, created_at, updated_at)
    VALUES (" player_id ", " games ", 1, " amount ", " now ", " now ", " now ")
    ON CONFLICT (player_id) DO UPDATE SET
    games_played = player_statistics.games_played + excluded.games_played,
    bet_count = player_statistics.bet_count + 1,
    total_wagered = CASE WHEN player_statistics.total_wagered > 9223372036854775807 - excluded.total_wagered
    THEN 9223372036854775807 ELSE player_statistics.total_wagered + excluded.total_wagered END,
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

statement! {
    struct PlayerWins<'a> {
        player_id: &'a str as Text,
        payout: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics
    (player_id, bets_won, total_won, biggest_win, current_streak, longest_winning_streak,
    last_played_at, created_at, updated_at)
    VALUES (" player_id ", 1, " payout ", " payout ", 1, 1, " now ", " now ", " now ")
    ON CONFLICT (player_id) DO UPDATE SET
    bets_won = player_statistics.bets_won + 1,
    total_won = CASE WHEN player_statistics.total_won > 9223372036854775807 - excluded.total_won
    THEN 9223372036854775807 ELSE player_statistics.total_won + excluded.total_won END,
    biggest_win = CASE WHEN excluded.biggest_win > player_statistics.biggest_win
        THEN excluded.biggest_win ELSE player_statistics.biggest_win END,
    current_streak = CASE WHEN player_statistics.current_streak > 0
        THEN player_statistics.current_streak + 1 ELSE 1 END,
    longest_winning_streak = CASE
        WHEN player_statistics.current_streak >= player_statistics.longest_winning_streak
        THEN player_statistics.current_streak + 1
        WHEN player_statistics.longest_winning_streak = 0 THEN 1
        ELSE player_statistics.longest_winning_streak END,
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

statement! {
    struct PlayerLoses<'a> {
        player_id: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics
    (player_id, current_streak, longest_losing_streak, last_played_at, created_at, updated_at)
    VALUES (" player_id ", -1, 1, " now ", " now ", " now ")
    ON CONFLICT (player_id) DO UPDATE SET
    current_streak = CASE WHEN player_statistics.current_streak < 0
        THEN player_statistics.current_streak - 1 ELSE -1 END,
    longest_losing_streak = CASE
        WHEN -player_statistics.current_streak >= player_statistics.longest_losing_streak
        THEN 1 - player_statistics.current_streak
        WHEN player_statistics.longest_losing_streak = 0 THEN 1
        ELSE player_statistics.longest_losing_streak END,
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

statement! {
    struct PlayerIsBack<'a> {
        player_id: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics (player_id, last_played_at, created_at, updated_at)
    VALUES (" player_id ", " now ", " now ", " now ")
    ON CONFLICT (player_id) DO UPDATE SET
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

statement! {
    struct PlayerWinsGame<'a> {
        player_id: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics (player_id, games_won, created_at, updated_at)
    VALUES (" player_id ", 1, " now ", " now ")
    ON CONFLICT (player_id) DO UPDATE SET
    games_won = player_statistics.games_won + 1, updated_at = excluded.updated_at"
}

statement! {
    struct GameBets<'a> {
        game_id: &'a str as Text,
        players: i64 as BigInt,
        amount: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO game_statistics
    (game_id, player_count, bet_count, total_wagered, created_at, updated_at)
    VALUES (" game_id ", " players ", 1, " amount ", " now ", " now ")
    ON CONFLICT (game_id) DO UPDATE SET
    player_count = game_statistics.player_count + excluded.player_count,
    bet_count = game_statistics.bet_count + 1,
    total_wagered = CASE WHEN game_statistics.total_wagered > 9223372036854775807 - excluded.total_wagered
    THEN 9223372036854775807 ELSE game_statistics.total_wagered + excluded.total_wagered END,
    updated_at = excluded.updated_at"
}

statement! {
    /// Run whatever bets pay: who appends events to a game has to hold this row.
    struct GamePays<'a> {
        game_id: &'a str as Text,
        total: i64 as BigInt,
        biggest: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO game_statistics (game_id, total_won, biggest_win, created_at, updated_at)
    VALUES (" game_id ", " total ", " biggest ", " now ", " now ")
    ON CONFLICT (game_id) DO UPDATE SET
    total_won = CASE WHEN game_statistics.total_won > 9223372036854775807 - excluded.total_won
    THEN 9223372036854775807 ELSE game_statistics.total_won + excluded.total_won END,
    biggest_win = CASE WHEN excluded.biggest_win > game_statistics.biggest_win
        THEN excluded.biggest_win ELSE game_statistics.biggest_win END,
    updated_at = excluded.updated_at"
}

/// A bet that was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BetPlaced<'a> {
    /// In which game.
    pub(crate) game_id: &'a str,
    /// By whom.
    pub(crate) player_id: &'a str,
    /// The stake, smallest unit of CRAP.
    pub(crate) amount: i64,
    /// Whether the player had no bet in this game before.
    pub(crate) first_in_game: bool,
}

/// A bet that was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BetResolved<'a> {
    /// In which game.
    pub(crate) game_id: &'a str,
    /// Whose.
    pub(crate) player_id: &'a str,
    /// How it ended. What was returned ends no streak.
    pub(crate) outcome: BetOutcome,
    /// What the player got, the stake included, smallest unit of CRAP. Counts if the bet was won.
    pub(crate) payout: i64,
}

/// Totals of players and games.
#[derive(Debug)]
pub struct StatsRepository;

impl StatsRepository {
    /// Counts a bet.
    ///
    /// # Errors
    /// `MissingParent`, `Database`.
    pub(crate) fn bet_placed(conn: &mut Conn<'_>, bet: BetPlaced<'_>, now: UtcTime) -> Result<()> {
        let first = i64::from(bet.first_in_game);
        player_bets(conn, bet.player_id, first, bet.amount, now)?;
        let game = GameBets {
            game_id: bet.game_id,
            players: first,
            amount: bet.amount,
            now,
        };
        with_conn!(conn, |c| game.execute(c)).map_err(|error| no_game(conn, error, bet.game_id))?;
        Ok(())
    }

    /// Counts how a bet ended. The caller holds the player's balance, as every operation on money does: on
    /// PostgreSQL two who count a player's first bet at once would otherwise count one.
    ///
    /// # Errors
    /// `MissingParent`, `Database`.
    pub(crate) fn bet_resolved(
        conn: &mut Conn<'_>,
        bet: BetResolved<'_>,
        now: UtcTime,
    ) -> Result<()> {
        player_ends(conn, bet.player_id, bet.outcome, bet.payout, now)?;
        let paid = match bet.outcome {
            BetOutcome::Won => bet.payout,
            _ => 0,
        };
        game_pays(conn, bet.game_id, paid, paid, now)
    }

    /// Counts a game that a player won.
    ///
    /// # Errors
    /// `MissingParent`, `Database`.
    pub(crate) fn game_won(conn: &mut Conn<'_>, player_id: &str, now: UtcTime) -> Result<()> {
        with_conn!(conn, |c| PlayerWinsGame { player_id, now }.execute(c))
            .map_err(|error| no_player(conn, error, player_id))?;
        Ok(())
    }

    /// Counts a game against the house: won if it paid more than the bet, lost if less.
    ///
    /// # Errors
    /// `MissingParent`, `Database`.
    pub(crate) fn house_game(
        conn: &mut Conn<'_>,
        player_id: &str,
        bet: i64,
        payout: i64,
        now: UtcTime,
    ) -> Result<()> {
        // The row changes up to three times.
        player_bets(conn, player_id, 1, bet, now)?;
        let now = just_after(now);
        let outcome = match payout.cmp(&bet) {
            std::cmp::Ordering::Greater => BetOutcome::Won,
            std::cmp::Ordering::Equal => BetOutcome::Push,
            std::cmp::Ordering::Less => BetOutcome::Lost,
        };
        player_ends(conn, player_id, outcome, payout, now)?;
        if outcome == BetOutcome::Won {
            Self::game_won(conn, player_id, just_after(now))?;
        }
        Ok(())
    }

    /// The totals of a player who has placed a bet.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_player(conn: &mut Conn<'_>, player_id: &str) -> Result<Option<PlayerStatistics>> {
        check::sought("player_id", player_id)?;
        let query = player_statistics::table.find(player_id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// The totals of a game: nothing but zeros before its first bet.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_game(conn: &mut Conn<'_>, game_id: &str) -> Result<Option<GameStatistics>> {
        check::sought("game_id", game_id)?;
        let query = game_statistics::table.find(game_id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// Players by one of their totals, the highest first; among equals the last by key first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn leaderboard(
        conn: &mut Conn<'_>,
        order: LeaderboardOrder,
        page: &PageRequest,
    ) -> Result<Page<PlayerStatistics>> {
        leaderboard::page(conn, order, page)
    }
}

fn player_bets(
    conn: &mut Conn<'_>,
    player_id: &str,
    games: i64,
    amount: i64,
    now: UtcTime,
) -> Result<()> {
    let bets = PlayerBets {
        player_id,
        games,
        amount,
        now,
    };
    with_conn!(conn, |c| bets.execute(c)).map_err(|error| no_player(conn, error, player_id))?;
    Ok(())
}

fn player_ends(
    conn: &mut Conn<'_>,
    player_id: &str,
    outcome: BetOutcome,
    payout: i64,
    now: UtcTime,
) -> Result<()> {
    let counted = match outcome {
        BetOutcome::Won => {
            let wins = PlayerWins {
                player_id,
                payout,
                now,
            };
            with_conn!(conn, |c| wins.execute(c))
        }
        BetOutcome::Lost => with_conn!(conn, |c| PlayerLoses { player_id, now }.execute(c)),
        BetOutcome::Push | BetOutcome::Void => {
            with_conn!(conn, |c| PlayerIsBack { player_id, now }.execute(c))
        }
    };
    counted.map_err(|error| no_player(conn, error, player_id))?;
    Ok(())
}

/// Counts what a game has paid: in all, and for one bet at most.
fn game_pays(
    conn: &mut Conn<'_>,
    game_id: &str,
    total: i64,
    biggest: i64,
    now: UtcTime,
) -> Result<()> {
    let game = GamePays {
        game_id,
        total,
        biggest,
        now,
    };
    with_conn!(conn, |c| game.execute(c)).map_err(|error| no_game(conn, error, game_id))?;
    Ok(())
}

fn no_player(conn: &mut Conn<'_>, error: DieselError, player_id: &str) -> Error {
    let parent = Parent {
        constraint: "fk_player_statistics_player_id",
        field: "player_id",
        row: Row::User(player_id),
    };
    refused(conn, error, |_| None, &[parent])
}

fn no_game(conn: &mut Conn<'_>, error: DieselError, game_id: &str) -> Error {
    let parent = Parent {
        constraint: "fk_game_statistics_game_id",
        field: "game_id",
        row: Row::Game(game_id),
    };
    refused(conn, error, |_| None, &[parent])
}
