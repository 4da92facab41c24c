//! What a staking position earns, to the smallest unit.

use db_schema::rows::StakingPosition;
use db_schema::types::UtcTime;

/// Microseconds of a year of 365 days.
const YEAR: u128 = 365 * 86_400 * 1_000_000;

/// Parts of a rate that count: billionths.
const RATE_SCALE: u128 = 1_000_000_000;

/// Largest rate per year, as the schema has it.
pub(super) const LARGEST_RATE: f64 = 1e6;

/// What a position has earned from its start until `now`, or until its end if that is earlier:
/// amount × rate × elapsed / year, rounded down. `None` if that is no 64-bit number, or the
/// position cannot be.
///
/// Whole numbers only: the rate is rounded to billionths, time counts in microseconds. So the
/// result is exact and the same on every machine and engine.
#[must_use]
pub fn reward(position: &StakingPosition, now: UtcTime) -> Option<i64> {
    let until = now.min(position.ends_at);
    let elapsed = until.timestamp_micros() - position.started_at.timestamp_micros();
    let elapsed = u128::try_from(elapsed.max(0)).ok()?;
    let amount = u128::try_from(position.amount).ok()?;
    let per_year = amount.checked_mul(billionths(position.reward_rate)?)?;
    // per_year × elapsed may need more than 128 bits; whole years' worth and the rest do not.
    let divisor = YEAR * RATE_SCALE;
    let whole = (per_year / divisor).checked_mul(elapsed)?;
    let rest = (per_year % divisor).checked_mul(elapsed)? / divisor;
    i64::try_from(whole.checked_add(rest)?).ok()
}

fn billionths(rate: f64) -> Option<u128> {
    if !(0.0..=LARGEST_RATE).contains(&rate) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1e15, checked above"
    )]
    let scaled = (rate * 1e9).round() as u64;
    Some(u128::from(scaled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Days};

    fn earned(amount: i64, rate: f64, lock_days: i32, after_days: u64) -> Option<i64> {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let position = StakingPosition {
            id: "p".into(),
            user_id: "u".into(),
            amount,
            lock_period_days: lock_days,
            reward_rate: rate,
            started_at: start.into(),
            ends_at: (start + Days::new(u64::try_from(lock_days).unwrap())).into(),
            claimed_rewards: 0,
            is_active: true,
        };
        reward(&position, (start + Days::new(after_days)).into())
    }

    #[test]
    fn interest_is_simple_rounded_down_and_ends_with_the_position() {
        assert_eq!(earned(1_000, 0.05, 365, 365), Some(50));
        assert_eq!(earned(1_000, 0.05, 365, 10_000), Some(50));
        assert_eq!(earned(1_000, 0.05, 730, 730), Some(100));
        // 1000 × 0.05 × 7 / 365 is 0.96.
        assert_eq!(earned(1_000, 0.05, 365, 7), Some(0));
        assert_eq!(earned(1_000, 0.05, 365, 8), Some(1));
        assert_eq!(earned(1_000, 0.05, 0, 8), Some(0));
        assert_eq!(earned(1_000, 0.0, 365, 365), Some(0));
    }

    #[test]
    fn the_largest_numbers_are_exact_or_refused() {
        let most = 9_000_000_000_000_000;
        assert_eq!(earned(most, 1.0, 36_500, 36_500), Some(most * 100));
        // A third of a year's interest at one per cent, to the unit.
        assert_eq!(earned(most, 0.01, 365, 73), Some(most / 500));
        assert_eq!(earned(most, 1e6, 36_500, 36_500), None);
        assert_eq!(earned(1, 1e6, 36_500, 36_500), Some(100_000_000));
    }
}
