//! The readers of a SQLite database: a pool of `query_only` connections.
//!
//! A read costs 2.5 µs, so the pool may not cost much: no lock is shared by the threads that use
//! it while nobody waits, a thread comes back to its own connection, and a transaction is two
//! prepared statements. r2d2 alone, with its one lock and a BEGIN in text, would halve the rate.

mod anchor;
mod connection;
mod gate;
mod keeper;
mod sync;
mod ticket;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::Conn;
use crate::DatabaseUrl;
use crate::duration;
use crate::encryption::EncryptionKey;
use crate::error::advice::MORE_CONNECTIONS;
use crate::error::{Error, ErrorKind};
use crate::held::{Held, Holder, longest};
use crate::metrics::{PoolCounts, PoolMetrics, Stopwatch};
use crate::wait::deadline;

use super::file::Pinned;
use super::watch::Health;

pub(crate) use anchor::Anchor;
pub(super) use gate::{Gate, Refusal};
pub(super) use sync::lock;

use connection::ReaderConnection;
use keeper::Keeper;
use ticket::Ticket;

thread_local! {
    /// The slot that this thread used last. Of whichever pool: it is a hint.
    static LAST_SLOT: Cell<usize> = const { Cell::new(0) };
}

/// Where connections come from.
pub(crate) struct Source {
    /// The database, as messages name it.
    pub(crate) url: DatabaseUrl,
    /// The very file that is written.
    pub(crate) file: Arc<Pinned>,
    /// The pragmas of a reader.
    pub(crate) setup: String,
    /// The key of the file, if it is encrypted.
    pub(crate) key: Option<EncryptionKey>,
    /// Is told of damage to the file.
    pub(crate) health: Arc<Health>,
    /// Is told of connections, and of who waits for one.
    pub(crate) metrics: PoolMetrics,
}

/// How the pool behaves.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at most.
    pub(crate) connections: usize,
    /// One that is not used for this long is closed, if at all.
    pub(crate) idle: Option<Duration>,
}

/// The pool.
pub(crate) struct Readers {
    shared: Arc<Shared>,
    keeper: Keeper,
}

struct Shared {
    source: Source,
    limits: Limits,
    gate: Gate,
    slots: Box<[Slot]>,
    held: Arc<Held>,
    anchor: Option<Arc<Anchor>>,
    counters: Counters,
    keeper: OnceLock<Thread>,
    stop: AtomicBool,
}

/// What stands behind a slot of the gate, and is used only by who has taken that slot.
#[repr(align(128))]
#[derive(Default)]
struct Slot(Mutex<Place>);

#[derive(Default)]
struct Place {
    /// `None` while it is in use, too.
    connection: Option<Box<ReaderConnection>>,
    closed: bool,
}

#[derive(Default)]
struct Counters {
    opened: AtomicU64,
    timeouts: AtomicU64,
}

/// The readers of a SQLite database at one moment, and since it was opened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Connections that are open.
    pub open: usize,
    /// Of these, in use.
    pub in_use: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Connections that were ever opened.
    pub opened: u64,
    /// Reads that had to wait.
    pub waits: u64,
    /// Reads that waited in vain.
    pub timeouts: u64,
    /// The connection that is held longest.
    pub oldest: Option<Holder>,
}

impl Readers {
    /// A pool without connections yet. `anchor` only makes sense on a write-ahead log.
    ///
    /// # Errors
    /// When no thread can be started to look after it.
    pub(crate) fn new(
        source: Source,
        limits: Limits,
        anchor: Option<Arc<Anchor>>,
    ) -> Result<Self, Error> {
        let connections = limits.connections.max(1);
        let shared = Arc::new(Shared {
            gate: Gate::new(connections),
            slots: (0..connections).map(|_| Slot::default()).collect(),
            held: Arc::new(Held::new("SQLite reader", connections)),
            source,
            limits,
            anchor,
            counters: Counters::default(),
            keeper: OnceLock::new(),
            stop: AtomicBool::new(false),
        });
        let keeper = Keeper::start(&shared)?;
        Ok(Self { shared, keeper })
    }

    /// Runs `f` in a transaction of its own: everything it reads is of one snapshot, which is the
    /// newest at its first statement.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when no connection becomes free in time, [`ErrorKind::Closed`],
    /// what opening a connection fails with, [`ErrorKind::TransactionEnded`] when `f` has ended
    /// the transaction, and whatever `f` returns.
    pub(crate) fn read<T, E>(
        &self,
        patience: Duration,
        caller: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let shared = &*self.shared;
        let ticket = Ticket::take(shared, patience, caller)?;
        let mut connection = ticket.connection()?;
        connection.begin()?;
        // Unwind safety: what the closure shares with its caller is the caller's business, because
        // the panic goes on there; the connection is checked before anybody else gets it.
        let outcome = catch_unwind(AssertUnwindSafe(|| f(&mut Conn::Sqlite(connection.lend()))));
        if let Some(anchor) = &shared.anchor
            && anchor.after_read(&mut connection.unspared, &shared.source)
        {
            shared.wake_keeper();
        }
        match outcome {
            Ok(result) => {
                let ended = connection.end();
                ticket.put_back(connection);
                // What the closure says goes before what its transaction became.
                let value = result?;
                ended?;
                Ok(value)
            }
            Err(panic) => {
                connection.abandon();
                ticket.put_back(connection);
                resume_unwind(panic)
            }
        }
    }

    /// The pool at this moment.
    pub(crate) fn stats(&self) -> ReaderStats {
        let Shared {
            gate,
            held,
            counters,
            ..
        } = &*self.shared;
        ReaderStats {
            open: gate.open(),
            in_use: gate.taken(),
            waiting: gate.waiting(),
            opened: counters.opened.load(Ordering::Relaxed),
            waits: gate.waits(),
            timeouts: counters.timeouts.load(Ordering::Relaxed),
            oldest: held.oldest(),
        }
    }

    /// Who holds its connections.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.shared.held
    }

    #[cfg(test)]
    pub(super) fn anchor(&self) -> Option<&Anchor> {
        self.shared.anchor.as_deref()
    }

    /// Refuses new reads and those that wait, lets running ones end, and closes every connection.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when a read is still running after `patience`; its connection is
    /// closed when it ends.
    pub(crate) fn close(&self, patience: Duration) -> Result<(), Error> {
        let shared = &*self.shared;
        let end = deadline(patience);
        shared.gate.close();
        self.keeper.stop(shared);
        let drained = shared.gate.drained(patience);
        if let Some(anchor) = &shared.anchor {
            anchor.close();
        }
        for slot in &shared.slots {
            let mut place = lock(&slot.0);
            place.closed = true;
            drop(place.connection.take());
        }
        // Somebody may have slipped in, and has found its connection still.
        let left = end.saturating_duration_since(Instant::now());
        if drained && shared.gate.drained(left) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "a read did not end within {patience:?}{}",
                longest(shared.held.oldest())
            ),
        ))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.gate.close();
        self.keeper.stop(&self.shared);
        if let Some(anchor) = &self.shared.anchor {
            anchor.close();
        }
    }
}

impl Shared {
    /// A slot of the gate, and why there is none.
    fn acquire(&self, patience: Duration) -> Result<usize, Error> {
        let preferred = LAST_SLOT.get();
        let since = Stopwatch::start();
        let slot = match self.gate.acquire(preferred, patience) {
            Ok(slot) => slot,
            Err(Refusal::Closed) => return Err(closed()),
            Err(Refusal::Timeout) => {
                self.counters.timeouts.fetch_add(1, Ordering::Relaxed);
                self.source.metrics.timed_out();
                return Err(self.timed_out(patience));
            }
        };
        if slot != preferred {
            LAST_SLOT.set(slot);
        }
        self.source.metrics.waited(since);
        self.source.metrics.counts(|| self.counts());
        Ok(slot)
    }

    fn counts(&self) -> PoolCounts {
        let (open, used) = (self.gate.open(), self.gate.taken());
        PoolCounts {
            idle: open.saturating_sub(used),
            used,
            max: self.slots.len(),
            pending: self.gate.waiting(),
        }
    }

    #[cold]
    fn timed_out(&self, patience: Duration) -> Error {
        Error::new(
            ErrorKind::Timeout,
            format!(
                "none of {} connections for reading became free within {}; {} in use, {} callers waiting{}",
                self.slots.len(),
                duration::show(patience),
                self.gate.taken(),
                self.gate.waiting(),
                longest(self.held.oldest())
            ),
        )
        .with_hint(MORE_CONNECTIONS)
    }

    /// Lets the keeper look, now that there is something new to look after.
    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}

#[cfg(test)]
mod tests;
