//! Bets beside the events of their games. The key of a bet is bytes in its row and text in its event; text
//! that is no key must not be an error.
//!
//! SQLite looks up the bet of each event by its key, and each bet in a list of the events' keys. On
//! PostgreSQL one full join does both: it hashes, whatever is known of the tables, and keys are compared as
//! text, since what is no key cannot be made one there. Both come from the rows of the batch's games, which
//! indexes find.
//!
//! A bet without an event is none of the past if it is open, or if a line took its stake. Its lines are
//! looked up by the bet: the plus keeps SQLite from another index, and PostgreSQL the empty text; the offset
//! keeps that one from reading the lines of all bets into a table of its own.

use db_core::statement;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _, SqliteConnection};

/// A bet that differs from its event.
#[derive(diesel::Queryable)]
pub(crate) struct WrongBet {
    pub(crate) game: String,
    pub(crate) bet: String,
    /// The stake that an event says; none without one.
    pub(crate) said: Option<String>,
    /// That of the row.
    pub(crate) kept: Option<i64>,
    /// How many such bets there are.
    pub(crate) total: i64,
}

type Columns = (Text, Text, Nullable<Text>, Nullable<BigInt>, BigInt);

statement! {
    struct WrongBetsOnSqlite<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT game_id, bet, said, kept, count(*) OVER () FROM (
        SELECT placed.game_id AS game_id, placed.bet AS bet, placed.amount AS said,
            bets.amount AS kept
        FROM (
            SELECT game_id, coalesce(payload ->> 'bet_id', '') AS bet,
                payload ->> 'player_id' AS player,
                CAST(coalesce(payload ->> 'amount', '') AS TEXT) AS amount
            FROM game_events
            WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_placed'
        ) AS placed LEFT JOIN bets
        ON bets.id = unhex(placed.bet, '-') AND +bets.game_id = placed.game_id
            AND +bets.player_id = placed.player
        WHERE bets.id IS NULL OR placed.amount <> CAST(bets.amount AS TEXT)
        UNION ALL
        SELECT game_id, bet, NULL, amount FROM (
            SELECT game_id, player_id, amount, outcome,
                lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-'
                    || substr(hex(id), 13, 4) || '-' || substr(hex(id), 17, 4) || '-'
                    || substr(hex(id), 21)) AS bet
            FROM bets WHERE game_id >= " first " AND game_id <= " last "
            AND (game_id, player_id, id) NOT IN (
                SELECT game_id, coalesce(payload ->> 'player_id', ''),
                    coalesce(unhex(payload ->> 'bet_id', '-'), x'')
                FROM game_events
                WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_placed')
        ) AS kept
        WHERE EXISTS (SELECT 1 FROM game_events AS history WHERE history.game_id = kept.game_id)
        AND (outcome IS NULL OR EXISTS (
            SELECT 1 FROM transactions AS lines WHERE lines.reference_id = kept.bet
            AND +lines.user_id = kept.player_id AND +lines.transaction_type = 'bet'))
    ) AS wrong ORDER BY game_id, bet, kept IS NOT NULL LIMIT " rows " + 0"
}

statement! {
    struct WrongBetsOnPostgres<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT game_id, bet, said, kept, count(*) OVER () FROM (
        SELECT coalesce(placed.game_id, kept.game_id) AS game_id,
            coalesce(placed.bet, kept.bet) AS bet, placed.amount AS said, kept.amount AS kept
        FROM (
            SELECT game_id, coalesce(payload ->> 'bet_id', '') AS bet,
                payload ->> 'player_id' AS player, coalesce(payload ->> 'amount', '') AS amount
            FROM game_events
            WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_placed'
        ) AS placed FULL JOIN (
            SELECT game_id, player_id, amount, outcome,
                substr(encode(id, 'hex'), 1, 8) || '-' || substr(encode(id, 'hex'), 9, 4) || '-'
                    || substr(encode(id, 'hex'), 13, 4) || '-'
                    || substr(encode(id, 'hex'), 17, 4) || '-'
                    || substr(encode(id, 'hex'), 21) AS bet
            FROM bets WHERE game_id >= " first " AND game_id <= " last "
        ) AS kept
        ON kept.game_id = placed.game_id AND kept.bet = placed.bet
            AND kept.player_id = placed.player
        WHERE kept.bet IS NULL OR placed.amount <> CAST(kept.amount AS TEXT)
        OR (placed.bet IS NULL
            AND EXISTS (
                SELECT 1 FROM game_events AS history WHERE history.game_id = kept.game_id OFFSET 0)
            AND (kept.outcome IS NULL OR EXISTS (
                SELECT 1 FROM transactions AS lines WHERE lines.reference_id = kept.bet
                AND lines.user_id || '' = kept.player_id AND lines.transaction_type || '' = 'bet'
                OFFSET 0)))
    ) AS wrong ORDER BY game_id, bet, kept IS NOT NULL LIMIT " rows " + 0"
}

/// Bets of the games from one key to another that differ from their events.
pub(crate) fn wrong_sqlite(
    c: &mut SqliteConnection,
    first: &str,
    last: &str,
    rows: i64,
) -> QueryResult<Vec<WrongBet>> {
    WrongBetsOnSqlite { first, last, rows }.load(c)
}

/// Bets of the games from one key to another that differ from their events.
pub(crate) fn wrong_postgres(
    c: &mut PgConnection,
    first: &str,
    last: &str,
    rows: i64,
) -> QueryResult<Vec<WrongBet>> {
    WrongBetsOnPostgres { first, last, rows }.load(c)
}
