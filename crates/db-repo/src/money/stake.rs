//! A player locks money away for a reward.

use chrono::TimeDelta;
use db_core::{Conn, statement, with_conn};
use db_schema::rows::{OutboxType, StakingPosition, TransactionType};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Text};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::rewards::{LARGEST_RATE, reward};
use super::{MOST, tell};
use crate::refusal::refused;
use crate::{Error, Result, check};

/// Longest lock, in days, as the schema has it.
const LONGEST: i32 = 36_500;

statement! {
    struct OpenPosition<'a> {
        id: &'a str as Text,
        user: &'a str as Text,
        amount: i64 as BigInt,
        days: i32 as Integer,
        rate: f64 as Double,
        now: UtcTime as UtcTimestamp,
        ends_at: UtcTime as UtcTimestamp,
    }
    "INSERT INTO staking_positions (id, user_id, amount, lock_period_days, reward_rate, started_at,
    ends_at) VALUES (" id ", " user ", " amount ", " days ", " rate ", " now ", " ends_at ")"
}

/// A player locks money away for a reward.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stake {
    /// Chosen by the caller, once per position.
    #[serde(skip)]
    pub reference: String,
    /// Key of the position to be.
    pub position_id: String,
    /// Who.
    pub user_id: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
    /// Days until it ends, 0 to 36,500.
    pub lock_period_days: i32,
    /// Simple interest per year of 365 days, 0 to 1,000,000: 0.05 is five per cent.
    pub reward_rate: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staked {
    /// The position.
    pub position_id: String,
    /// When it ends.
    pub ends_at: UtcTime,
    /// What the player has.
    pub balances: Balances,
}

/// Locks money away in a staking position.
///
/// # Errors
/// `Invalid`, `NotFound` user, `InsufficientFunds`, `AlreadyExists` staking position,
/// `ReferenceConflict`, `Database`.
pub fn stake(conn: &mut Conn<'_>, request: &Stake, now: UtcTime) -> Result<Staked> {
    check::key("position_id", &request.position_id)?;
    check::key("user_id", &request.user_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    check::within("lock_period_days", request.lock_period_days, 0..=LONGEST)?;
    check::within("reward_rate", request.reward_rate, 0.0..=LARGEST_RATE)?;
    let ends_at = ends_at(now, request.lock_period_days)?;
    check_reward(request, now, ends_at)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Stake,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let change = Change {
            available: -request.amount,
            locked: 0,
            staked: request.amount,
        };
        let line = Line::of(TransactionType::Stake, &request.position_id);
        let balances = balances::change(conn, &request.user_id, change, line, now)?;
        open(conn, request, now, ends_at)?;
        let payload = json!({
            "reference": reference, "position_id": request.position_id,
            "user_id": request.user_id, "amount": request.amount, "ends_at": ends_at,
        });
        tell(
            conn,
            Some(&request.user_id),
            OutboxType::Staked,
            payload,
            now,
        )?;
        Ok(Staked {
            position_id: request.position_id.clone(),
            ends_at,
            balances,
        })
    })
}

/// A reward that no 64-bit number holds could never be paid, and the position never be closed.
fn check_reward(request: &Stake, now: UtcTime, ends_at: UtcTime) -> Result<()> {
    let position = StakingPosition {
        id: request.position_id.clone(),
        user_id: request.user_id.clone(),
        amount: request.amount,
        lock_period_days: request.lock_period_days,
        reward_rate: request.reward_rate,
        started_at: now,
        ends_at,
        claimed_rewards: 0,
        is_active: true,
    };
    let bearable = reward(&position, ends_at).is_some_and(|reward| reward <= MOST);
    check::rule(
        "reward_rate",
        bearable,
        "must not earn more than 9,000,000,000,000,000 until the end",
    )
}

fn ends_at(now: UtcTime, days: i32) -> Result<UtcTime> {
    let end = now.checked_add_signed(TimeDelta::days(i64::from(days)));
    end.map(UtcTime::from).ok_or_else(|| Error::Invalid {
        field: "lock_period_days",
        rule: "must end in a year that a date can hold".to_owned(),
    })
}

fn open(conn: &mut Conn<'_>, request: &Stake, now: UtcTime, ends_at: UtcTime) -> Result<()> {
    let open = OpenPosition {
        id: &request.position_id,
        user: &request.user_id,
        amount: request.amount,
        days: request.lock_period_days,
        rate: request.reward_rate,
        now,
        ends_at,
    };
    let opened = with_conn!(conn, |c| open.execute(c));
    opened.map(drop).map_err(|error| {
        let taken = |constraint: &str| {
            (constraint == "pk_staking_positions")
                .then(|| Error::already_exists("staking position", &request.position_id))
        };
        refused(conn, error, taken, &[])
    })
}
