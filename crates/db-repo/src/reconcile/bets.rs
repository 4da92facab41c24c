//! Bets: each was placed as an event of its game says.

use db_core::Conn;

use super::{Books, Check, Difference, MOST_BREAKS, count, count_of};
use crate::Result;
use crate::dialect::bet_events::{self, WrongBet};

/// Of the games from one key to another.
pub(super) fn check(conn: &mut Conn<'_>, first: &str, last: &str, books: &mut Books) -> Result<()> {
    let wrong = match conn {
        Conn::Sqlite(c) => bet_events::wrong_sqlite(c, first, last, MOST_BREAKS),
        Conn::Postgres(c) => bet_events::wrong_postgres(c, first, last, MOST_BREAKS),
    }?;
    let total = wrong.first().map_or(0, |first| first.total);
    books.report.difference_count += count(total).saturating_sub(count_of(&wrong));
    for bet in wrong {
        books.add(difference(&bet));
    }
    Ok(())
}

fn difference(wrong: &WrongBet) -> Difference {
    // An event that says no number says nothing of the stake.
    let said = wrong.said.as_ref().map(|said| said.parse().unwrap_or(0));
    let check = match (said, wrong.kept) {
        (None, _) => Check::BetWithoutEvent,
        (_, None) => Check::EventWithoutBet,
        _ => Check::Stake,
    };
    Difference {
        check,
        owner: format!("{} in game {}", wrong.bet, wrong.game),
        line: None,
        expected: said.unwrap_or(0),
        found: wrong.kept.map_or(0, i128::from),
        outcomes: None,
    }
}
