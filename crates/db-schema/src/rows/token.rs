//! What players own.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{staking_positions, token_balances};
use crate::types::UtcTime;

/// The balances of one player, in the smallest unit of CRAP. They add up to what the player owns.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = token_balances, primary_key(user_id), check_for_backend(Sqlite, Pg))]
pub struct TokenBalance {
    /// Whose.
    pub user_id: String,
    /// What is available.
    pub balance: i64,
    /// What open bets and explicit locks hold.
    pub locked_balance: i64,
    /// What active staking positions hold.
    pub staked_balance: i64,
    /// When the row was last changed.
    pub last_updated: UtcTime,
}

/// CRAP that a player has locked away for a reward.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = staking_positions, check_for_backend(Sqlite, Pg))]
pub struct StakingPosition {
    /// Key.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
    /// Days from start to end.
    pub lock_period_days: i32,
    /// Simple interest per year of 365 days: 0.05 is five per cent.
    pub reward_rate: f64,
    /// When it began.
    pub started_at: UtcTime,
    /// When the lock ends.
    pub ends_at: UtcTime,
    /// Rewards paid so far, smallest unit of CRAP.
    pub claimed_rewards: i64,
    /// Whether the money is still in it.
    pub is_active: bool,
}
