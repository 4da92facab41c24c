//! The staking position that money moves in: its row, held, and its rewards.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{EntryType, StakingPosition, TransactionType};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Text};

use super::accounts::{self, Account, Entry};
use super::balances::{self, Balances, Change, Line};
use super::reward;
use crate::dialect::locking;
use crate::refusal::touched_one;
use crate::{Error, Result};

statement! {
    struct FindPosition<'a> {
        id: &'a str as Text,
    }
    returns (Text, Text, BigInt, Integer, Double, UtcTimestamp, UtcTimestamp, BigInt, Bool);
    "SELECT id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at,
    claimed_rewards, is_active FROM staking_positions WHERE id = " id
}

statement! {
    struct UpdatePosition<'a> {
        id: &'a str as Text,
        claimed: i64 as BigInt,
        active: bool as Bool,
    }
    "UPDATE staking_positions SET claimed_rewards = " claimed ", is_active = " active
    " WHERE id = " id
}

/// Holds a position that is active.
pub(super) fn hold(conn: &mut Conn<'_>, id: &str) -> Result<StakingPosition> {
    if let Conn::Postgres(c) = conn {
        locking::position_postgres(c, id)?;
    }
    let found: Option<StakingPosition> =
        with_conn!(conn, |c| FindPosition { id }.get_result(c)).optional()?;
    let position = found.ok_or_else(|| Error::not_found("staking position", id))?;
    if position.is_active {
        return Ok(position);
    }
    Err(Error::PositionClosed(id.to_owned()))
}

/// What it has earned and was not paid.
pub(super) fn due(position: &StakingPosition, now: UtcTime) -> Result<i64> {
    let earned = reward(position, now).ok_or_else(|| Error::Overflow {
        owner: position.user_id.clone(),
    })?;
    Ok((earned - position.claimed_rewards).max(0))
}

/// The treasury pays a reward; what the player has then.
pub(super) fn pay(
    conn: &mut Conn<'_>,
    position: &StakingPosition,
    reward: i64,
    now: UtcTime,
) -> Result<Balances> {
    let line = Line::of(TransactionType::Reward, &position.id);
    let change = Change::available(reward);
    let balances = balances::change(conn, &position.user_id, change, line, now)?;
    let entry = Entry {
        kind: EntryType::Reward,
        reference: &position.id,
    };
    accounts::change(conn, Account::Treasury, -reward, entry, now)?;
    Ok(balances)
}

/// Writes down what was paid, and whether the money stays in it.
pub(super) fn update(
    conn: &mut Conn<'_>,
    position: &StakingPosition,
    claimed: i64,
    active: bool,
) -> Result<()> {
    let update = UpdatePosition {
        id: &position.id,
        claimed,
        active,
    };
    let rows = with_conn!(conn, |c| update.execute(c))?;
    touched_one(rows, "staking position", &position.id)
}
