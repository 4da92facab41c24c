//! Accounts that are no player's.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::types::{UtcTime, vocabulary};

vocabulary! {
    /// Whose an account is.
    pub enum AccountKind {
        /// Of the house, which games are played against.
        House = "house",
        /// Of the treasury, which pays rewards.
        Treasury = "treasury",
        /// The pot of a game.
        Pot = "pot",
    }
}

vocabulary! {
    /// What a line of an account is.
    pub enum EntryType {
        /// Money came in from outside.
        Fund = "fund",
        /// The stake of a lost bet came into the pot.
        BetLost = "bet_lost",
        /// The pot, or the house for it, paid the winnings of a bet.
        BetWon = "bet_won",
        /// The winner of a game got its pot.
        PotWon = "pot_won",
        /// A game ended without a winner: the house got its pot.
        PotToHouse = "pot_to_house",
        /// A bet against the house came in.
        HouseBet = "house_bet",
        /// The house paid.
        HouseWin = "house_win",
        /// The treasury paid interest on what is staked.
        Reward = "reward",
        /// Undoes another line.
        Reversal = "reversal",
    }
}

/// An account that is no player's.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, Deserialize)]
pub struct Account {
    /// Key: house, treasury, or `pot:` and the key of the game.
    pub id: String,
    /// Whose.
    pub kind: AccountKind,
    /// The game whose pot it is.
    pub game_id: Option<String>,
    /// Smallest unit of CRAP.
    pub balance: i64,
    /// When it was opened.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// One line in the ledger of an account. Amounts are in the smallest unit of CRAP.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, Deserialize)]
pub struct AccountEntry {
    /// Key; in the order in which lines were written, per account.
    pub id: i64,
    /// Of which account.
    pub account_id: String,
    /// What it is.
    pub entry_type: EntryType,
    /// What it does to the balance.
    pub amount: i64,
    /// The balance before.
    pub balance_before: i64,
    /// The balance after.
    pub balance_after: i64,
    /// What it belongs to: a bet, a game, a request, the line it reverses.
    pub reference_id: Option<String>,
    /// When it was written.
    pub created_at: UtcTime,
}
