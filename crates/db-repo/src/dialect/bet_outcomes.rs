//! How bets ended beside the events of their games, as [`bet_events`](super::bet_events) has it for how they
//! were placed.
//!
//! What a bet won stands in no row of its own: it is what the lines that settled it paid beyond its stake. They
//! are looked up by the bet, on PostgreSQL by the same means as there. Without such lines there is nothing to
//! compare: that a stake is locked for ever shows in the balance.
//!
//! SQLite looks up the bet of each event by its key, and each settled bet in lists of the events' keys. On
//! PostgreSQL the events are brought to one row for each bet, and one full join does the rest. Where several
//! events tell of one bet, the first and the last of what they say are looked at: one of two that differ is wrong.

use db_core::statement;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{PgConnection, QueryResult, RunQueryDsl as _, SqliteConnection};

/// A bet that ended otherwise than its event says.
#[derive(diesel::Queryable)]
pub(crate) struct WrongOutcome {
    pub(crate) game: String,
    pub(crate) bet: String,
    /// The outcome that an event says; none without one.
    pub(crate) said: Option<String>,
    /// That of the row; none of a bet that is open or not there.
    pub(crate) kept: Option<String>,
    /// What it won as the event says.
    pub(crate) winnings: Option<String>,
    /// What lines paid beyond the stake.
    pub(crate) paid: Option<i64>,
    /// How many such bets there are.
    pub(crate) total: i64,
}

type Columns = (
    Text,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<BigInt>,
    BigInt,
);

statement! {
    struct WrongOutcomesOnSqlite<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT game_id, bet, said, kept, winnings, paid, count(*) OVER () FROM (
        SELECT game_id, bet, said, kept, winnings, paid FROM (
            SELECT ended.game_id AS game_id, ended.bet AS bet, ended.outcome AS said,
                bets.outcome AS kept, ended.winnings AS winnings, (
                    SELECT sum(lines.amount) FROM transactions AS lines
                    WHERE lines.reference_id = ended.bet AND +lines.user_id = bets.player_id
                    AND +lines.transaction_type IN ('bet_won', 'bet_lost', 'bet_returned')
                ) - CASE bets.outcome WHEN 'lost' THEN 0 ELSE bets.amount END AS paid
            FROM (
                SELECT game_id, coalesce(payload ->> 'bet_id', '') AS bet,
                    CAST(coalesce(payload ->> 'outcome', '') AS TEXT) AS outcome,
                    CAST(coalesce(payload ->> 'winnings', '') AS TEXT) AS winnings
                FROM game_events
                WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_resolved'
            ) AS ended LEFT JOIN bets
            ON bets.id = unhex(ended.bet, '-') AND +bets.game_id = ended.game_id
            LIMIT -1
        ) AS matched
        WHERE kept IS NULL OR said <> kept OR winnings <> CAST(paid AS TEXT)
        UNION ALL
        SELECT game_id, bet, NULL, outcome, NULL, NULL FROM (
            SELECT game_id, outcome, id,
                lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-'
                    || substr(hex(id), 13, 4) || '-' || substr(hex(id), 17, 4) || '-'
                    || substr(hex(id), 21)) AS bet
            FROM bets WHERE game_id >= " first " AND game_id <= " last " AND outcome IS NOT NULL
            AND (game_id, id) NOT IN (
                SELECT game_id, coalesce(unhex(payload ->> 'bet_id', '-'), x'') FROM game_events
                WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_resolved')
        ) AS settled
        WHERE (game_id, id) IN (
            SELECT game_id, coalesce(unhex(payload ->> 'bet_id', '-'), x'') FROM game_events
            WHERE game_id >= " first " AND game_id <= " last " AND event_type = 'bet_placed')
    ) AS wrong ORDER BY game_id, bet, kept IS NOT NULL LIMIT " rows " + 0"
}

statement! {
    struct WrongOutcomesOnPostgres<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT game_id, bet, said, kept,
        CASE WHEN winnings = CAST(paid AS TEXT) THEN also_won ELSE winnings END,
        CAST(paid AS BIGINT), count(*) OVER () FROM (
        SELECT coalesce(told.game_id, settled.game_id) AS game_id, coalesce(told.bet, settled.bet) AS bet,
            CASE WHEN told.outcome = settled.outcome THEN told.also_said ELSE told.outcome END AS said,
            settled.outcome AS kept, told.winnings AS winnings, told.also_won AS also_won, (
                SELECT sum(lines.amount) FROM transactions AS lines
                WHERE lines.reference_id = settled.bet AND lines.user_id || '' = settled.player_id
                AND lines.transaction_type || '' IN ('bet_won', 'bet_lost', 'bet_returned') OFFSET 0
            ) - CASE settled.outcome WHEN 'lost' THEN 0 ELSE settled.amount END AS paid
        FROM (
            SELECT game_id, coalesce(payload ->> 'bet_id', '') AS bet,
                max(coalesce(payload ->> 'outcome', '')) FILTER (WHERE event_type = 'bet_resolved') AS outcome,
                min(coalesce(payload ->> 'outcome', '')) FILTER (WHERE event_type = 'bet_resolved') AS also_said,
                max(coalesce(payload ->> 'winnings', '')) FILTER (WHERE event_type = 'bet_resolved') AS winnings,
                min(coalesce(payload ->> 'winnings', '')) FILTER (WHERE event_type = 'bet_resolved') AS also_won
            FROM game_events
            WHERE game_id >= " first " AND game_id <= " last "
            AND event_type IN ('bet_placed', 'bet_resolved') GROUP BY 1, 2
        ) AS told FULL JOIN (
            SELECT game_id, player_id, amount, outcome,
                substr(encode(id, 'hex'), 1, 8) || '-' || substr(encode(id, 'hex'), 9, 4) || '-'
                    || substr(encode(id, 'hex'), 13, 4) || '-'
                    || substr(encode(id, 'hex'), 17, 4) || '-'
                    || substr(encode(id, 'hex'), 21) AS bet
            FROM bets WHERE game_id >= " first " AND game_id <= " last " AND outcome IS NOT NULL
        ) AS settled
        ON settled.game_id = told.game_id AND settled.bet = told.bet
        WHERE told.bet IS NOT NULL AND (told.outcome IS NOT NULL OR settled.outcome IS NOT NULL)
    ) AS matched
    WHERE said IS NULL OR kept IS NULL OR said <> kept
    OR winnings <> CAST(paid AS TEXT) OR (also_won <> winnings AND also_won <> CAST(paid AS TEXT))
    ORDER BY game_id, bet, kept IS NOT NULL LIMIT " rows " + 0"
}

/// Bets of the games from one key to another that ended otherwise than their events say.
pub(crate) fn wrong_sqlite(
    c: &mut SqliteConnection,
    first: &str,
    last: &str,
    rows: i64,
) -> QueryResult<Vec<WrongOutcome>> {
    WrongOutcomesOnSqlite { first, last, rows }.load(c)
}

/// Bets of the games from one key to another that ended otherwise than their events say.
pub(crate) fn wrong_postgres(
    c: &mut PgConnection,
    first: &str,
    last: &str,
    rows: i64,
) -> QueryResult<Vec<WrongOutcome>> {
    WrongOutcomesOnPostgres { first, last, rows }.load(c)
}
