//! Waiting for another thread, for ever or until a deadline.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What an endless wait is cut to: longer than any program runs, and no clock overflows by it.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// The moment after which a wait of `patience` is over.
pub(crate) fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience.min(FOR_EVER)
}

/// Sleeps until unparked, or for no reason. True when the deadline is over.
pub(crate) fn park(deadline: Option<Instant>) -> bool {
    let Some(deadline) = deadline else {
        std::thread::park();
        return false;
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return true;
    }
    std::thread::park_timeout(left);
    false
}

/// Waits on a condition, at most for `limit`. True when that is over.
pub(crate) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Option<Duration>,
) -> (MutexGuard<'a, T>, bool) {
    let Some(limit) = limit else {
        let guard = condition.wait(guard);
        return (guard.unwrap_or_else(PoisonError::into_inner), false);
    };
    let (guard, out) = condition
        .wait_timeout(guard, limit)
        .unwrap_or_else(PoisonError::into_inner);
    (guard, out.timed_out())
}
