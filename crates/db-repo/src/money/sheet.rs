//! Movements of many bets: the rows they change are read once, changed in memory, and written once.
//!
//! A statement for each movement costs a round trip on PostgreSQL. On SQLite each statement that ends
//! may walk all that the write has changed so far, so that a game of twice as many bets takes four
//! times as long. The lines, and what is refused, are those of the movements one by one.
//!
//! Lines are written as they come; a row that changes is written in the end, once. Written again and again
//! in one transaction it would cost more each time on PostgreSQL, which looks at the foreign keys of a row
//! that the same transaction has written even if they stay the same, and each time is one in the trail.

use std::collections::BTreeMap;

use db_core::{Conn, with_conn};
use db_schema::rows::{EntryType, TransactionType};
use db_schema::schema::{account_entries, token_balances, transactions};
use db_schema::types::UtcTime;
use diesel::prelude::*;

use super::accounts::{self, Account, Entry};
use super::balances::{self, Balances, Change, Line};
use super::ledger::Ledger;
use crate::dialect::{locking, sheet};
use crate::stats::{BetResolved, Counted};
use crate::{Error, Result};

/// A line that is not written yet.
struct SheetLine {
    user: String,
    kind: TransactionType,
    change: Change,
    /// What the player has available after it.
    after: i64,
    reference: String,
}

/// An account, as it was and as it is by now.
struct SheetAccount {
    id: String,
    before: i64,
    balance: i64,
}

/// A line of an account that is not written yet.
struct SheetEntry {
    account: String,
    kind: EntryType,
    amount: i64,
    after: i64,
    reference: String,
}

/// The books of some players, while money moves.
///
/// The caller holds the balances of all of them, and the game.
pub(super) struct Sheet<'c> {
    conn: Conn<'c>,
    /// What each player has by now.
    balances: BTreeMap<String, Balances>,
    lines: Vec<SheetLine>,
    accounts: Vec<SheetAccount>,
    entries: Vec<SheetEntry>,
    counted: Counted,
}

impl<'c> Sheet<'c> {
    /// Of nobody yet.
    pub(super) fn of(conn: &'c mut Conn<'_>) -> Self {
        Self {
            conn: conn.reborrow(),
            balances: BTreeMap::new(),
            lines: Vec::new(),
            accounts: Vec::new(),
            entries: Vec::new(),
            counted: Counted::default(),
        }
    }

    /// The connection, for what is on no sheet.
    pub(super) const fn conn(&mut self) -> &mut Conn<'c> {
        &mut self.conn
    }

    /// Reads what players have who are not on it, whoever is named more than once included.
    pub(super) fn read<'p>(&mut self, players: impl Iterator<Item = &'p str>) -> Result<()> {
        let mut players: Vec<_> = players
            .filter(|player| !self.balances.contains_key(*player))
            .collect();
        players.sort_unstable();
        players.dedup();
        for some in players.chunks(sheet::BATCH) {
            let found: Vec<(String, i64, i64, i64)> =
                with_conn!(self.conn, |c| token_balances::table
                    .filter(token_balances::user_id.eq_any(some))
                    .select((
                        token_balances::user_id,
                        token_balances::balance,
                        token_balances::locked_balance,
                        token_balances::staked_balance,
                    ))
                    .load(c))?;
            let found = found.into_iter();
            self.balances
                .extend(found.map(|(user, available, locked, staked)| {
                    (user, (available, locked, staked).into())
                }));
        }
        Ok(())
    }

    /// Writes the lines there are by now.
    ///
    /// # Errors
    /// `Database`.
    pub(super) fn write_down(&mut self, now: UtcTime) -> Result<()> {
        self.write_lines(now)?;
        self.lines.clear();
        self.write_entries(now)?;
        self.entries.clear();
        Ok(())
    }

    /// Writes what has become of the rows, when all lines are written; the connection.
    ///
    /// # Errors
    /// `Contended` if a row is not as it was read, which is to be held; `Database`.
    pub(super) fn write(mut self, now: UtcTime) -> Result<Conn<'c>> {
        self.write_balances(now)?;
        self.write_accounts(now)?;
        self.counted.write(&mut self.conn, now)?;
        Ok(self.conn)
    }

    fn write_balances(&mut self, now: UtcTime) -> Result<()> {
        let rows: Vec<_> = self.balances.iter().collect();
        for some in rows.chunks(sheet::BATCH) {
            if sheet::write_balances(&mut self.conn, some, now)? != some.len() {
                return Err(contended("the balances of a game's players"));
            }
        }
        Ok(())
    }

    fn write_lines(&mut self, now: UtcTime) -> Result<()> {
        for some in self.lines.chunks(sheet::BATCH) {
            let values: Vec<_> = some
                .iter()
                .map(|line| {
                    (
                        transactions::user_id.eq(&line.user),
                        transactions::transaction_type.eq(line.kind),
                        transactions::amount.eq(line.change.available),
                        transactions::balance_before.eq(line.after - line.change.available),
                        transactions::balance_after.eq(line.after),
                        transactions::status.eq("completed"),
                        transactions::reference_id.eq(&line.reference),
                        transactions::created_at.eq(now),
                        transactions::locked_change.eq(line.change.locked),
                        transactions::staked_change.eq(line.change.staked),
                    )
                })
                .collect();
            with_conn!(self.conn, |c| diesel::insert_into(transactions::table)
                .values(values)
                .execute(c))?;
        }
        Ok(())
    }

    fn write_accounts(&mut self, now: UtcTime) -> Result<()> {
        for account in &self.accounts {
            let SheetAccount {
                id,
                before,
                balance,
            } = account;
            if !accounts::replace(&mut self.conn, id, *before, *balance, now)? {
                return Err(contended(id));
            }
        }
        Ok(())
    }

    fn write_entries(&mut self, now: UtcTime) -> Result<()> {
        for some in self.entries.chunks(sheet::BATCH) {
            let values: Vec<_> = some
                .iter()
                .map(|entry| {
                    (
                        account_entries::account_id.eq(&entry.account),
                        account_entries::entry_type.eq(entry.kind),
                        account_entries::amount.eq(entry.amount),
                        account_entries::balance_before.eq(entry.after - entry.amount),
                        account_entries::balance_after.eq(entry.after),
                        account_entries::reference_id.eq(&entry.reference),
                        account_entries::created_at.eq(now),
                    )
                })
                .collect();
            with_conn!(self.conn, |c| diesel::insert_into(account_entries::table)
                .values(values)
                .execute(c))?;
        }
        Ok(())
    }

    /// An account on the sheet, held from now on.
    fn account(&mut self, account: Account<'_>) -> Result<&mut SheetAccount> {
        let id = account.id();
        let known = self.accounts.iter().position(|known| known.id == id);
        let place = known.unwrap_or(self.accounts.len());
        if known.is_none() {
            if let Conn::Postgres(c) = &mut self.conn {
                locking::account_postgres(c, &id)?;
            }
            let before = accounts::find(&mut self.conn, account)?
                .ok_or_else(|| Error::not_found("account", &id))?;
            self.accounts.push(SheetAccount {
                id,
                before,
                balance: before,
            });
        }
        Ok(&mut self.accounts[place])
    }
}

impl Ledger for Sheet<'_> {
    fn change(
        &mut self,
        user: &str,
        change: Change,
        line: Line<'_>,
        _now: UtcTime,
    ) -> Result<Balances> {
        let found = self.balances.get_mut(user);
        let known = found.as_deref().copied().unwrap_or_default();
        if let Some(refusal) = balances::refusal(user, known, change) {
            return Err(refusal);
        }
        let after = Balances {
            available: known.available + change.available,
            locked: known.locked + change.locked,
            staked: known.staked + change.staked,
        };
        // Without a row there is nothing to take, and whoever has bet has one.
        *found.ok_or_else(|| Error::not_found("balances", user))? = after;
        self.lines.push(SheetLine {
            user: user.to_owned(),
            kind: line.kind,
            change,
            after: after.available,
            reference: line.reference.to_owned(),
        });
        Ok(after)
    }

    fn change_account(
        &mut self,
        account: Account<'_>,
        amount: i64,
        entry: Entry<'_>,
        _now: UtcTime,
    ) -> Result<i64> {
        let known = self.account(account)?;
        if let Some(refusal) = account.refusal(known.balance, amount) {
            return Err(refusal);
        }
        known.balance += amount;
        let entry = SheetEntry {
            account: known.id.clone(),
            kind: entry.kind,
            amount,
            after: known.balance,
            reference: entry.reference.to_owned(),
        };
        let after = entry.after;
        self.entries.push(entry);
        Ok(after)
    }

    fn count(&mut self, bet: BetResolved<'_>, _now: UtcTime) -> Result<()> {
        self.counted.add(bet);
        Ok(())
    }
}

fn contended(owner: &str) -> Error {
    Error::Contended {
        owner: owner.to_owned(),
    }
}
