//! Which connections are out, since when, and for whom.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::{PoolMetrics, Stopwatch};

/// A connection that is out.
struct Borrowed {
    since: Instant,
    place: &'static Location<'static>,
    /// The server's process, where it stays the same.
    pid: Option<i32>,
    reported: bool,
}

/// Which connections are out, for those who look for leaks.
pub(super) struct Borrows {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Borrowed>>,
    metrics: Arc<PoolMetrics>,
}

impl Borrows {
    pub(super) fn new(metrics: Arc<PoolMetrics>) -> Self {
        Self {
            next: AtomicU64::new(0),
            open: Mutex::default(),
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Borrowed>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when and from where each is out, the longest first.
    pub(super) fn all(&self) -> Vec<(Instant, &'static Location<'static>)> {
        let mut all: Vec<_> = self.lock().values().map(|b| (b.since, b.place)).collect();
        all.sort_by_key(|(since, _)| *since);
        all
    }

    /// The servers' processes that serve them, where they stay the same.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.lock().values().filter_map(|b| b.pid).collect()
    }

    /// Warns of each connection that is out for longer, once.
    pub(super) fn report_overdue(&self, threshold: Duration) {
        for (_, borrowed) in self.lock().iter_mut() {
            let age = borrowed.since.elapsed();
            if age >= threshold && !std::mem::replace(&mut borrowed.reported, true) {
                tracing::warn!(
                    held_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                    pid = borrowed.pid,
                    caller = %borrowed.place,
                    "a connection is held too long; it was taken at {}",
                    borrowed.place
                );
            }
        }
    }
}

/// Noted until it is dropped.
pub(super) struct Borrow {
    borrows: Arc<Borrows>,
    id: u64,
    since: Stopwatch,
}

impl Borrow {
    pub(super) fn new(
        borrows: &Arc<Borrows>,
        pid: Option<i32>,
        place: &'static Location<'static>,
    ) -> Self {
        let id = borrows.next.fetch_add(1, Ordering::Relaxed);
        let borrowed = Borrowed {
            since: Instant::now(),
            place,
            pid,
            reported: false,
        };
        borrows.lock().insert(id, borrowed);
        Self {
            borrows: Arc::clone(borrows),
            id,
            since: Stopwatch::start(),
        }
    }
}

impl Drop for Borrow {
    fn drop(&mut self) {
        self.borrows.lock().remove(&self.id);
        self.borrows.metrics.used(self.since);
    }
}
