//! The threads' primitives that the executor is made of, under names that its model check swaps.
//!
//! `tests/loom` compiles `executor` and `job` against loom's, so they use nothing else to
//! synchronise.

use std::time::{Duration, Instant};

pub(super) use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{Thread, current};

/// `std::cell::UnsafeCell` with loom's interface.
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }

    pub(super) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Sleeps until unparked, or for no reason. True when the deadline is over.
pub(super) fn park(deadline: Option<Instant>) -> bool {
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
pub(super) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Option<Duration>,
) -> (MutexGuard<'a, T>, bool) {
    let Some(limit) = limit else {
        let guard = condition.wait(guard);
        return (
            guard.unwrap_or_else(std::sync::PoisonError::into_inner),
            false,
        );
    };
    let (guard, out) = condition
        .wait_timeout(guard, limit)
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    (guard, out.timed_out())
}
