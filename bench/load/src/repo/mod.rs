//! The load of `cargo xtask bench repo`: operations of the repositories, and the SQL of them.
//!
//! The SQL stands here once, for the peers. Before anything is measured the bench lets the
//! repositories do each operation and compares what they run with these texts.

mod bet;
mod script;
mod sql;

pub use bet::{ACTOR, Bet, GAMES, STAKE, game_key, now_micros};
pub use script::{Runner, place_bet};
pub use sql::{FIND, INSERT_SETTLED, LIST, PLACE_BET, Step, Value};

use serde::{Deserialize, Serialize};

/// What every client repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// One user by key.
    Find,
    /// 100 users after one of them, newest first, and whether there are more.
    List,
    /// One bet, complete.
    PlaceBet,
    /// So many bets in one transaction, once.
    Bulk {
        /// How many.
        bets: u64,
    },
    /// The first page of the players who won most.
    Leaderboard {
        /// How many of them.
        rows: i64,
    },
    /// What a player has.
    Balance,
}
