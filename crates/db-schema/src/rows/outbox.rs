//! Events that have to reach the outside.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::types::{Json, UtcTime, vocabulary};

vocabulary! {
    /// What happened.
    pub enum OutboxType {
        /// Money came in from outside, to a player.
        Deposit = "deposit",
        /// Money left for the outside, from a player.
        Withdrawal = "withdrawal",
        /// Money came in from outside, to the house or the treasury.
        Fund = "fund",
        /// A player gave money to another.
        Transfer = "transfer",
        /// A bet was placed.
        BetPlaced = "bet_placed",
        /// A bet was settled.
        BetResolved = "bet_resolved",
        /// A game ended and was paid out.
        GameSettled = "game_settled",
        /// A game against the house was played.
        HouseGamePlayed = "house_game_played",
        /// Money was staked.
        Staked = "staked",
        /// A staking position was closed.
        Unstaked = "unstaked",
        /// Rewards of a staking position were paid.
        RewardsClaimed = "rewards_claimed",
        /// Something of the application's own; the payload tells what.
        Application = "application",
    }
}

vocabulary! {
    /// How far the delivery is.
    pub enum OutboxStatus {
        /// Never tried.
        Pending = "pending",
        /// A relay has it.
        Processing = "processing",
        /// Waits for its next attempt.
        Failed = "failed",
        /// Done.
        Delivered = "delivered",
        /// Given up.
        Dead = "dead",
    }
}

/// An event to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutboxEntry {
    /// Whom it is about, if anybody.
    pub user_id: Option<String>,
    /// What happened.
    pub outbox_type: OutboxType,
    /// All that a receiver needs; give it a key by which a receiver tells a second delivery.
    pub payload: Json,
    /// Now; the entry is due at once.
    pub created_at: UtcTime,
}

/// An event, and how far its delivery is.
///
/// Its type is text: a word that this program does not know must not hold up the other entries.
#[derive(Debug, Clone, PartialEq, Queryable, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Key.
    pub id: i64,
    /// Whom it is about, if anybody.
    pub user_id: Option<String>,
    /// What happened: the word of an [`OutboxType`].
    pub outbox_type: String,
    /// How far the delivery is.
    pub status: OutboxStatus,
    /// What is to be delivered.
    pub payload: Json,
    /// Deliveries tried so far.
    pub attempts: i32,
    /// When it is due, or its lease ends; none when it is delivered or dead.
    pub next_retry_at: Option<UtcTime>,
    /// When it happened.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
    /// Why the last attempt failed: an object with the text `error`.
    pub metadata: Option<Json>,
}
