//! What was staked comes back.

use db_core::Conn;
use db_schema::rows::{
    NewNotification, NotificationType, OutboxType, StakingPosition, TransactionType,
};
use db_schema::types::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{positions, tell};
use crate::{NotificationRepository, Result, check};

/// Closes a staking position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unstake {
    /// Chosen by the caller, once per position.
    #[serde(skip)]
    pub reference: String,
    /// Which position.
    pub position_id: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unstaked {
    /// What was staked.
    pub amount: i64,
    /// What the treasury paid with it; 0 before the end.
    pub reward: i64,
    /// What the player has.
    pub balances: Balances,
}

/// Closes a staking position: what was staked is available again. At its end or later the treasury
/// pays the rewards that were not claimed; before, they are forfeit.
///
/// # Errors
/// `Invalid`, `NotFound` staking position, `PositionClosed`, `TreasuryShort`, `Overflow`,
/// `ReferenceConflict`, `Database`.
pub fn unstake(conn: &mut Conn<'_>, request: &Unstake, now: UtcTime) -> Result<Unstaked> {
    check::key("position_id", &request.position_id)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Unstake,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let position = positions::hold(conn, &request.position_id)?;
        let reward = if now < position.ends_at {
            0
        } else {
            positions::due(&position, now)?
        };
        let change = Change {
            available: position.amount,
            locked: 0,
            staked: -position.amount,
        };
        let user = position.user_id.as_str();
        let line = Line::of(TransactionType::Unstake, &position.id);
        let mut balances = balances::change(conn, user, change, line, now)?;
        if reward > 0 {
            balances = positions::pay(conn, &position, reward, now)?;
        }
        positions::update(conn, &position, position.claimed_rewards + reward, false)?;
        announce(conn, request, &position, reward, now)?;
        Ok(Unstaked {
            amount: position.amount,
            reward,
            balances,
        })
    })
}

fn announce(
    conn: &mut Conn<'_>,
    request: &Unstake,
    position: &StakingPosition,
    reward: i64,
    now: UtcTime,
) -> Result<()> {
    let payload = json!({
        "reference": request.reference, "position_id": position.id,
        "user_id": position.user_id, "amount": position.amount, "reward": reward,
    });
    tell(
        conn,
        Some(&position.user_id),
        OutboxType::Unstaked,
        payload,
        now,
    )?;
    let metadata = json!({
        "position_id": position.id, "amount": position.amount, "reward": reward,
    });
    let note = NewNotification {
        user_id: position.user_id.clone(),
        notification_type: NotificationType::StakeEnded,
        title: "Stake ended".to_owned(),
        message: format!(
            "{} CRAP are available again, with a reward of {reward}.",
            position.amount
        ),
        metadata: Some(metadata.into()),
        created_at: now,
    };
    NotificationRepository::create(conn, &note).map(drop)
}
