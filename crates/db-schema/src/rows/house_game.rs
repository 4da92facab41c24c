//! Games of one player against the house.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::types::{Json, UtcTime, vocabulary};

vocabulary! {
    /// How a game against the house ended.
    pub enum HouseOutcome {
        /// The house paid more than the bet.
        Won = "won",
        /// The house paid less than the bet.
        Lost = "lost",
        /// The house paid back the bet.
        Push = "push",
    }
}

/// A game of one player against the house, decided by an algorithm.
///
/// The algorithm is text: games come and go faster than this program.
#[derive(Debug, Clone, PartialEq, Queryable, Serialize, Deserialize)]
pub struct HouseGame {
    /// Key.
    pub id: i64,
    /// Who played.
    pub user_id: String,
    /// Which algorithm decided.
    pub algorithm_type: String,
    /// Smallest unit of CRAP.
    pub bet_amount: i64,
    /// How it ended; none until it is decided.
    pub outcome: Option<HouseOutcome>,
    /// Payout in multiples of the bet.
    pub multiplier: f64,
    /// Smallest unit of CRAP.
    pub payout_amount: i64,
    /// Share of the bet that the house keeps on average: 0.014 is 1.4 per cent.
    pub house_edge: f64,
    /// Session of play, as the client names it.
    pub session_id: Option<String>,
    /// Seed of the random numbers, so that the game can be proven fair.
    pub seed: Option<String>,
    /// When it was played.
    pub created_at: UtcTime,
    /// What else is known.
    pub metadata: Option<Json>,
}
