//! Rows of one table, written from a document with all their values: a statement that stays prepared,
//! however many there are.

use db_core::{Conn, statement};
use db_schema::rows::PlayerStatistics;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::{QueryResult, RunQueryDsl as _};
use serde_json::{Value, json};

use crate::money::Balances;

/// Rows of one statement.
pub(crate) const BATCH: usize = 1_000;

statement! {
    struct BalancesOnSqlite<'a> {
        rows: &'a Json as JsonDoc,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE token_balances SET balance = sheet.available, locked_balance = sheet.locked,
    staked_balance = sheet.staked, last_updated = " now
    " FROM (SELECT value ->> 'user_id' AS user_id, value ->> 'available' AS available,
    value ->> 'locked' AS locked, value ->> 'staked' AS staked FROM json_each(" rows ")) AS sheet
    WHERE token_balances.user_id = sheet.user_id"
}

statement! {
    struct BalancesOnPostgres<'a> {
        rows: &'a Json as JsonDoc,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE token_balances SET balance = sheet.available, locked_balance = sheet.locked,
    staked_balance = sheet.staked, last_updated = " now
    " FROM jsonb_to_recordset(" rows ")
    AS sheet (user_id text, available bigint, locked bigint, staked bigint)
    WHERE token_balances.user_id = sheet.user_id"
}

statement! {
    struct TotalsOnSqlite<'a> {
        rows: &'a Json as JsonDoc,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics (player_id, bets_won, total_won, biggest_win, current_streak,
    longest_winning_streak, longest_losing_streak, last_played_at, created_at, updated_at)
    SELECT value ->> 'player_id', value ->> 'bets_won', value ->> 'total_won',
    value ->> 'biggest_win', value ->> 'current_streak', value ->> 'longest_winning_streak',
    value ->> 'longest_losing_streak', " now ", " now ", " now " FROM json_each(" rows ") WHERE true
    ON CONFLICT (player_id) DO UPDATE SET
    bets_won = excluded.bets_won, total_won = excluded.total_won,
    biggest_win = excluded.biggest_win, current_streak = excluded.current_streak,
    longest_winning_streak = excluded.longest_winning_streak,
    longest_losing_streak = excluded.longest_losing_streak,
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

statement! {
    struct TotalsOnPostgres<'a> {
        rows: &'a Json as JsonDoc,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO player_statistics (player_id, bets_won, total_won, biggest_win, current_streak,
    longest_winning_streak, longest_losing_streak, last_played_at, created_at, updated_at)
    SELECT player_id, bets_won, total_won, biggest_win, current_streak, longest_winning_streak,
    longest_losing_streak, " now ", " now ", " now " FROM jsonb_to_recordset(" rows ")
    AS sheet (player_id text, bets_won bigint, total_won bigint, biggest_win bigint,
    current_streak bigint, longest_winning_streak bigint, longest_losing_streak bigint)
    ON CONFLICT (player_id) DO UPDATE SET
    bets_won = excluded.bets_won, total_won = excluded.total_won,
    biggest_win = excluded.biggest_win, current_streak = excluded.current_streak,
    longest_winning_streak = excluded.longest_winning_streak,
    longest_losing_streak = excluded.longest_losing_streak,
    last_played_at = excluded.last_played_at, updated_at = excluded.updated_at"
}

/// Sets what players have, who all have a row; how many there were.
pub(crate) fn write_balances(
    conn: &mut Conn<'_>,
    players: &[(&String, &Balances)],
    now: UtcTime,
) -> QueryResult<usize> {
    let rows = players.iter().map(|(user, has)| {
        json!({
            "user_id": user, "available": has.available, "locked": has.locked,
            "staked": has.staked,
        })
    });
    let rows = &document(rows);
    match conn {
        Conn::Sqlite(c) => BalancesOnSqlite { rows, now }.execute(*c),
        Conn::Postgres(c) => BalancesOnPostgres { rows, now }.execute(*c),
    }
}

/// Sets what the ends of bets change of players' totals, and makes the rows that are not there.
pub(crate) fn write_totals(
    conn: &mut Conn<'_>,
    players: &[PlayerStatistics],
    now: UtcTime,
) -> QueryResult<usize> {
    let rows = players.iter().map(|of| {
        json!({
            "player_id": of.player_id, "bets_won": of.bets_won, "total_won": of.total_won,
            "biggest_win": of.biggest_win, "current_streak": of.current_streak,
            "longest_winning_streak": of.longest_winning_streak,
            "longest_losing_streak": of.longest_losing_streak,
        })
    });
    let rows = &document(rows);
    match conn {
        Conn::Sqlite(c) => TotalsOnSqlite { rows, now }.execute(*c),
        Conn::Postgres(c) => TotalsOnPostgres { rows, now }.execute(*c),
    }
}

fn document(rows: impl Iterator<Item = Value>) -> Json {
    Json(Value::Array(rows.collect()))
}
