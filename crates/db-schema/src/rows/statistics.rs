//! Totals of players and games.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{game_statistics, player_statistics};
use crate::types::UtcTime;

/// Totals of one player over all games. Amounts are in the smallest unit of CRAP.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = player_statistics, primary_key(player_id), check_for_backend(Sqlite, Pg))]
pub struct PlayerStatistics {
    /// Whose.
    pub player_id: String,
    /// Games with at least one bet, and games against the house.
    pub games_played: i64,
    /// Of these.
    pub games_won: i64,
    /// Bets placed, games against the house included.
    pub bet_count: i64,
    /// Of these.
    pub bets_won: i64,
    /// Stakes of all bets.
    pub total_wagered: i64,
    /// Payouts of all bets that were won, the stake included.
    pub total_won: i64,
    /// The largest of them.
    pub biggest_win: i64,
    /// Settled bets won in a row; negative: lost in a row.
    pub current_streak: i64,
    /// Most bets won in a row.
    pub longest_winning_streak: i64,
    /// Most bets lost in a row.
    pub longest_losing_streak: i64,
    /// When the last bet was placed or settled.
    pub last_played_at: Option<UtcTime>,
    /// When the player's first bet was placed.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// Totals of one game. Amounts are in the smallest unit of CRAP.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = game_statistics, primary_key(game_id), check_for_backend(Sqlite, Pg))]
pub struct GameStatistics {
    /// Of which game.
    pub game_id: String,
    /// Players with at least one bet.
    pub player_count: i64,
    /// Bets placed.
    pub bet_count: i64,
    /// Stakes of all bets.
    pub total_wagered: i64,
    /// Payouts of all bets that were won, the stake included.
    pub total_won: i64,
    /// The largest of them.
    pub biggest_win: i64,
    /// When the game was created.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}
