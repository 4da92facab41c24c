//! Who holds a connection, since when, and from which line of code.
//!
//! A pool notes each checkout here; whoever watches the pool asks for those that are overdue. To
//! note one costs a look at the clock and two stores into memory of its own, so the SQLite readers do
//! it on every call. PostgreSQL's pool, whose connections come and go, has `postgres::borrows`.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lowest bit of [`Place::since`]: set while the connection is held.
const HELD: u64 = 1;

/// Connections in use.
pub(crate) struct Held {
    start: Instant,
    places: Box<[Place]>,
    threshold: Duration,
}

/// One connection's entry, alone in its cache lines.
#[repr(align(128))]
struct Place {
    /// Nanoseconds from the start to the last checkout, times two, plus [`HELD`]; 0 for never.
    since: AtomicU64,
    /// The `since` that was reported last.
    reported: AtomicU64,
    caller: Mutex<Option<&'static Location<'static>>>,
}

/// A connection that is held.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Holder {
    /// The line that took it.
    pub caller: &'static Location<'static>,
    /// For how long.
    pub age: Duration,
}

impl Held {
    /// For `places` connections; those held longer than `threshold` are overdue.
    pub(crate) fn new(places: usize, threshold: Duration) -> Self {
        Self {
            start: Instant::now(),
            places: (0..places)
                .map(|_| Place {
                    since: AtomicU64::new(0),
                    reported: AtomicU64::new(0),
                    caller: Mutex::new(None),
                })
                .collect(),
            threshold,
        }
    }

    /// Notes that `caller` has taken connection number `index`.
    pub(crate) fn take(&self, index: usize, caller: &'static Location<'static>) {
        let Some(place) = self.places.get(index) else {
            return;
        };
        *place.caller.lock().unwrap_or_else(PoisonError::into_inner) = Some(caller);
        place.since.store(self.stamp() | HELD, Ordering::Release);
    }

    /// Notes that connection number `index` has come back.
    pub(crate) fn give_back(&self, index: usize) {
        if let Some(place) = self.places.get(index) {
            let since = place.since.load(Ordering::Relaxed);
            place.since.store(since & !HELD, Ordering::Release);
        }
    }

    /// How long ago connection number `index` was taken last; `None` while it is held or if it
    /// never was.
    pub(crate) fn unused_for(&self, index: usize) -> Option<Duration> {
        let since = self.places.get(index)?.since.load(Ordering::Acquire);
        (since != 0 && since & HELD == 0).then(|| self.age(since))
    }

    /// A number that changes with each checkout.
    pub(crate) fn last_take(&self) -> u64 {
        let since = |place: &Place| place.since.load(Ordering::Relaxed) >> 1;
        self.places.iter().map(since).max().unwrap_or_default()
    }

    /// The connection that is held longest: a gauge, and the answer to "who has them all".
    pub(crate) fn oldest(&self) -> Option<Holder> {
        self.places
            .iter()
            .filter_map(|place| self.holder(place))
            .max_by_key(|holder| holder.age)
    }

    /// Warns of each connection that is overdue, once per checkout; returns of how many.
    pub(crate) fn report_overdue(&self, pool: &'static str) -> usize {
        let mut reported = 0;
        for (index, place) in self.places.iter().enumerate() {
            let since = place.since.load(Ordering::Acquire);
            let Some(holder) = self.holder(place) else {
                continue;
            };
            if holder.age < self.threshold
                || place.reported.swap(since, Ordering::Relaxed) == since
                || place.since.load(Ordering::Acquire) != since
            {
                continue;
            }
            reported += 1;
            tracing::warn!(
                pool,
                connection = index,
                held_ms = u64::try_from(holder.age.as_millis()).unwrap_or(u64::MAX),
                caller = %holder.caller,
                "a connection is held too long; it was taken at {}",
                holder.caller
            );
        }
        reported
    }

    /// The age from which on a connection is overdue.
    pub(crate) const fn threshold(&self) -> Duration {
        self.threshold
    }

    fn holder(&self, place: &Place) -> Option<Holder> {
        let since = place.since.load(Ordering::Acquire);
        if since & HELD == 0 {
            return None;
        }
        let caller = (*place.caller.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(Holder {
            caller,
            age: self.age(since),
        })
    }

    /// Now, in nanoseconds from the start times two. 2^63 ns are 292 years.
    fn stamp(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).map_or(u64::MAX, |ns| ns.max(1)) << 1
    }

    fn age(&self, since: u64) -> Duration {
        self.start
            .elapsed()
            .saturating_sub(Duration::from_nanos(since >> 1))
    }
}
