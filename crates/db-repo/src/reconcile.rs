//! Does the money add up? Recomputes every balance from its lines, and looks for the events of every bet.
//!
//! Players, accounts and games are taken a batch at a time, in the order of their keys; the database sums
//! up the lines of a batch, so that memory is bounded however many lines there are.

mod accounts;
mod bets;
mod difference;
mod games;
mod operations;
mod outcomes;
mod part;
mod players;

use db_core::Conn;
use serde::Serialize;

pub use difference::{Check, Difference, Outcomes};

use self::part::Parts;
use crate::{Error, Result, TokenRepository, check};

/// Most rows of a batch.
const MOST: i64 = 10_000;

/// Most broken links of one batch that are read. Their number is counted all the same.
pub(crate) const MOST_BREAKS: i64 = 1_000;

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciliation {
    batch: i64,
    most_differences: usize,
}

/// What was looked at, and what does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ReconcileReport {
    /// Players.
    pub users: u64,
    /// Their completed lines.
    pub transactions: u64,
    /// Their open bets.
    pub open_bets: u64,
    /// Their active staking positions.
    pub active_positions: u64,
    /// Accounts of the house, the treasury and pots.
    pub accounts: u64,
    /// Their lines.
    pub account_entries: u64,
    /// Games, whose pots are mirrored.
    pub games: u64,
    /// What all balances and accounts add up to, smallest unit of CRAP: those that the schema has.
    pub total_supply: i64,
    /// What could not be checked, since a schema of this version does not have it yet.
    pub not_checked: Vec<Check>,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Default for Reconciliation {
    fn default() -> Self {
        Self::new()
    }
}

impl Reconciliation {
    /// The tables whose rows are needed: a database without those of one of them may not add up. Without
    /// those of `game_events`, no game has a history that its bets could differ from.
    pub const TABLES: [&str; 9] = [
        "account_entries",
        "accounts",
        "bets",
        "games",
        "operations",
        "staking_positions",
        "token_balances",
        "transactions",
        "users",
    ];

    /// A thousand players at a time; a report names up to a thousand differences.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            batch: 1_000,
            most_differences: 1_000,
        }
    }

    /// How many players, accounts or games to take at a time, at most 10,000.
    #[must_use]
    pub const fn with_batch(mut self, batch: i64) -> Self {
        self.batch = batch;
        self
    }

    /// How many differences the report names.
    #[must_use]
    pub const fn with_most_differences(mut self, most: usize) -> Self {
        self.most_differences = most;
        self
    }

    /// Looks at everything. Call it in one [`read`](db_core::Database::read), so that all that it
    /// sees is of one moment: beside writes that go on, sums of two moments would differ.
    ///
    /// - Each balance of a player is the sum of what the completed lines do to it.
    /// - Each line of a player begins with what the one before left, the first with nothing.
    /// - What is locked is what open bets and holds say, what is staked what active positions say.
    /// - What a position has paid in rewards is what the reward lines that name it say.
    /// - Each account is the sum of its lines, which form a chain as well.
    /// - The pot of a game is what its account holds. A game that goes on has one; one that has ended
    ///   holds nothing, and no bet in it is open.
    /// - In a game with a history each bet has an event, of its player and its stake, and each such event
    ///   its bet.
    /// - Each of those bets that is settled has an event of its outcome as well, and each such event its bet;
    ///   what its lines have paid beyond the stake is what the event says was won.
    /// - Each operation has an answer.
    /// - All of it together is what came in from outside less what went out.
    ///
    /// A database at any version of the schema will do: what it does not have yet is not looked at, and
    /// [`not_checked`](ReconcileReport::not_checked) names the checks. Before V6 there are no balances, before
    /// V11 no accounts, and lines do not say what is locked and staked; before V12 games have no history.
    ///
    /// Lines from before version V11 of the schema say nothing of the locked and the staked balance,
    /// so a player who had something locked or staked then differs in [`Check::Locked`] or
    /// [`Check::Staked`] by what that was. Games that ended before V11 have no account of their pot,
    /// and need none. A reward line that names no position is part of the player's balance only. Bets of
    /// the past ([`create_many`](crate::BetRepository::create_many)), which are settled and of whose stake no
    /// line says anything, need no events.
    ///
    /// # Errors
    /// `Invalid` for a batch that cannot be; `Overflow` for a supply beyond 64 bits; `Database`, any
    /// other sum beyond them among these, and of the kind `Statement` where the tables are none of ours.
    pub fn run(&self, conn: &mut Conn<'_>) -> Result<ReconcileReport> {
        check::within("batch", self.batch, 1..=MOST)?;
        let parts = Parts::read(conn)?;
        let mut books = Books::new(self.most_differences);
        books.report.not_checked = parts.not_checked();
        players::check(conn, self.batch, parts, &mut books)?;
        if parts.accounts {
            accounts::check(conn, self.batch, &mut books)?;
        }
        games::check(conn, self.batch, parts, &mut books)?;
        if parts.accounts {
            operations::check(conn, &mut books)?;
            let supply = TokenRepository::total_supply(conn)?;
            books.compare(Check::Supply, "all accounts", books.outside, supply.into());
            books.report.total_supply = supply;
        } else {
            books.report.total_supply = books.of_players()?;
        }
        Ok(books.report)
    }
}

impl ReconcileReport {
    /// Whether everything adds up.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.difference_count == 0
    }
}

/// What is known so far.
struct Books {
    report: ReconcileReport,
    most: usize,
    /// What came in from outside less what went out.
    outside: i128,
    /// What all players have.
    stored: i128,
}

impl Books {
    fn new(most: usize) -> Self {
        Self {
            report: ReconcileReport::default(),
            most,
            outside: 0,
            stored: 0,
        }
    }

    fn of_players(&self) -> Result<i64> {
        i64::try_from(self.stored).map_err(|_| Error::Overflow {
            owner: "all together".to_owned(),
        })
    }

    fn compare(&mut self, check: Check, owner: &str, expected: i128, found: i128) {
        if expected != found {
            self.add(Difference {
                check,
                owner: owner.to_owned(),
                line: None,
                expected,
                found,
                outcomes: None,
            });
        }
    }

    fn add(&mut self, difference: Difference) {
        self.report.difference_count += 1;
        if self.report.differences.len() < self.most {
            self.report.differences.push(difference);
        }
    }

    /// Of broken links, of which only the first were read.
    fn add_breaks(&mut self, check: Check, breaks: Vec<Break>) {
        let total = breaks.first().map_or(0, |first| first.total);
        let read = count_of(&breaks);
        for broken in breaks {
            self.add(Difference {
                check,
                owner: broken.owner,
                line: Some(broken.line),
                expected: broken.expected.into(),
                found: broken.found.into(),
                outcomes: None,
            });
        }
        self.report.difference_count += count(total).saturating_sub(read);
    }
}

/// A line that does not begin where the one before ended.
#[derive(diesel::Queryable)]
struct Break {
    owner: String,
    line: i64,
    expected: i64,
    found: i64,
    /// How many such lines there are in the batch.
    total: i64,
}

/// How many there are.
fn count_of<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// A number of rows.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}
