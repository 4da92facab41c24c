//! The time, and waiting for it.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use db_core::{Clock, Interrupt, SystemClock};

/// How often a nap looks at an interrupt that nobody wakes it for, such as a signal's.
const LOOK: Duration = Duration::from_millis(200);

/// Where a scheduler has its time from.
pub trait Timer: Send + Sync + fmt::Debug {
    /// The present moment by the wall clock.
    fn now(&self) -> DateTime<Utc>;

    /// Sleeps until it is woken, the interrupt is set, or so much time is over.
    fn nap(&self, longest: Duration, interrupt: &Interrupt);

    /// Ends a nap.
    fn wake(&self);
}

/// The computer's own time.
#[derive(Debug, Default)]
pub struct SystemTimer {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl Timer for SystemTimer {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    fn nap(&self, longest: Duration, interrupt: &Interrupt) {
        let mut left = longest;
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken && !left.is_zero() && !interrupt.is_set() {
            let look = left.min(LOOK);
            let waited = self.bell.wait_timeout(woken, look);
            woken = waited.unwrap_or_else(PoisonError::into_inner).0;
            left -= look;
        }
        *woken = false;
    }

    fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }
}
