//! When a delivery that failed is tried again.

use std::time::Duration;

use crate::{Result, check};

/// How many attempts the schema counts, less one that is found to be too many.
const MOST_ATTEMPTS: i32 = 999_999;

/// How far a pause may differ from its length, either way, so that entries that failed together are
/// not tried together.
const JITTER: f64 = 0.1;

/// No pause is longer, whatever is asked for.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Pauses between attempts: each so many times as long as the one before, ±10 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    base: Duration,
    factor: u32,
    longest: Duration,
    most_attempts: i32,
}

/// Sixteen attempts: after the first, ten pauses of 1, 2, 4 … 512 s and five of ten minutes, which is
/// 4,023 s before jitter and at least 3,620 s with it. So an outage of an hour is survived.
impl Default for RetrySchedule {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), 2, 16).with_longest(Duration::from_mins(10))
    }
}

impl RetrySchedule {
    /// The first pause, what each is a multiple of the one before, and how many attempts there are,
    /// the first included: at least one, or the relay refuses to run. No pause is longer than an
    /// hour.
    #[must_use]
    pub const fn new(base: Duration, factor: u32, most_attempts: i32) -> Self {
        Self {
            base,
            factor,
            longest: Duration::from_hours(1),
            most_attempts,
        }
    }

    /// The longest pause, before jitter; at most a year.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest.min(LONGEST);
        self
    }

    /// The pause after this attempt failed, the first being 1; none after the last. `random` is from
    /// 0 to 1: at ½ the pause has its length.
    #[must_use]
    pub fn pause(&self, attempt: i32, random: f64) -> Option<Duration> {
        if attempt >= self.most_attempts {
            return None;
        }
        let exponent = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0);
        let pause = self
            .base
            .saturating_mul(self.factor.saturating_pow(exponent))
            .min(self.longest);
        let random = if random.is_nan() {
            0.5
        } else {
            random.clamp(0.0, 1.0)
        };
        Some(pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * random))
    }

    /// Whether there is an attempt at all.
    pub(super) fn check(&self) -> Result<()> {
        check::within("most_attempts", self.most_attempts, 1..=MOST_ATTEMPTS)
    }

    /// Whether an attempt is one too many: those before ended without a report.
    #[must_use]
    pub const fn is_over(&self, attempt: i32) -> bool {
        attempt > self.most_attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn pauses_grow_up_to_the_longest_and_end() {
        let schedule =
            RetrySchedule::new(Duration::from_secs(2), 3, 5).with_longest(Duration::from_secs(20));
        let pauses: Vec<_> = (1..=6)
            .map(|attempt| schedule.pause(attempt, MIDDLE))
            .collect();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            pauses,
            [seconds(2), seconds(6), seconds(18), seconds(20), None, None]
        );
        assert!(!schedule.is_over(5));
        assert!(schedule.is_over(6));
    }

    #[test]
    fn jitter_is_a_tenth_either_way_and_uses_all_of_it() {
        let schedule = RetrySchedule::new(Duration::from_secs(100), 1, 2);
        let mut random = fastrand::Rng::with_seed(7);
        let pauses: Vec<_> = (0..10_000)
            .filter_map(|_| schedule.pause(1, random.f64()))
            .map(|pause| pause.as_secs_f64())
            .collect();
        assert_eq!(pauses.len(), 10_000);
        assert!(pauses.iter().all(|pause| (90.0..=110.0).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < 90.5));
        assert!(pauses.iter().any(|pause| *pause > 109.5));
        let mean = pauses.iter().sum::<f64>() / 10_000.0;
        assert!((99.0..101.0).contains(&mean), "{mean}");
    }

    #[test]
    fn the_default_survives_an_outage_of_an_hour() {
        let schedule = RetrySchedule::default();
        let whole = |random| -> Duration {
            (1..)
                .map_while(|attempt| schedule.pause(attempt, random))
                .sum()
        };
        assert_eq!(whole(MIDDLE), Duration::from_secs(4_023));
        assert!(whole(0.0) > Duration::from_hours(1));
        assert!(schedule.pause(15, MIDDLE).is_some());
        assert!(schedule.pause(16, MIDDLE).is_none());
    }

    #[test]
    fn there_is_at_least_one_attempt() {
        let schedule = |most| RetrySchedule::new(Duration::from_secs(1), 2, most);
        assert!(schedule(1).check().is_ok());
        for none in [0, -1, 1_000_000] {
            assert!(schedule(none).check().is_err(), "{none}");
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let schedule =
            RetrySchedule::new(Duration::MAX, u32::MAX, i32::MAX).with_longest(Duration::MAX);
        let longest = schedule.pause(1_000_000, 1.0);
        assert_eq!(longest, Some(LONGEST.mul_f64(1.1)));
        assert!(schedule.pause(i32::MIN, f64::NAN).is_some());
    }
}
