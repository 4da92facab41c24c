//! A thread beside the pool: drops an idle anchor, closes idle connections.
//!
//! It sleeps until something is due, and for good while no connection is open.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

use super::{Shared, lock};

/// It sleeps at least so long until connections have been idle for long enough.
const LEAST: Duration = Duration::from_millis(10);

/// The running thread.
pub(super) struct Keeper(Mutex<Option<JoinHandle<()>>>);

impl Keeper {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self, Error> {
        let theirs = Arc::clone(shared);
        // What it reports goes to whoever listens where the pool is opened.
        let listener = tracing::dispatcher::get_default(Clone::clone);
        let thread = thread::Builder::new()
            .name("db-readers".to_owned())
            .spawn(move || tracing::dispatcher::with_default(&listener, || run(&theirs)))
            .map_err(|e| Error::new(ErrorKind::Other, format!("no thread for the pool: {e}")))?;
        // Set once, here, before anybody else has the pool.
        let _ = shared.keeper.set(thread.thread().clone());
        Ok(Self(Mutex::new(Some(thread))))
    }

    /// Ends the thread and waits for its end.
    pub(super) fn stop(&self, shared: &Shared) {
        shared.stop.store(true, Ordering::Release);
        shared.wake_keeper();
        let thread = lock(&self.0).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread beside the pool of readers has panicked");
        }
    }
}

fn run(shared: &Shared) {
    let mut last_take = None;
    while !shared.stop.load(Ordering::Acquire) {
        // What wakes it while it looks makes the next `park` return at once.
        match look(shared, &mut last_take) {
            Some(due) => thread::park_timeout(due),
            None => thread::park(),
        }
    }
}

/// Does what is due, and says when to look again.
fn look(shared: &Shared, last_take: &mut Option<u64>) -> Option<Duration> {
    let take = shared.held.last_take();
    let reads = last_take.replace(take) != Some(take);
    let anchor = shared
        .anchor
        .as_ref()
        .and_then(|anchor| anchor.look(reads, &shared.source));
    let idle = shared.limits.idle.map(|idle| close_idle(shared, idle));
    if shared.gate.open() > 0 {
        return anchor.into_iter().chain(idle).min();
    }
    if let Some(anchor) = &shared.anchor {
        anchor.close();
    }
    None
}

/// Closes connections that nobody has taken for `idle`; returns when the next one can be.
fn close_idle(shared: &Shared, idle: Duration) -> Duration {
    let mut next = idle;
    for (slot, place) in shared.slots.iter().enumerate() {
        let left = || Some(idle.saturating_sub(shared.held.unused_for(slot)?));
        let Some(until_due) = left() else {
            continue;
        };
        if !until_due.is_zero() {
            next = next.min(until_due);
            continue;
        }
        if !shared.gate.take_open(slot) {
            continue;
        }
        // Somebody may have used it between the two.
        let is_due = left() == Some(Duration::ZERO);
        if is_due {
            drop(lock(&place.0).connection.take());
        }
        shared.gate.release(slot, !is_due);
    }
    next.max(LEAST)
}
