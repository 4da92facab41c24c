//! Bets that are settled: each ended as an event of its game says, and was paid what that says.

use db_core::Conn;

use super::{Books, Check, Difference, MOST_BREAKS, Outcomes, count, count_of};
use crate::Result;
use crate::dialect::bet_outcomes::{self, WrongOutcome};

/// Of the games from one key to another.
pub(super) fn check(conn: &mut Conn<'_>, first: &str, last: &str, books: &mut Books) -> Result<()> {
    let wrong = match conn {
        Conn::Sqlite(c) => bet_outcomes::wrong_sqlite(c, first, last, MOST_BREAKS),
        Conn::Postgres(c) => bet_outcomes::wrong_postgres(c, first, last, MOST_BREAKS),
    }?;
    let total = wrong.first().map_or(0, |first| first.total);
    books.report.difference_count += count(total).saturating_sub(count_of(&wrong));
    for bet in wrong {
        books.add(difference(bet));
    }
    Ok(())
}

fn difference(wrong: WrongOutcome) -> Difference {
    let owner = format!("{} in game {}", wrong.bet, wrong.game);
    let check = match (&wrong.said, &wrong.kept) {
        (None, _) => Check::OutcomeWithoutEvent,
        (_, None) => Check::EventWithoutOutcome,
        (Some(said), Some(kept)) if said != kept => Check::Outcome,
        _ => return winnings(owner, &wrong),
    };
    // Of bets that ended so.
    let (expected, found) = match check {
        Check::OutcomeWithoutEvent => (0, 1),
        _ => (1, 0),
    };
    Difference {
        check,
        owner,
        line: None,
        expected,
        found,
        outcomes: Some(Outcomes {
            expected: wrong.said,
            found: wrong.kept,
        }),
    }
}

fn winnings(owner: String, wrong: &WrongOutcome) -> Difference {
    // An event that says no number says nothing of what was won.
    let said = wrong
        .winnings
        .as_ref()
        .map(|said| said.parse().unwrap_or(0));
    Difference {
        check: Check::Winnings,
        owner,
        line: None,
        expected: said.unwrap_or(0),
        found: wrong.paid.map_or(0, i128::from),
        outcomes: None,
    }
}
