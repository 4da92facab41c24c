//! The accounts of the house, the treasury and the pots, and their lines.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::EntryType;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::balances::LOOKS;
use crate::{Error, Result};

/// An account that is no player's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account<'a> {
    House,
    Treasury,
    /// Of the game with this key.
    Pot(&'a str),
}

impl Account<'_> {
    /// Its key.
    pub(super) fn id(self) -> String {
        match self {
            Self::House => "house".to_owned(),
            Self::Treasury => "treasury".to_owned(),
            Self::Pot(game) => format!("pot:{game}"),
        }
    }

    /// Why it cannot take a change, with what it has; `None` if it can.
    pub(super) fn refusal(self, available: i64, amount: i64) -> Option<Error> {
        if available < -amount {
            return Some(self.short(-amount, available));
        }
        (available > i64::MAX - amount.max(0)).then(|| Error::Overflow { owner: self.id() })
    }

    /// It cannot pay.
    fn short(self, needed: i64, available: i64) -> Error {
        match self {
            Self::House => Error::HouseShort { needed, available },
            Self::Treasury => Error::TreasuryShort { needed, available },
            Self::Pot(game) => Error::PotShort {
                game: game.to_owned(),
                needed,
                available,
            },
        }
    }
}

/// What a line says beside its amounts.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) kind: EntryType,
    pub(super) reference: &'a str,
}

statement! {
    struct ChangeAccount<'a> {
        id: &'a str as Text,
        amount: i64 as BigInt,
        least: i64 as BigInt,
        most: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    returns BigInt;
    "UPDATE accounts SET balance = balance + " amount ", updated_at = " now
    " WHERE id = " id " AND balance >= " least " AND balance <= " most " RETURNING balance"
}

statement! {
    /// Of an account that has what it had.
    struct ReplaceBalance<'a> {
        id: &'a str as Text,
        before: i64 as BigInt,
        after: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE accounts SET balance = " after ", updated_at = " now
    " WHERE id = " id " AND balance = " before
}

statement! {
    struct FindAccount<'a> {
        id: &'a str as Text,
    }
    returns BigInt;
    "SELECT balance FROM accounts WHERE id = " id
}

statement! {
    struct AddEntry<'a> {
        account: &'a str as Text,
        kind: EntryType as Text,
        amount: i64 as BigInt,
        before: i64 as BigInt,
        after: i64 as BigInt,
        reference: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO account_entries (account_id, entry_type, amount, balance_before, balance_after,
    reference_id, created_at) VALUES (" account ", " kind ", " amount ", " before ", " after ", "
    reference ", " now ")"
}

statement! {
    struct OpenPot<'a> {
        id: &'a str as Text,
        game: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO accounts (id, kind, game_id, balance, created_at, updated_at)
    VALUES (" id ", 'pot', " game ", 0, " now ", " now ")"
}

/// Moves an account's money and writes the line; what the account has then.
pub(super) fn change(
    conn: &mut Conn<'_>,
    account: Account<'_>,
    amount: i64,
    entry: Entry<'_>,
    now: UtcTime,
) -> Result<i64> {
    let id = account.id();
    let mut looks = 0;
    let after: i64 = loop {
        let update = ChangeAccount {
            id: &id,
            amount,
            least: -amount,
            most: i64::MAX - amount.max(0),
            now,
        };
        if let Some(after) = with_conn!(conn, |c| update.get_result(c)).optional()? {
            break after;
        }
        // On PostgreSQL a rival may have changed it in between, so that it could be taken after all.
        if let Some(refusal) = why_not(conn, account, amount)? {
            return Err(refusal);
        }
        looks += 1;
        if looks == LOOKS {
            return Err(Error::Contended { owner: id });
        }
    };
    let entry = AddEntry {
        account: &id,
        kind: entry.kind,
        amount,
        before: after - amount,
        after,
        reference: entry.reference,
        now,
    };
    with_conn!(conn, |c| entry.execute(c))?;
    Ok(after)
}

/// Sets what an account has, whose lines the caller writes; false if it had something else by now.
pub(super) fn replace(
    conn: &mut Conn<'_>,
    id: &str,
    before: i64,
    after: i64,
    now: UtcTime,
) -> Result<bool> {
    let replace = ReplaceBalance {
        id,
        before,
        after,
        now,
    };
    Ok(with_conn!(conn, |c| replace.execute(c))? == 1)
}

/// Why an account cannot take a change; `None` if it can.
fn why_not(conn: &mut Conn<'_>, account: Account<'_>, amount: i64) -> Result<Option<Error>> {
    Ok(match find(conn, account)? {
        None => Some(Error::not_found("account", account.id())),
        Some(available) => account.refusal(available, amount),
    })
}

/// What an account has.
pub(super) fn find(conn: &mut Conn<'_>, account: Account<'_>) -> Result<Option<i64>> {
    let id = account.id();
    Ok(with_conn!(conn, |c| FindAccount { id: &id }.get_result(c)).optional()?)
}

/// Opens the account of a new game's pot.
pub(crate) fn open_pot(conn: &mut Conn<'_>, game: &str, now: UtcTime) -> Result<()> {
    let id = Account::Pot(game).id();
    let open = OpenPot { id: &id, game, now };
    with_conn!(conn, |c| open.execute(c))?;
    Ok(())
}
