//! Whether connecting works at the moment.
//!
//! Connecting happens in the background and is tried again and again. Meanwhile a caller that would
//! need a new connection is told the latest failure at once, instead of waiting for its deadline to
//! learn the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;

/// The state of the way to one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The latest failure; none after a success.
    failure: Mutex<Option<Error>>,
    failures: AtomicU64,
    /// Raised whenever a connection was lost: those made before it are suspect.
    epoch: AtomicU64,
}

impl Breaker {
    /// A connection could not be made.
    pub(super) fn failed(&self, error: Error) {
        let mut failure = self.lock();
        if failure.is_none() {
            tracing::warn!(%error, "the database server cannot be reached; trying again");
        } else {
            tracing::debug!(%error, "the database server still cannot be reached");
        }
        *failure = Some(error);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was made.
    pub(super) fn succeeded(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the database server can be reached again");
        }
    }

    /// Why connecting fails, while it does.
    pub(super) fn failure(&self) -> Option<Error> {
        self.lock().clone()
    }

    /// How often connecting has failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// An open connection turned out to be dead: look at the others before they are used.
    pub(super) fn lost(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of losses so far.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
