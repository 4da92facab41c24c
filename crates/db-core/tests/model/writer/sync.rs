//! loom's primitives under the names that the executor uses.
//!
//! Parking is built here of a lock and a condition. loom's own `unpark` hands the memory on to a
//! thread that does not park, which would hide a `done` of too weak an order, and it wakes a thread
//! that waits for something else by then, which then fails.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

loom::thread_local! {
    static PARKER: Arc<Parker> = Arc::new(Parker {
        token: Mutex::new(false),
        notice: Condvar::new(),
    });
}

struct Parker {
    token: Mutex<bool>,
    notice: Condvar,
}

/// Who can be unparked.
#[derive(Clone)]
pub(super) struct Thread(Arc<Parker>);

impl Thread {
    pub(super) fn unpark(&self) {
        *self.0.token.lock().unwrap() = true;
        self.0.notice.notify_one();
    }
}

pub(super) fn current() -> Thread {
    Thread(PARKER.with(Arc::clone))
}

/// loom's cell, which also checks that the one who takes it apart may.
pub(super) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }

    pub(super) fn into_inner(self) -> T {
        self.0.with_mut(drop);
        self.0.into_inner()
    }
}

/// Sleeps until unparked; with a deadline, that is over at once.
pub(super) fn park(deadline: Option<Instant>) -> bool {
    if deadline.is_some() {
        return true;
    }
    let Thread(parker) = current();
    let mut token = parker.token.lock().unwrap();
    while !*token {
        token = parker.notice.wait(token).unwrap();
    }
    *token = false;
    false
}

/// Waits on a condition, for as long as it takes.
pub(super) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    _limit: Option<Duration>,
) -> (MutexGuard<'a, T>, bool) {
    let guard = condition.wait(guard);
    (guard.unwrap_or_else(PoisonError::into_inner), false)
}
