//! Games of dice.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::games;
use crate::types::{UtcTime, vocabulary};

vocabulary! {
    /// How far a game is as a whole.
    pub enum GameState {
        /// Players gather; bets are taken.
        Open = "open",
        /// Dice are thrown; bets are taken.
        Active = "active",
        /// It has ended and is paid out.
        Completed = "completed",
        /// It has ended without a result; stakes went back.
        Cancelled = "cancelled",
    }
}

vocabulary! {
    /// What the next throw of the dice decides.
    pub enum GamePhase {
        /// The first throw of a round.
        ComeOut = "come_out",
        /// A point is set.
        Point = "point",
        /// No throw follows.
        Ended = "ended",
    }
}

/// A game of dice.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = games, check_for_backend(Sqlite, Pg))]
pub struct Game {
    /// Key.
    pub id: String,
    /// How far it is.
    pub state: GameState,
    /// What is in the pot, smallest unit of CRAP: the balance of the account of the pot.
    pub pot_size: i64,
    /// What the next throw decides.
    pub phase: GamePhase,
    /// When it was opened.
    pub created_at: UtcTime,
    /// When it ended.
    pub completed_at: Option<UtcTime>,
    /// Who won it, if anybody did.
    pub winner_id: Option<String>,
}

/// A game to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGame {
    /// Key.
    pub id: String,
    /// Now.
    pub created_at: UtcTime,
}
