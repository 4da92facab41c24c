//! Delivers what is in the outbox.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use db_core::{Clock, Database, RetryPolicy};
use db_schema::types::UtcTime;

use super::run::{Ending, Run};
use super::{ClaimedEntry, OutboxRepository, RetrySchedule, later};
use crate::Result;

/// Claims entries, hands them over one by one, and reports what became of them.
///
/// Any number of relays, in any number of processes, may run at once. Between two calls of
/// [`run_once`](Self::run_once) that found nothing let some time pass.
#[derive(Clone)]
pub struct OutboxRelay {
    pub(super) lease: Duration,
    limit: i64,
    pub(super) schedule: RetrySchedule,
    pub(super) retry: RetryPolicy,
    pub(super) random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayReport {
    /// Entries that it took.
    pub claimed: usize,
    /// Handed over, and reported so.
    pub delivered: usize,
    /// Refused by the handler; they are tried again.
    pub failed: usize,
    /// Given up.
    pub dead: usize,
    /// Given back without being handed over, for want of time; the attempt does not count.
    pub returned: usize,
    /// Not reported in time: others have them now, or will.
    pub lost: usize,
}

impl Default for OutboxRelay {
    fn default() -> Self {
        Self::new()
    }
}

impl OutboxRelay {
    /// A hundred entries at a time, for a minute, on the default schedule.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lease: Duration::from_mins(1),
            limit: 100,
            schedule: RetrySchedule::default(),
            retry: RetryPolicy::default(),
            random: Arc::new(fastrand::f64),
        }
    }

    /// How long the entries of one run are its own. It hands over during the first half; an entry
    /// that takes longer than the rest is delivered twice.
    #[must_use]
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How many entries one run takes, at most a thousand. It reports on up to 25 of them at once:
    /// after a crash so many may be delivered again.
    #[must_use]
    pub const fn with_limit(mut self, limit: i64) -> Self {
        self.limit = limit;
        self
    }

    /// When to try again.
    #[must_use]
    pub const fn with_schedule(mut self, schedule: RetrySchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Where jitter comes from: numbers from 0 to 1.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Delivers what is due, once: claims in one write, hands over each entry outside of any
    /// transaction, and reports in other writes as it goes along.
    ///
    /// Half of the lease is for handing over, the other half for reporting: what is left after the
    /// first half is given back, and its attempt does not count. An entry whose last attempt ended
    /// without a report, perhaps because it brings its relay down, comes after all others and is
    /// reported on before the next one is begun, so that it takes none along. If all its attempts
    /// ended so, it is given up without being handed over.
    ///
    /// A handler that panics has failed to deliver. If a report cannot be written, the entries come
    /// again when their lease ends.
    ///
    /// # Errors
    /// `Database`, `Invalid` for a limit, a lease or a schedule that cannot be.
    pub fn run_once<E: fmt::Display>(
        &self,
        database: &Database,
        clock: &dyn Clock,
        mut handler: impl FnMut(&ClaimedEntry) -> std::result::Result<(), E>,
    ) -> Result<RelayReport> {
        self.schedule.check()?;
        let now = UtcTime::from(clock.now());
        let stop_at = later(now, self.lease / 2)?;
        let claimed = database.write_with_retry(&self.retry, |conn| {
            OutboxRepository::claim(conn, now, self.lease, self.limit)
        })?;
        let mut run = Run {
            relay: self,
            database,
            clock,
            stop_at,
            reported_at: now,
            delivered: Vec::new(),
            endings: Vec::new(),
            report: RelayReport {
                claimed: claimed.len(),
                ..RelayReport::default()
            },
        };
        run.deliver(claimed, &mut |entry| hand_over(entry, &mut handler))?;
        Ok(run.report)
    }
}

/// A panic is caught: the handler's own state is its own affair, and nothing of ours is within.
fn hand_over<E: fmt::Display>(
    entry: &ClaimedEntry,
    handler: &mut impl FnMut(&ClaimedEntry) -> std::result::Result<(), E>,
) -> std::result::Result<(), Ending> {
    let why = match catch_unwind(AssertUnwindSafe(|| handler(entry))) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let said = panic
                .downcast_ref::<&str>()
                .map(|said| (*said).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            match said {
                Some(said) => format!("the handler panicked: {said}"),
                None => "the handler panicked".to_owned(),
            }
        }
    };
    Err(Ending::Failed(why))
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("lease", &self.lease)
            .field("limit", &self.limit)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}
