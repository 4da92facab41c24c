//! Parking, built of loom's lock and condition.
//!
//! loom's own `unpark` hands the memory on to a thread that does not park, which would hide an order
//! that is too weak, and it wakes a thread that waits for something else by then.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use loom::sync::{Condvar, Mutex, MutexGuard};

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
pub(crate) struct Thread(Arc<Parker>);

impl Thread {
    pub(crate) fn unpark(&self) {
        *self.0.token.lock().unwrap() = true;
        self.0.notice.notify_one();
    }
}

pub(crate) fn current() -> Thread {
    Thread(PARKER.with(Arc::clone))
}

/// Sleeps until unparked. True when the deadline is over: one in the future never is.
pub(crate) fn park(deadline: Option<Instant>) -> bool {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
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
pub(crate) fn wait<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    _limit: Option<Duration>,
) -> (MutexGuard<'a, T>, bool) {
    let guard = condition.wait(guard);
    (guard.unwrap_or_else(PoisonError::into_inner), false)
}
