//! loom's primitives under the names that the executor uses.

use std::time::Instant;

pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

pub(super) use crate::park::{Thread, current, wait};

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
    deadline.is_some() || crate::park::park(None)
}
