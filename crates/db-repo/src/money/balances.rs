//! The three balances of a player, and the lines that say how they came about.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::TransactionType;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a player has, smallest unit of CRAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balances {
    /// Free to use.
    pub available: i64,
    /// Held by open bets and holds.
    pub locked: i64,
    /// Held in active staking positions.
    pub staked: i64,
}

impl From<(i64, i64, i64)> for Balances {
    fn from((available, locked, staked): (i64, i64, i64)) -> Self {
        Self {
            available,
            locked,
            staked,
        }
    }
}

/// How often a balance is looked at that changes between the looks.
pub(super) const LOOKS: usize = 8;

/// What a movement does to each balance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) available: i64,
    pub(super) locked: i64,
    pub(super) staked: i64,
}

impl Change {
    /// To or from the outside of the three.
    pub(super) const fn available(amount: i64) -> Self {
        Self {
            available: amount,
            locked: 0,
            staked: 0,
        }
    }

    /// Whether money comes in and nothing else, which needs no row to be there before.
    const fn is_income(self) -> bool {
        self.available >= 0 && self.locked == 0 && self.staked == 0
    }

    /// What the player gets or loses in all. Amounts are bounded, so it cannot overflow.
    const fn total(self) -> i64 {
        self.available + self.locked + self.staked
    }
}

/// What a line says beside its amounts.
pub(super) struct Line<'a> {
    pub(super) kind: TransactionType,
    pub(super) reference: &'a str,
    pub(super) metadata: Option<Json>,
}

impl<'a> Line<'a> {
    /// One that says nothing more.
    pub(super) const fn of(kind: TransactionType, reference: &'a str) -> Self {
        Self {
            kind,
            reference,
            metadata: None,
        }
    }
}

statement! {
    /// All movements of a player: none goes below zero, and all three together stay a 64-bit number.
    struct ChangeBalances<'a> {
        user: &'a str as Text,
        available: i64 as BigInt,
        locked: i64 as BigInt,
        staked: i64 as BigInt,
        available_least: i64 as BigInt,
        locked_least: i64 as BigInt,
        staked_least: i64 as BigInt,
        most: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    returns (BigInt, BigInt, BigInt);
    "UPDATE token_balances SET balance = balance + " available
    ", locked_balance = locked_balance + " locked
    ", staked_balance = staked_balance + " staked ", last_updated = " now
    " WHERE user_id = " user " AND balance >= " available_least
    " AND locked_balance >= " locked_least " AND staked_balance >= " staked_least
    " AND balance + locked_balance + staked_balance <= " most
    " RETURNING balance, locked_balance, staked_balance"
}

statement! {
    /// The first money of a player; nothing if there is a row already.
    struct FirstBalance<'a> {
        user: &'a str as Text,
        balance: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO token_balances (user_id, balance, locked_balance, staked_balance, last_updated)
    VALUES (" user ", " balance ", 0, 0, " now ") ON CONFLICT DO NOTHING"
}

statement! {
    struct FindBalances<'a> {
        user: &'a str as Text,
    }
    returns (BigInt, BigInt, BigInt);
    "SELECT balance, locked_balance, staked_balance FROM token_balances WHERE user_id = " user
}

statement! {
    struct UserExists<'a> {
        user: &'a str as Text,
    }
    returns Bool;
    "SELECT EXISTS (SELECT 1 FROM users WHERE id = " user ")"
}

statement! {
    struct AddLine<'a> {
        user: &'a str as Text,
        kind: TransactionType as Text,
        amount: i64 as BigInt,
        before: i64 as BigInt,
        after: i64 as BigInt,
        reference: &'a str as Text,
        now: UtcTime as UtcTimestamp,
        metadata: Option<Json> as Nullable<JsonDoc>,
        locked: i64 as BigInt,
        staked: i64 as BigInt,
    }
    "INSERT INTO transactions (user_id, transaction_type, amount, balance_before, balance_after,
    status, reference_id, created_at, metadata, locked_change, staked_change) VALUES ("
    user ", " kind ", " amount ", " before ", " after ", 'completed', " reference ", " now ", "
    metadata ", " locked ", " staked ")"
}

/// Moves a player's money and writes the line; what the player has then. A player without a row of
/// balances gets one if money comes in.
pub(super) fn change(
    conn: &mut Conn<'_>,
    user: &str,
    change: Change,
    line: Line<'_>,
    now: UtcTime,
) -> Result<Balances> {
    let after = match update(conn, user, change, now)? {
        Some(after) => after,
        None => first(conn, user, change, now)?,
    };
    let line = AddLine {
        user,
        kind: line.kind,
        amount: change.available,
        before: after.available - change.available,
        after: after.available,
        reference: line.reference,
        now,
        metadata: line.metadata,
        locked: change.locked,
        staked: change.staked,
    };
    with_conn!(conn, |c| line.execute(c))?;
    Ok(after)
}

fn update(
    conn: &mut Conn<'_>,
    user: &str,
    change: Change,
    now: UtcTime,
) -> Result<Option<Balances>> {
    let update = ChangeBalances {
        user,
        available: change.available,
        locked: change.locked,
        staked: change.staked,
        available_least: -change.available,
        locked_least: -change.locked,
        staked_least: -change.staked,
        most: i64::MAX - change.total().max(0),
        now,
    };
    let after: Option<(i64, i64, i64)> = with_conn!(conn, |c| update.get_result(c)).optional()?;
    Ok(after.map(Balances::from))
}

/// The conditional update found no row that can take the change: there is none, or why not.
///
/// Between two looks on PostgreSQL a rival may make the row, or change it so that it could take the
/// change after all; then it is tried again.
fn first(conn: &mut Conn<'_>, user: &str, change: Change, now: UtcTime) -> Result<Balances> {
    for _ in 0..LOOKS {
        if let Some(refusal) = why_not(conn, user, change)? {
            return Err(refusal);
        }
        if change.is_income() && insert(conn, user, change.available, now)? {
            return Ok(Balances {
                available: change.available,
                ..Balances::default()
            });
        }
        if let Some(after) = update(conn, user, change, now)? {
            return Ok(after);
        }
    }
    Err(Error::Contended {
        owner: user.to_owned(),
    })
}

/// Makes the row of a player's balances, unless there is one.
fn insert(conn: &mut Conn<'_>, user: &str, balance: i64, now: UtcTime) -> Result<bool> {
    let insert = FirstBalance { user, balance, now };
    Ok(with_conn!(conn, |c| insert.execute(c))? == 1)
}

/// Why a player's balances cannot take a change; `None` if they can.
pub(super) fn why_not(conn: &mut Conn<'_>, user: &str, change: Change) -> Result<Option<Error>> {
    let balances = match find(conn, user)? {
        Some(balances) => balances,
        None => match exists(conn, user) {
            Ok(()) => Balances::default(),
            Err(refusal) if refusal.is_domain() => return Ok(Some(refusal)),
            Err(failed) => return Err(failed),
        },
    };
    Ok(refusal(user, balances, change))
}

/// Why balances cannot take a change; `None` if they can.
pub(super) fn refusal(user: &str, balances: Balances, change: Change) -> Option<Error> {
    if balances.available < -change.available {
        return Some(Error::InsufficientFunds {
            user: user.to_owned(),
            needed: -change.available,
            available: balances.available,
        });
    }
    for (balance, held, needed) in [
        ("locked_balance", balances.locked, -change.locked),
        ("staked_balance", balances.staked, -change.staked),
    ] {
        if held < needed {
            return Some(Error::Imbalance {
                user: user.to_owned(),
                balance,
                needed,
                held,
            });
        }
    }
    let room = i64::MAX - change.total().max(0);
    let total =
        i128::from(balances.available) + i128::from(balances.locked) + i128::from(balances.staked);
    (total > i128::from(room)).then(|| Error::Overflow {
        owner: user.to_owned(),
    })
}

/// What a player has; `None` without a row of balances.
pub(super) fn find(conn: &mut Conn<'_>, user: &str) -> Result<Option<Balances>> {
    let found: Option<(i64, i64, i64)> =
        with_conn!(conn, |c| FindBalances { user }.get_result(c)).optional()?;
    Ok(found.map(Balances::from))
}

/// A player who has to be there.
pub(super) fn exists(conn: &mut Conn<'_>, user: &str) -> Result<()> {
    if with_conn!(conn, |c| UserExists { user }.get_result(c))? {
        return Ok(());
    }
    Err(Error::not_found("user", user))
}
