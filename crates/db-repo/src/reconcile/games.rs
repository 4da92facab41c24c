//! Games: what they show of their pots, that nothing is left open in one that has ended, and their bets.

use db_core::{Conn, statement, with_conn};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::part::Parts;
use super::{Books, Check, bets, count_of, outcomes};
use crate::Result;

statement! {
    struct FirstGames {
        rows: i64 as BigInt,
    }
    returns Text;
    "SELECT id FROM games ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct NextGames<'a> {
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Text;
    "SELECT id FROM games WHERE id > " after " ORDER BY id LIMIT " rows " + 0"
}

statement! {
    /// One row of each game that has something wrong; what that is, the caller sees.
    struct WrongPots<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, Bool, BigInt, Nullable<BigInt>);
    "SELECT id, ended, pot_size, held FROM (
        SELECT games.id, games.pot_size, accounts.balance AS held,
            games.completed_at IS NOT NULL OR games.state IN ('completed', 'cancelled') AS ended
        FROM games LEFT JOIN accounts ON accounts.game_id = games.id
        WHERE games.id >= " first " AND games.id <= " last ") AS pots
    WHERE pot_size <> coalesce(held, 0) OR (ended AND held > 0) OR (NOT ended AND held IS NULL)
    ORDER BY id"
}

statement! {
    struct OpenInEnded<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt);
    "SELECT games.id, CAST(sum(bets.amount) AS BIGINT)
    FROM games JOIN bets ON bets.game_id = games.id
    WHERE games.id >= " first " AND games.id <= " last "
    AND (games.completed_at IS NOT NULL OR games.state IN ('completed', 'cancelled'))
    AND bets.outcome IS NULL GROUP BY games.id ORDER BY games.id"
}

type Pot = (String, bool, i64, Option<i64>);

pub(super) fn check(conn: &mut Conn<'_>, rows: i64, parts: Parts, books: &mut Books) -> Result<()> {
    let mut batch: Vec<String> = with_conn!(conn, |c| FirstGames { rows }.load(c))?;
    while let (Some(first), Some(last)) = (batch.first(), batch.last()) {
        books.report.games += count_of(&batch);
        if parts.accounts {
            check_pots(conn, first, last, books)?;
        }
        let open: Vec<(String, i64)> = with_conn!(conn, |c| OpenInEnded { first, last }.load(c))?;
        for (id, amount) in open {
            books.compare(Check::EndedBets, &id, 0, amount.into());
        }
        if parts.history {
            bets::check(conn, first, last, books)?;
            outcomes::check(conn, first, last, books)?;
        }
        batch = with_conn!(conn, |c| NextGames { after: last, rows }.load(c))?;
    }
    Ok(())
}

fn check_pots(conn: &mut Conn<'_>, first: &str, last: &str, books: &mut Books) -> Result<()> {
    let wrong: Vec<Pot> = with_conn!(conn, |c| WrongPots { first, last }.load(c))?;
    for (id, ended, shown, held) in wrong {
        if held.is_none() && !ended {
            books.compare(Check::PotAccount, &id, 1, 0);
        }
        let held = i128::from(held.unwrap_or(0));
        books.compare(Check::Pot, &id, held, shown.into());
        if ended {
            books.compare(Check::EndedPot, &id, 0, held);
        }
    }
    Ok(())
}
