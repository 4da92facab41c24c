//! Lines in the ledger of a player.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::types::{Json, UtcTime, vocabulary};

vocabulary! {
    /// What a line is.
    pub enum TransactionType {
        /// Money came in from outside.
        Deposit = "deposit",
        /// Money left for the outside.
        Withdrawal = "withdrawal",
        /// From another player.
        TransferIn = "transfer_in",
        /// To another player.
        TransferOut = "transfer_out",
        /// A stake was locked.
        Bet = "bet",
        /// A bet was won: the stake and what it won.
        BetWon = "bet_won",
        /// A bet was lost: its stake went into the pot.
        BetLost = "bet_lost",
        /// Neither: the stake came back.
        BetReturned = "bet_returned",
        /// The pot of a game.
        PotWon = "pot_won",
        /// A bet against the house.
        HouseBet = "house_bet",
        /// What the house paid.
        HouseWin = "house_win",
        /// Money was staked.
        Stake = "stake",
        /// What was staked came back.
        Unstake = "unstake",
        /// Interest on what is staked.
        Reward = "reward",
        /// Money was held back.
        Lock = "lock",
        /// What was held back is free again.
        Unlock = "unlock",
        /// Undoes another line.
        Reversal = "reversal",
    }
}

vocabulary! {
    /// What came of a line; final when it is written. Only a completed one moves money.
    pub enum TransactionStatus {
        /// Waits for somebody else.
        Pending = "pending",
        /// Done.
        Completed = "completed",
        /// Could not be done.
        Failed = "failed",
        /// Was taken back before it was done.
        Cancelled = "cancelled",
    }
}

/// One line in the ledger of a player. Amounts are in the smallest unit of CRAP.
#[derive(Debug, Clone, PartialEq, Queryable, Serialize, Deserialize)]
pub struct Transaction {
    /// Key; in the order in which lines were written, per player.
    pub id: i64,
    /// Whose.
    pub user_id: String,
    /// What it is.
    pub transaction_type: TransactionType,
    /// What it does to the available balance.
    pub amount: i64,
    /// The available balance before.
    pub balance_before: i64,
    /// The available balance after.
    pub balance_after: i64,
    /// What came of it.
    pub status: TransactionStatus,
    /// What it belongs to: a bet, a game, a request, the line it reverses.
    pub reference_id: Option<String>,
    /// When it was written.
    pub created_at: UtcTime,
    /// What else is known.
    pub metadata: Option<Json>,
    /// What it does to the locked balance.
    pub locked_change: i64,
    /// What it does to the staked balance.
    pub staked_change: i64,
}
