//! What a schema of an earlier version lacks, and which checks want it.

use db_core::{Conn, ErrorKind, with_conn};
use db_schema::schema::users;
use diesel::{QueryDsl as _, RunQueryDsl as _};

use super::Check;
use crate::dialect::columns::has_column;
use crate::{Error, Result};

/// A column of the first version, by which lines of players are told from a table of somebody else.
const OF_LINES: (&str, &str) = ("transactions", "balance_before");

/// What came with a later version of the schema than the first, which has the lines of players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Balances and staking positions: V6.
    Balances,
    /// Accounts, and what a line does to each of the three balances: V11.
    Accounts,
    /// What happened in each game: V12.
    History,
}

impl Part {
    /// A column of it.
    const fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Balances => ("token_balances", "balance"),
            Self::Accounts => ("transactions", "locked_change"),
            Self::History => ("game_events", "payload"),
        }
    }

    /// What a check compares, but for what there always was.
    const fn of(check: Check) -> Option<Self> {
        match check {
            Check::Chain | Check::EndedBets => None,
            Check::Available | Check::ActivePositions | Check::ClaimedRewards => {
                Some(Self::Balances)
            }
            Check::Locked
            | Check::Staked
            | Check::OpenBets
            | Check::Account
            | Check::AccountChain
            | Check::Pot
            | Check::PotAccount
            | Check::EndedPot
            | Check::Answer
            | Check::Supply => Some(Self::Accounts),
            Check::BetWithoutEvent
            | Check::EventWithoutBet
            | Check::Stake
            | Check::OutcomeWithoutEvent
            | Check::EventWithoutOutcome
            | Check::Outcome
            | Check::Winnings => Some(Self::History),
        }
    }
}

/// Which parts the schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) balances: bool,
    pub(super) accounts: bool,
    pub(super) history: bool,
}

impl Parts {
    /// Those of the database, as it is now. One without lines of players is none of ours: what it holds under names of
    /// ours is not read.
    pub(super) fn read(conn: &mut Conn<'_>) -> Result<Self> {
        let (table, column) = OF_LINES;
        if !has_column(conn, table, column)? {
            // Whoever may not read is told that, and not what is there.
            if has_column(conn, "users", "id")? {
                with_conn!(conn, |c| users::table.select(users::id).limit(1).execute(c))?;
            }
            let told = "there are no tables of BitCraps";
            return Err(Error::Database(db_core::Error::new(
                ErrorKind::Statement,
                told,
            )));
        }
        let mut has = |part: Part| {
            let (table, column) = part.column();
            has_column(conn, table, column)
        };
        Ok(Self {
            balances: has(Part::Balances)?,
            accounts: has(Part::Accounts)?,
            history: has(Part::History)?,
        })
    }

    const fn has(self, part: Part) -> bool {
        match part {
            Part::Balances => self.balances,
            Part::Accounts => self.accounts,
            Part::History => self.history,
        }
    }

    /// The checks for which something is missing.
    pub(super) fn not_checked(self) -> Vec<Check> {
        let lacks = |check: &Check| Part::of(*check).is_some_and(|part| !self.has(part));
        Check::ALL.iter().copied().filter(lacks).collect()
    }
}
