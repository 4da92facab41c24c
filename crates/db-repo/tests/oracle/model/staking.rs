//! Staking positions.

use db_repo::Error;
use db_repo::money::{ClaimRewards, ClaimedRewards, Stake, Staked, Unstake, Unstaked, reward};
use db_schema::rows::StakingPosition;
use db_schema::types::UtcTime;

use super::{Answer, Model, not_found, value};

impl Model {
    pub(super) fn stake(&mut self, r: &Stake, now: UtcTime) -> Answer {
        let balances = self.change(&r.user_id, [-r.amount, 0, r.amount])?;
        if self.positions.contains_key(&r.position_id) {
            return Err(Error::AlreadyExists {
                entity: "staking position",
                key: r.position_id.clone(),
            });
        }
        let position = position(r, now);
        let ends_at = position.ends_at;
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(Staked {
            position_id: r.position_id.clone(),
            ends_at,
            balances,
        }))
    }

    fn position(&self, id: &str) -> Result<StakingPosition, Error> {
        match self.positions.get(id) {
            None => Err(not_found("staking position", id)),
            Some(position) if !position.is_active => Err(Error::PositionClosed(id.to_owned())),
            Some(position) => Ok(position.clone()),
        }
    }

    /// Pays what is due of a position from the treasury.
    fn pay(&mut self, position: &mut StakingPosition, now: UtcTime) -> Result<i64, Error> {
        let due = reward(position, now).unwrap() - position.claimed_rewards;
        if self.treasury < due {
            return Err(Error::TreasuryShort {
                needed: due,
                available: self.treasury,
            });
        }
        self.treasury -= due;
        position.claimed_rewards += due;
        self.change(&position.user_id, [due, 0, 0])?;
        Ok(due)
    }

    pub(super) fn claim(&mut self, r: &ClaimRewards, now: UtcTime) -> Answer {
        let mut position = self.position(&r.position_id)?;
        let reward = self.pay(&mut position, now)?;
        let answer = ClaimedRewards {
            reward,
            claimed_rewards: position.claimed_rewards,
            balances: self.users[&position.user_id],
        };
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(answer))
    }

    pub(super) fn unstake(&mut self, r: &Unstake, now: UtcTime) -> Answer {
        let mut position = self.position(&r.position_id)?;
        let amount = position.amount;
        self.change(&position.user_id, [amount, 0, -amount])?;
        let reward = if now >= position.ends_at {
            self.pay(&mut position, now)?
        } else {
            0
        };
        position.is_active = false;
        let balances = self.users[&position.user_id];
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(Unstaked {
            amount,
            reward,
            balances,
        }))
    }
}

/// What a position will have earned when it ends.
pub(super) fn reward_until_its_end(r: &Stake, now: UtcTime) -> Option<i64> {
    let position = position(r, now);
    reward(&position, position.ends_at)
}

fn position(r: &Stake, now: UtcTime) -> StakingPosition {
    let days = chrono::Duration::days(i64::from(r.lock_period_days));
    StakingPosition {
        id: r.position_id.clone(),
        user_id: r.user_id.clone(),
        amount: r.amount,
        lock_period_days: r.lock_period_days,
        reward_rate: r.reward_rate,
        started_at: now,
        ends_at: UtcTime::from(*now + days),
        claimed_rewards: 0,
        is_active: true,
    }
}
