//! Many bets at once: PostgreSQL has COPY for it, SQLite a statement that stays prepared.

use db_core::statement;
use db_schema::rows::{Bet, BetOutcome, BetType};
use db_schema::schema::bets;
use db_schema::types::{BetId, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

statement! {
    struct AddBet<'a> {
        id: BetId as Binary,
        game: &'a str as Text,
        player: &'a str as Text,
        bet_type: BetType as Text,
        amount: i64 as BigInt,
        outcome: Option<BetOutcome> as Nullable<Text>,
        created_at: UtcTime as UtcTimestamp,
        resolved_at: Option<UtcTime> as Nullable<UtcTimestamp>,
    }
    "INSERT INTO bets (id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at)
    VALUES (" id ", " game ", " player ", " bet_type ", " amount ", " outcome ", " created_at ", "
    resolved_at ")"
}

/// Adds bets; with an error, the one that it is about.
pub(crate) fn add_sqlite<'a>(
    c: &mut SqliteConnection,
    bets: &'a [Bet],
) -> Result<usize, (diesel::result::Error, &'a Bet)> {
    for bet in bets {
        let add = AddBet {
            id: bet.id,
            game: &bet.game_id,
            player: &bet.player_id,
            bet_type: bet.bet_type,
            amount: bet.amount,
            outcome: bet.outcome,
            created_at: bet.created_at,
            resolved_at: bet.resolved_at,
        };
        add.execute(c).map_err(|error| (error, bet))?;
    }
    Ok(bets.len())
}

pub(crate) fn add_postgres(c: &mut PgConnection, bets: &[Bet]) -> QueryResult<usize> {
    diesel::copy_from(bets::table)
        .from_insertable(bets)
        .execute(c)
}

/// A key as PostgreSQL writes it in what it says of a refusal.
pub(crate) fn key_postgres(id: BetId) -> String {
    format!("\\x{}", id.0.simple())
}
