//! Where movements of money are written down: in the database one by one, or on a
//! [sheet](super::sheet) first.

use db_core::Conn;
use db_schema::types::UtcTime;

use super::accounts::{self, Account, Entry};
use super::balances::{self, Balances, Change, Line};
use crate::stats::BetResolved;
use crate::{Result, StatsRepository};

/// Takes movements, each complete or not at all.
pub(super) trait Ledger {
    /// Moves a player's money; what the player has then.
    fn change(
        &mut self,
        user: &str,
        change: Change,
        line: Line<'_>,
        now: UtcTime,
    ) -> Result<Balances>;

    /// Moves an account's money; what it has then.
    fn change_account(
        &mut self,
        account: Account<'_>,
        amount: i64,
        entry: Entry<'_>,
        now: UtcTime,
    ) -> Result<i64>;

    /// Counts how a bet ended.
    fn count(&mut self, bet: BetResolved<'_>, now: UtcTime) -> Result<()>;
}

impl Ledger for Conn<'_> {
    fn change(
        &mut self,
        user: &str,
        change: Change,
        line: Line<'_>,
        now: UtcTime,
    ) -> Result<Balances> {
        balances::change(self, user, change, line, now)
    }

    fn change_account(
        &mut self,
        account: Account<'_>,
        amount: i64,
        entry: Entry<'_>,
        now: UtcTime,
    ) -> Result<i64> {
        accounts::change(self, account, amount, entry, now)
    }

    fn count(&mut self, bet: BetResolved<'_>, now: UtcTime) -> Result<()> {
        StatsRepository::bet_resolved(self, bet, now)
    }
}
