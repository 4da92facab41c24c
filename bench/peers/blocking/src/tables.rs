//! The tables of `bench-load`, for Diesel.

use diesel::prelude::*;

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

diesel::table! {
    bets (id) {
        id -> BigInt,
        game_id -> Text,
        player_id -> Text,
        bet_type -> Text,
        amount -> BigInt,
        created_at -> BigInt,
    }
}

/// A row of `users`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
#[expect(dead_code, reason = "what is measured is that they are filled")]
pub(crate) struct User {
    id: String,
    username: String,
    public_key: Vec<u8>,
    reputation: f64,
    created_at: i64,
    updated_at: i64,
}

/// A row of `bets`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = bets)]
#[expect(dead_code, reason = "what is measured is that they are filled")]
pub(crate) struct Bet {
    id: i64,
    game_id: String,
    player_id: String,
    bet_type: String,
    amount: i64,
    created_at: i64,
}

/// A row to insert into `bets`.
#[derive(Insertable)]
#[diesel(table_name = bets, treat_none_as_default_value = false)]
pub(crate) struct NewBet<'a> {
    pub(crate) game_id: &'static str,
    pub(crate) player_id: &'a str,
    pub(crate) bet_type: &'static str,
    pub(crate) amount: i64,
    pub(crate) created_at: i64,
}
