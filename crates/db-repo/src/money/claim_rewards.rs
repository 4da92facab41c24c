//! Rewards of a staking position are paid.

use db_core::Conn;
use db_schema::rows::OutboxType;
use db_schema::types::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::balances::{self, Balances};
use super::operations::{Asked, OperationKind, once};
use super::{positions, tell};
use crate::{Result, check};

/// Asks for the rewards of a staking position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimRewards {
    /// Chosen by the caller, once per claim.
    #[serde(skip)]
    pub reference: String,
    /// Which position.
    pub position_id: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedRewards {
    /// What the treasury paid; 0 if nothing was due.
    pub reward: i64,
    /// What it has paid for this position in all.
    pub claimed_rewards: i64,
    /// What the player has.
    pub balances: Balances,
}

/// Pays what a staking position has earned since it began, less what was claimed before.
///
/// # Errors
/// `Invalid`, `NotFound` staking position, `PositionClosed`, `TreasuryShort`, `Overflow`,
/// `ReferenceConflict`, `Database`.
pub fn claim_rewards(
    conn: &mut Conn<'_>,
    request: &ClaimRewards,
    now: UtcTime,
) -> Result<ClaimedRewards> {
    check::key("position_id", &request.position_id)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::ClaimRewards,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let position = positions::hold(conn, &request.position_id)?;
        let reward = positions::due(&position, now)?;
        let claimed_rewards = position.claimed_rewards + reward;
        if reward == 0 {
            let found = balances::find(conn, &position.user_id)?;
            return Ok(ClaimedRewards {
                reward,
                claimed_rewards,
                balances: found.unwrap_or_default(),
            });
        }
        let balances = positions::pay(conn, &position, reward, now)?;
        positions::update(conn, &position, claimed_rewards, true)?;
        let payload = json!({
            "reference": reference, "position_id": position.id, "user_id": position.user_id,
            "reward": reward, "claimed_rewards": claimed_rewards,
        });
        tell(
            conn,
            Some(&position.user_id),
            OutboxType::RewardsClaimed,
            payload,
            now,
        )?;
        Ok(ClaimedRewards {
            reward,
            claimed_rewards,
            balances,
        })
    })
}
