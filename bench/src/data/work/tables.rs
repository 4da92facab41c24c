//! The tables of `bench-load`, for Diesel.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

diesel::table! {
    users (id) {
        id -> Text,
        username -> Text,
        public_key -> Binary,
        reputation -> Double,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    balances (user_id) {
        user_id -> Text,
        balance -> BigInt,
    }
}

/// A row of `users`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
#[expect(dead_code, reason = "what is measured is that they are filled")]
pub(super) struct User {
    id: String,
    username: String,
    public_key: Vec<u8>,
    reputation: f64,
    created_at: i64,
    updated_at: i64,
}

/// A row of `bets`.
#[derive(Queryable)]
#[expect(dead_code, reason = "what is measured is that they are filled")]
pub(super) struct Bet {
    id: i64,
    game_id: String,
    player_id: String,
    bet_type: String,
    amount: i64,
    created_at: i64,
}

db_core::statement! {
    /// Takes an amount from a balance that holds it.
    pub(super) struct Debit<'a> {
        player: &'a str as Text,
        amount: i64 as BigInt,
    }
    "UPDATE balances SET balance = balance - " amount
    " WHERE user_id = " player " AND balance >= " amount
}

db_core::statement! {
    /// Inserts a bet.
    pub(super) struct PlaceBet<'a> {
        game: &'a str as Text,
        player: &'a str as Text,
        kind: &'a str as Text,
        amount: i64 as BigInt,
        at: i64 as BigInt,
    }
    "INSERT INTO bets (game_id, player_id, bet_type, amount, created_at) VALUES (" game
    ", " player ", " kind ", " amount ", " at ")"
}

db_core::statement! {
    /// The newest 100 bets of a player.
    ///
    /// Written out because of the limit: Diesel binds it, and SQLite prepares a statement anew each
    /// time a bound limit is set.
    pub(super) struct Newest<'a> {
        player: &'a str as Text,
    }
    returns (BigInt, Text, Text, Text, BigInt, BigInt);
    "SELECT id, game_id, player_id, bet_type, amount, created_at FROM bets WHERE player_id = " player
    " ORDER BY id DESC LIMIT 100"
}
