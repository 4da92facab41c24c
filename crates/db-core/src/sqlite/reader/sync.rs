//! The synchronization that the gate is made of, so that a model checker can take its place.

pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

pub(super) use crate::wait::wait;

/// Locks, also after a panic: nothing here is left half done by one.
pub(in crate::sqlite) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
