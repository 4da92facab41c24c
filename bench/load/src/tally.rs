//! Counts operations and their times within a window.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// Digits of a time that are kept: 0.1 %.
const DIGITS: u8 = 3;

/// The time in which operations count. What is begun in it is timed to its end, so that the
/// longest waits are not cut off; what ends in it makes the rate.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    /// Opens after `warm` and stays open for `run`.
    pub fn after(warm: Duration, run: Duration) -> Self {
        let begin = Instant::now() + warm;
        Self {
            begin,
            end: begin + run,
        }
    }

    /// Seconds that it is open.
    pub fn seconds(&self) -> f64 {
        (self.end - self.begin).as_secs_f64()
    }

    /// Whether it is still worth beginning an operation.
    pub fn is_open(&self) -> bool {
        Instant::now() < self.end
    }
}

/// Operations of one or of many clients.
#[derive(Debug)]
pub struct Tally {
    times: Histogram<u64>,
    /// Ended well within the window.
    pub(crate) counted: u64,
    /// Ended well, whenever.
    pub(crate) done: u64,
    /// Ended with an error, whenever.
    pub(crate) failed: u64,
    /// The first error.
    pub(crate) error: Option<String>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// Not with the number of digits that is used here.
    pub fn new() -> Result<Self> {
        Ok(Self {
            times: Histogram::new(DIGITS).context("no histogram")?,
            counted: 0,
            done: 0,
            failed: 0,
            error: None,
        })
    }

    /// Adds another's operations.
    ///
    /// # Errors
    /// Not for tallies made here, which all grow.
    pub fn add(&mut self, other: Self) -> Result<()> {
        self.times.add(&other.times).context("histograms differ")?;
        self.counted += other.counted;
        self.done += other.done;
        self.failed += other.failed;
        self.error = self.error.take().or(other.error);
        Ok(())
    }

    /// The time below which a share of the operations ended, µs.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds")]
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        self.times.value_at_quantile(share) as f64 / 1_000.0
    }
}

/// The clock of one client: an operation begins when the one before it ended.
#[derive(Debug)]
pub struct Lap {
    window: Window,
    last: Instant,
}

impl Lap {
    /// Begins the first operation now.
    pub fn begin(window: Window) -> Self {
        Self {
            window,
            last: Instant::now(),
        }
    }

    /// Ends an operation and begins the next; returns whether there should be one, and whether
    /// the one that ended counts.
    pub fn end(&mut self, tally: &mut Tally, result: &Result<()>) -> (bool, bool) {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        let Window { begin, end } = self.window;
        let counts = match result {
            Ok(()) => {
                tally.done += 1;
                now >= begin && now < end
            }
            Err(error) => {
                tally.failed += 1;
                tally.error.get_or_insert_with(|| format!("{error:#}"));
                false
            }
        };
        tally.counted += u64::from(counts);
        if now >= begin {
            // The histogram grows with its values; `saturating_record` would cut them off.
            let recorded = tally
                .times
                .record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            debug_assert!(recorded.is_ok(), "the histogram grows");
        }
        (now < end, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn what_ends_before_the_window_or_in_error_does_not_count() {
        let mut tally = Tally::new().unwrap();
        let mut lap = Lap::begin(Window::after(
            Duration::from_hours(1),
            Duration::from_secs(1),
        ));
        assert_eq!(lap.end(&mut tally, &Ok(())), (true, false));
        let mut lap = Lap::begin(Window::after(Duration::ZERO, Duration::from_hours(1)));
        assert_eq!(lap.end(&mut tally, &Ok(())), (true, true));
        assert_eq!(lap.end(&mut tally, &Err(anyhow!("locked"))), (true, false));
        assert_eq!((tally.counted, tally.done, tally.failed), (1, 2, 1));
        assert_eq!(tally.error.as_deref(), Some("locked"));
    }

    #[test]
    fn an_operation_that_outlasts_the_window_is_timed_but_not_counted() {
        let mut tally = Tally::new().unwrap();
        let window = Window::after(Duration::ZERO, Duration::ZERO);
        let mut lap = Lap::begin(window);
        assert!(!window.is_open());
        assert_eq!(lap.end(&mut tally, &Ok(())), (false, false));
        assert_eq!((tally.counted, tally.done, tally.times.len()), (0, 1, 1));
    }

    #[test]
    fn long_waits_are_kept_as_they_are() {
        let mut tally = Tally::new().unwrap();
        let mut lap = Lap::begin(Window::after(Duration::ZERO, Duration::from_hours(1)));
        for seconds in [0, 30] {
            lap.last = Instant::now()
                .checked_sub(Duration::from_secs(seconds))
                .unwrap();
            lap.end(&mut tally, &Ok(()));
        }
        assert!(tally.quantile_us(1.0) >= 30e6, "{}", tally.quantile_us(1.0));
        assert!(tally.quantile_us(0.5) < 30e6);
    }

    #[test]
    fn tallies_add_up() {
        let mut all = Tally::new().unwrap();
        for _ in 0..3 {
            let mut one = Tally::new().unwrap();
            let mut lap = Lap::begin(Window::after(Duration::ZERO, Duration::from_hours(1)));
            lap.end(&mut one, &Ok(()));
            all.add(one).unwrap();
        }
        assert_eq!((all.counted, all.times.len()), (3, 3));
        assert!(all.quantile_us(1.0) >= all.quantile_us(0.5));
    }
}
