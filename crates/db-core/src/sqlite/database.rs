//! A SQLite database as one thing: readers, the writer, and the end of both.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::MemoryDatabase;
use super::reader::{Anchor, Limits, ReaderStats, Readers, Source};
use super::session;
use super::watch::Health;
use super::writer::{NoSnapshot, Observer, SnapshotHolder, Writer};
use crate::Conn;
use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::{Error, ErrorKind};
use crate::held::{Held, Holder};
use crate::metrics::PoolMetrics;
use crate::nesting::{self, Use};

/// What a SQLite database is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteStats {
    /// The readers; none in memory, where one connection does everything.
    pub readers: Option<ReaderStats>,
    /// Whose closure has the connection that writes; in memory, the only one.
    pub writing: Option<Holder>,
    /// Writes that wait for their turn.
    pub pending_writes: usize,
    /// Pages in the write-ahead log, after the last commit made here.
    pub wal_pages: u32,
    /// The damage that was seen, since when writes are refused.
    pub damage: Option<Error>,
}

/// The failures of both.
fn both(one: Result<(), Error>, other: Result<(), Error>) -> Result<(), Error> {
    match (one, other) {
        (Err(one), Err(other)) => Err(Error::new(
            one.kind(),
            format!("{}; {}", one.message(), other.message()),
        )),
        (one, other) => one.and(other),
    }
}

fn no_file() -> Error {
    Error::new(ErrorKind::Other, "the database has no file")
}

/// An open SQLite database.
pub(crate) struct SqliteDatabase {
    clock: Arc<TableClock>,
    patience: Duration,
    /// Whether readers and the writer do not wait for each other.
    has_log: bool,
    health: Arc<Health>,
    store: Store,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them, in an `Arc`"
)]
enum Store {
    File {
        // Readers before the writer: the last connection to close takes the log away, and only
        // the writer's may write to the file.
        readers: Readers,
        writer: Writer,
    },
    Memory(MemoryDatabase),
}

impl SqliteDatabase {
    /// Opens the file, which is created if need be, or a new database in memory.
    ///
    /// # Errors
    /// What opening the file says, classified.
    pub(crate) fn open(
        options: &SqliteOptions,
        observer: Arc<dyn Observer>,
        metrics: PoolMetrics,
        clock: &Arc<TableClock>,
    ) -> Result<Self, Error> {
        let health = Arc::new(Health::default());
        let store = if options.url.path().is_none() {
            let pragmas = session::memory_pragmas(options);
            Store::Memory(MemoryDatabase::open(&pragmas, &health, clock)?)
        } else {
            // Without a log a snapshot would keep the writer from committing.
            let anchor = options.wal.then(|| Arc::new(Anchor::new()));
            let holder: Arc<dyn SnapshotHolder> = match anchor.clone() {
                Some(anchor) => anchor,
                None => Arc::new(NoSnapshot),
            };
            let source_pragmas = session::reader_pragmas(options);
            // The writer creates the file, switches it to WAL, and says which one it is.
            let writer = Writer::open(
                options.clone(),
                Arc::clone(&health),
                holder,
                observer,
                Arc::clone(clock),
            )?;
            let source = Source {
                file: writer.file().ok_or_else(no_file)?,
                url: options.url.clone(),
                setup: source_pragmas,
                key: options.key()?,
                health: Arc::clone(&health),
                metrics,
            };
            let limits = Limits {
                connections: usize::try_from(options.max_readers).unwrap_or(usize::MAX),
                idle: options.idle_timeout,
            };
            let readers = Readers::new(source, limits, anchor)?;
            Store::File { readers, writer }
        };
        Ok(Self {
            clock: Arc::clone(clock),
            patience: options.acquire_timeout,
            has_log: options.wal,
            health,
            store,
        })
    }

    /// Runs `f` on a connection that cannot write, in a transaction: one snapshot, the newest.
    /// `caller` is who is named when it holds the connection too long.
    ///
    /// # Errors
    /// `Timeout`, `Closed`, `Nested`, `TransactionEnded`, and whatever `f` returns.
    pub(crate) fn read<T, E>(
        &self,
        patience: Option<Duration>,
        caller: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let patience = patience.unwrap_or(self.patience);
        match &self.store {
            Store::File { readers, .. } => {
                if self.has_log {
                    nesting::check(&self.clock, Use::Read)?;
                } else {
                    nesting::check_any(&self.clock, Use::Read)?;
                }
                let _in_use = nesting::enter_read(&self.clock);
                readers.read(patience, caller, f)
            }
            Store::Memory(memory) => {
                nesting::check_any(&self.clock, Use::Read)?;
                let _in_use = nesting::enter_read(&self.clock);
                memory.run(Use::Read, patience, caller, f)
            }
        }
    }

    /// Runs `f` in a write transaction and returns when that is committed. Others' closures may
    /// share the COMMIT. `patience` is for the wait until `f` begins, instead of the configured
    /// timeout. `caller` is who is named when it takes too long.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub(crate) fn write<T, E>(
        &self,
        patience: Option<Duration>,
        caller: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        let patience = patience.unwrap_or(self.patience);
        match &self.store {
            Store::File { writer, .. } => {
                let deadline = Instant::now().checked_add(patience);
                writer.write(deadline, caller, |conn| f(&mut Conn::Sqlite(conn)))
            }
            Store::Memory(memory) => {
                nesting::check_any(&self.clock, Use::Write)?;
                if let Some(damage) = self.health.damage() {
                    return Err(damage.into());
                }
                let _in_use = nesting::enter_write(&self.clock);
                memory.run(Use::Write, patience, caller, f)
            }
        }
    }

    /// Ends the work: nothing new is taken, what runs may end until the deadline, the log goes
    /// back into the file. Once more is no error.
    ///
    /// # Errors
    /// `Timeout` when a read or a write was still running; it ends by itself. `Nested` inside a
    /// read or write of this database.
    pub(crate) fn close(&self, patience: Duration) -> Result<(), Error> {
        nesting::check_close(&self.clock)?;
        match &self.store {
            Store::File { readers, writer } => {
                let end = Instant::now().checked_add(patience);
                // It closes last, and must take nothing new while reads run out.
                writer.refuse();
                let readers = readers.close(patience);
                let writer = writer.close(end);
                both(readers, writer)
            }
            Store::Memory(memory) => memory.close(patience),
        }
    }

    /// Who holds its connections.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Arc<Held>> {
        let (first, second) = match &self.store {
            Store::File { readers, writer } => (readers.held(), Some(writer.held())),
            Store::Memory(memory) => (memory.held(), None),
        };
        std::iter::once(first).chain(second)
    }

    /// Who has held longest what is needed for this; in memory it is one connection for all.
    pub(crate) fn oldest(&self, what: Use) -> Option<Holder> {
        let held = match (&self.store, what) {
            (Store::File { readers, .. }, Use::Read) => readers.held(),
            (Store::File { writer, .. }, Use::Write) => writer.held(),
            (Store::Memory(memory), _) => memory.held(),
        };
        held.oldest()
    }

    /// What it is doing.
    pub(crate) fn stats(&self) -> SqliteStats {
        let (readers, pending_writes, wal_pages) = match &self.store {
            Store::File { readers, writer } => {
                (Some(readers.stats()), writer.pending(), writer.wal_pages())
            }
            Store::Memory(_) => (None, 0, 0),
        };
        SqliteStats {
            readers,
            writing: self.oldest(Use::Write),
            pending_writes,
            wal_pages,
            damage: self.health.damage(),
        }
    }

    /// The writer, whose queue takes writes without a thread that waits; `None` in memory, where
    /// there is no queue and [`write`](Self::write) takes as long as the closures before it.
    pub(crate) const fn writer(&self) -> Option<&Writer> {
        match &self.store {
            Store::File { writer, .. } => Some(writer),
            Store::Memory(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn anchor(&self) -> Option<&Anchor> {
        match &self.store {
            Store::File { readers, .. } => readers.anchor(),
            Store::Memory(_) => None,
        }
    }
}
