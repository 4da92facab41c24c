//! The right to one slot of the pool, given back whatever happens to its holder.

use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Error;
use crate::metrics::Stopwatch;

use super::connection::ReaderConnection;
use super::{Shared, closed, lock};

/// A slot of the gate, until it is dropped.
pub(super) struct Ticket<'p> {
    shared: &'p Shared,
    slot: usize,
    /// Whether a connection stands in the slot.
    open: bool,
    since: Stopwatch,
}

impl<'p> Ticket<'p> {
    /// Waits for a slot.
    pub(super) fn take(
        shared: &'p Shared,
        patience: Duration,
        caller: &'static Location<'static>,
    ) -> Result<Self, Error> {
        let slot = shared.acquire(patience)?;
        shared.held.take(slot, caller);
        Ok(Self {
            shared,
            slot,
            open: false,
            since: Stopwatch::start(),
        })
    }

    /// The slot's connection; a new one if there is none.
    pub(super) fn connection(&self) -> Result<Box<ReaderConnection>, Error> {
        {
            let mut place = lock(&self.shared.slots[self.slot].0);
            if place.closed {
                return Err(closed());
            }
            if let Some(connection) = place.connection.take() {
                return Ok(connection);
            }
        }
        self.open()
    }

    /// Puts the connection back, if the next read may use it.
    pub(super) fn put_back(mut self, mut connection: Box<ReaderConnection>) {
        if !connection.is_clean() {
            tracing::debug!("a connection for reading is closed after an error");
            return;
        }
        let mut place = lock(&self.shared.slots[self.slot].0);
        if !place.closed {
            place.connection = Some(connection);
            self.open = true;
        }
    }

    #[cold]
    fn open(&self) -> Result<Box<ReaderConnection>, Error> {
        let since = Stopwatch::start();
        let connection = Box::new(ReaderConnection::open(&self.shared.source)?);
        self.shared.source.metrics.created(since);
        self.shared.counters.opened.fetch_add(1, Ordering::Relaxed);
        self.shared.wake_keeper();
        Ok(connection)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.shared.held.give_back(self.slot);
        self.shared.source.metrics.used(self.since);
        self.shared.gate.release(self.slot, self.open);
        self.shared.source.metrics.counts(|| self.shared.counts());
    }
}
