//! Running a transaction again when a database says that it may work: how often, how long apart,
//! and how much of it a database in trouble can bear.
//!
//! Pauses are random between nothing and a bound that doubles ("full jitter",
//! <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>), so that
//! transactions that met once do not meet again. A [`RetryBudget`], one per database, stops retries
//! when too many calls need one: then there is no accident to get over but an overload, which
//! retries make worse.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{DatabaseFailure, Error, ErrorKind};

/// Time and chance for pauses; a test brings its own.
pub trait Pacer: Send + Sync {
    /// The present moment.
    fn now(&self) -> Instant;

    /// A random time from nothing to `bound`.
    fn up_to(&self, bound: Duration) -> Duration;

    /// Waits.
    fn pause(&self, length: Duration);
}

/// The computer's own clock and dice.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemPacer;

impl Pacer for SystemPacer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn up_to(&self, bound: Duration) -> Duration {
        bound.mul_f64(fastrand::f64())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the pause between two attempts is the thing that is waited for"
    )]
    fn pause(&self, length: Duration) {
        std::thread::sleep(length);
    }
}

/// How often and how long apart a transaction is run again.
#[derive(Clone)]
pub struct RetryPolicy {
    attempts: u32,
    base: Duration,
    cap: Duration,
    deadline: Duration,
    pacer: Arc<dyn Pacer>,
}

/// Enough for a conflict that comes back a few times, too few to hold anyone up for long.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(5),
            cap: Duration::from_millis(500),
            deadline: Duration::from_secs(10),
            pacer: Arc::new(SystemPacer),
        }
    }
}

impl RetryPolicy {
    /// The default: 5 attempts within 10 s, the first pause at most 5 ms, no pause above 500 ms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs once.
    #[must_use]
    pub fn none() -> Self {
        Self::default().with_attempts(1)
    }

    /// How often it is run at most, the first time included; 0 counts as 1.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The bound of the first pause, and the bound of all: each is twice the one before, up to `cap`.
    #[must_use]
    pub const fn with_pauses(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }

    /// No attempt begins later than this after the first did.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Another clock and other dice.
    #[must_use]
    pub fn with_pacer(mut self, pacer: impl Pacer + 'static) -> Self {
        self.pacer = Arc::new(pacer);
        self
    }

    /// Runs `transaction`, a whole one, until it succeeds, fails for good, or may not be tried
    /// again; then its last error stands.
    ///
    /// # Errors
    /// The transaction's own.
    pub fn run<T, E: DatabaseFailure>(
        &self,
        budget: &RetryBudget,
        mut transaction: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempts = self.begin(budget);
        loop {
            let error = match transaction() {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let pause = error
                .database_error()
                .and_then(|reported| attempts.after(reported));
            match pause {
                Some(pause) => self.pacer.pause(pause),
                None => return Err(error),
            }
        }
    }

    /// Counts attempts for a caller that runs and pauses by itself, as an async one does.
    #[must_use]
    pub fn begin<'r>(&'r self, budget: &'r RetryBudget) -> Attempts<'r> {
        budget.deposit();
        Attempts {
            policy: self,
            budget,
            began: self.pacer.now(),
            made: 0,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("attempts", &self.attempts)
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The attempts at one transaction.
#[derive(Debug)]
pub struct Attempts<'r> {
    policy: &'r RetryPolicy,
    budget: &'r RetryBudget,
    began: Instant,
    made: u32,
}

impl Attempts<'_> {
    /// How long to pause after an attempt that failed with `error`; none if it was the last.
    ///
    /// A connection that was lost has undone everything, so the transaction may run again on
    /// another one: where that was in COMMIT the error is
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), after which nothing is run again.
    pub fn after(&mut self, error: &Error) -> Option<Duration> {
        let may_help = error.is_retryable() || error.kind() == ErrorKind::ConnectionLost;
        self.made += 1;
        let policy = self.policy;
        if !may_help || self.made >= policy.attempts {
            return None;
        }
        let doublings = (self.made - 1).min(31);
        let bound = policy.base.saturating_mul(1 << doublings).min(policy.cap);
        let pause = policy.pacer.up_to(bound);
        let spent = policy.pacer.now().saturating_duration_since(self.began);
        if spent.saturating_add(pause) >= policy.deadline {
            return None;
        }
        if !self.budget.withdraw() {
            tracing::warn!(kind = ?error.kind(), "no retry: too many transactions need one");
            return None;
        }
        tracing::debug!(kind = ?error.kind(), attempt = self.made, ?pause, "trying again");
        Some(pause)
    }
}

/// Thousandths of a retry that a call earns: a tenth of one.
const EARNED: u64 = 100;

/// Thousandths that a retry costs.
const COST: u64 = 1_000;

/// Thousandths that can be saved, and are there at first: ten retries.
const MOST: u64 = 10 * COST;

/// How many retries a database can bear: one for ten calls, and a reserve of ten.
///
/// Under a storm of conflicts or a server in trouble this bounds the extra load at a tenth, where
/// five attempts each would be four times the load.
#[derive(Debug)]
pub struct RetryBudget {
    saved: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            saved: AtomicU64::new(MOST),
        }
    }
}

impl RetryBudget {
    /// A full one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A call was made.
    fn deposit(&self) {
        self.change(|saved| (saved < MOST).then(|| (saved + EARNED).min(MOST)));
    }

    /// Takes a retry out, if there is one.
    fn withdraw(&self) -> bool {
        self.change(|saved| saved.checked_sub(COST))
    }

    // One counter guards nothing else, so no order with other memory is needed.
    fn change(&self, next: impl FnMut(u64) -> Option<u64>) -> bool {
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

#[cfg(test)]
mod tests;
