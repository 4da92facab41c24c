//! How fast connections come back, and so how long a queue takes.

use std::time::Duration;

/// How many of the latest holding times count. Few enough to forget a stall within a moment,
/// enough that one slow report among many point reads is weighed rightly.
const SAMPLES: usize = 64;

/// Below this many nothing is foretold.
const ENOUGH: usize = 8;

/// The mean of the latest holding times.
///
/// The mean and not the median: by Little's law it is what decides the wait, and ten reports among
/// a hundred reads may be all the work there is.
#[derive(Debug)]
pub(super) struct Pace {
    samples: [Duration; SAMPLES],
    next: usize,
    count: usize,
    sum: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            samples: [Duration::ZERO; SAMPLES],
            next: 0,
            count: 0,
            sum: Duration::ZERO,
        }
    }
}

impl Pace {
    /// Takes one holding time into account.
    pub(super) fn record(&mut self, held: Duration) {
        let slot = &mut self.samples[self.next];
        self.sum = self.sum.saturating_sub(*slot).saturating_add(held);
        *slot = held;
        self.next = (self.next + 1) % SAMPLES;
        self.count = (self.count + 1).min(SAMPLES);
    }

    /// How long the one at `place` (from 1) of the queue will wait for one of `permits`; zero while
    /// too little is known.
    pub(super) fn wait(&self, place: usize, permits: usize) -> Duration {
        if self.count < ENOUGH {
            return Duration::ZERO;
        }
        // Both are below 2^32: connections and waiters are counted in thousands.
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let mean = self.sum / narrow(self.count);
        mean.saturating_mul(narrow(place)) / narrow(permits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_queue_takes_its_length_times_the_mean_over_the_permits() {
        let mut pace = Pace::default();
        for _ in 0..7 {
            pace.record(ms(20));
        }
        assert_eq!(pace.wait(1000, 4), Duration::ZERO, "too few samples");
        pace.record(ms(20));
        assert_eq!(pace.wait(100, 4), ms(500));
    }

    #[test]
    fn a_stall_is_forgotten() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.record(ms(60_000));
        }
        assert!(pace.wait(1, 1) > ms(1000));
        for _ in 0..SAMPLES {
            pace.record(ms(1));
        }
        assert_eq!(pace.wait(1, 1), ms(1));
    }
}
