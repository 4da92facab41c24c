//! Whether connecting works at the moment.
//!
//! Connecting happens in the background and is tried again and again. Meanwhile a caller that would
//! need a new connection is told the latest failure at once, instead of waiting for its deadline to
//! learn the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind};

/// One failure may be an accident, and those at the same moment have one cause. After this the
/// next one counts; r2d2 tries again after 400 ms.
const ACCIDENT: Duration = Duration::from_millis(200);

/// The state of the way to one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failing: Mutex<Option<Failing>>,
    failures: AtomicU64,
    /// Raised whenever a connection was lost: those made before it are suspect.
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    latest: Error,
    /// Whether callers are told at once.
    open: bool,
}

impl Breaker {
    /// A connection could not be made.
    pub(super) fn failed(&self, error: Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.lock();
        let since = failing.as_ref().map_or_else(Instant::now, |f| f.since);
        let was_open = failing.as_ref().is_some_and(|f| f.open);
        let open = was_open || since.elapsed() >= ACCIDENT || is_definite(&error);
        if open && !was_open {
            tracing::warn!(%error, "no connection to the database server; trying again");
        } else {
            tracing::debug!(%error, "no connection to the database server");
        }
        *failing = Some(Failing {
            since,
            latest: error,
            open,
        });
    }

    /// A connection was made.
    pub(super) fn succeeded(&self) {
        if self.lock().take().is_some_and(|f| f.open) {
            tracing::info!("the database server can be reached again");
        }
    }

    /// Why connecting fails, if callers are to be told at once.
    pub(super) fn refusal(&self) -> Option<Error> {
        let failing = self.lock();
        failing
            .as_ref()
            .filter(|f| f.open)
            .map(|f| f.latest.clone())
    }

    /// The latest failure; none after a success.
    pub(super) fn latest(&self) -> Option<Error> {
        self.lock().as_ref().map(|f| f.latest.clone())
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

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether trying again soon cannot help.
fn is_definite(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::DatabaseMissing | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "gone")
    }

    #[test]
    fn one_failure_is_an_accident_unless_it_is_definite() {
        let breaker = Breaker::default();
        breaker.failed(error(ErrorKind::Unavailable));
        assert!(breaker.refusal().is_none() && breaker.latest().is_some());
        breaker.failed(error(ErrorKind::Authentication));
        assert!(breaker.refusal().is_some());
        breaker.failed(error(ErrorKind::Unavailable));
        assert_eq!(breaker.refusal().unwrap().kind(), ErrorKind::Unavailable);
        breaker.succeeded();
        assert!(breaker.refusal().is_none() && breaker.latest().is_none());
        assert_eq!(breaker.failures(), 3);
    }
}
