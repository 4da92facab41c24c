//! Bets in games of dice.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::bets;
use crate::types::{BetId, UtcTime, vocabulary};

vocabulary! {
    /// What a bet is on.
    pub enum BetType {
        /// Pass line.
        Pass = "pass",
        /// Don't pass.
        DontPass = "dont_pass",
        /// Come.
        Come = "come",
        /// Don't come.
        DontCome = "dont_come",
        /// Odds behind another bet.
        Odds = "odds",
        /// The field: 2, 3, 4, 9, 10, 11 or 12 on one throw.
        Field = "field",
        /// A number before a seven.
        Place = "place",
        /// A number before a seven, against a commission.
        Buy = "buy",
        /// A seven before a number.
        Lay = "lay",
        /// A pair before a seven and before the number otherwise.
        Hardway = "hardway",
        /// Any seven on one throw.
        AnySeven = "any_seven",
        /// 2, 3 or 12 on one throw.
        AnyCraps = "any_craps",
        /// 11 on one throw.
        Yo = "yo",
        /// 2, 3, 11 and 12 on one throw.
        Horn = "horn",
    }
}

vocabulary! {
    /// How a bet ended.
    pub enum BetOutcome {
        /// The stake came back with winnings.
        Won = "won",
        /// The stake went into the pot.
        Lost = "lost",
        /// Neither: the stake came back.
        Push = "push",
        /// The game was cancelled: the stake came back.
        Void = "void",
    }
}

/// A bet of one player in one game.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Queryable,
    Selectable,
    Identifiable,
    Insertable,
    Serialize,
    Deserialize,
)]
#[diesel(table_name = bets, check_for_backend(Sqlite, Pg), treat_none_as_default_value = false)]
pub struct Bet {
    /// Key.
    pub id: BetId,
    /// The game.
    pub game_id: String,
    /// Who bets.
    pub player_id: String,
    /// What on.
    pub bet_type: BetType,
    /// The stake, smallest unit of CRAP.
    pub amount: i64,
    /// How it ended; none while it is open.
    pub outcome: Option<BetOutcome>,
    /// When it was placed.
    pub created_at: UtcTime,
    /// When it was settled.
    pub resolved_at: Option<UtcTime>,
}
