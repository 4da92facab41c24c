//! A database in memory: one connection for reads and writes, used in order of arrival.
//!
//! A second connection would see a database of its own. So everything waits for everything else,
//! and nothing may be nested.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::handle::Attached;
use super::reader::{Gate, Refusal, lock};
use super::touched::Touched;
use super::transactional::Transactional;
use super::watch::Health;
use crate::cache::TableClock;
use crate::error::advice::LONGER_WAIT;
use crate::error::{Error, ErrorKind};
use crate::held::{Held, longest};
use crate::nesting::Use;
use crate::{Conn, DatabaseUrl};

/// The one connection, and the line before it.
pub(super) struct MemoryDatabase {
    gate: Gate,
    held: Arc<Held>,
    place: Mutex<Place>,
}

/// What has become of the connection.
enum Place {
    Open(Box<MemoryConnection>),
    /// A closure has put another one in its place.
    Lost,
    Closed,
}

struct MemoryConnection {
    connection: Transactional,
    touched: Arc<Touched>,
}

/// The turn, until it is dropped.
struct Turn<'m>(&'m MemoryDatabase);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.held.give_back(0);
        self.0.gate.release(0, true);
    }
}

impl MemoryDatabase {
    pub(super) fn open(
        pragmas: &str,
        health: &Arc<Health>,
        clock: &Arc<TableClock>,
    ) -> Result<Self, Error> {
        super::handle::refuse_corrupting_library()?;
        let touched = Arc::new(Touched::new(Arc::clone(clock)));
        let attached = Attached {
            health: Some(Arc::clone(health)),
            touched: Some(Arc::clone(&touched)),
            guard: Some(Arc::new(Guard::new(Some(Arc::clone(&touched))))),
            ..Attached::default()
        };
        let connection = MemoryConnection {
            connection: Transactional::open(
                (":memory:", &DatabaseUrl::SqliteMemory),
                attached,
                pragmas,
                c"BEGIN IMMEDIATE",
            )?,
            touched,
        };
        Ok(Self {
            gate: Gate::new(1),
            held: Arc::new(Held::new("SQLite in memory", 1)),
            place: Mutex::new(Place::Open(Box::new(connection))),
        })
    }

    /// Runs `f` alone, in a transaction.
    ///
    /// # Errors
    /// `Timeout`, `Closed`, what `f` returns, or `TransactionEnded`.
    pub(super) fn run<T, E>(
        &self,
        what: Use,
        patience: Duration,
        caller: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let _turn = self.turn(patience, caller)?;
        let mut place = lock(&self.place);
        let connection = match &mut *place {
            Place::Open(connection) => connection,
            Place::Lost => return Err(lost().into()),
            Place::Closed => return Err(closed().into()),
        };
        connection.begin(what)?;
        // As in a reader: the panic goes on at the caller, and the connection is put in order.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            f(&mut Conn::Sqlite(connection.connection.lend()))
        }));
        let ended = connection.end(what, matches!(outcome, Ok(Ok(_))));
        if connection.connection.is_away() {
            *place = Place::Lost;
        }
        match outcome {
            // What the closure says goes before what its transaction became.
            Ok(result) => {
                let value = result?;
                ended?;
                Ok(value)
            }
            Err(panic) => {
                drop(place);
                resume_unwind(panic)
            }
        }
    }

    /// Refuses further work, and closes the connection, and with it everything stored, when the
    /// running work has ended.
    pub(super) fn close(&self, patience: Duration) -> Result<(), Error> {
        self.gate.close();
        if !self.gate.drained(patience) {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "a read or write did not end within {patience:?}{}",
                    longest(self.held.oldest())
                ),
            ));
        }
        *lock(&self.place) = Place::Closed;
        Ok(())
    }

    /// Who holds its connection.
    pub(super) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    fn turn(
        &self,
        patience: Duration,
        caller: &'static Location<'static>,
    ) -> Result<Turn<'_>, Error> {
        let since = Instant::now();
        match self.gate.acquire(0, patience) {
            Ok(_) => {
                self.held.take(0, caller);
                Ok(Turn(self))
            }
            Err(Refusal::Closed) => Err(closed()),
            Err(Refusal::Timeout) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "the one connection of a database in memory was not free within {:.1?}{}",
                    since.elapsed(),
                    longest(self.held.oldest())
                ),
            )
            .with_hint(LONGER_WAIT)),
        }
    }
}

impl MemoryConnection {
    fn begin(&mut self, what: Use) -> Result<(), Error> {
        self.connection.begin()?;
        match what {
            Use::Read => {
                if let Err(error) = self.connection.execute("PRAGMA query_only = ON") {
                    self.settle();
                    return Err(error);
                }
            }
            Use::Write => self.touched.begin(self.connection.conn()),
        }
        Ok(())
    }

    /// Commits if `keep` and if the transaction is still the one that was begun, else rolls back;
    /// leaves the connection as a new one in any case.
    fn end(&mut self, what: Use, keep: bool) -> Result<(), Error> {
        if let Err(lost) = self.connection.returned() {
            self.touched.lost_track();
            return Err(lost);
        }
        let intact = self.connection.in_transaction() && self.connection.depth() == Some(1);
        let ended = if intact && keep {
            self.commit(what)
        } else if intact {
            Ok(())
        } else {
            self.touched.lost_track();
            Err(Error::new(
                ErrorKind::TransactionEnded,
                "the transaction was ended, or another one left open, by its closure",
            )
            .with_hint("leave BEGIN, COMMIT and ROLLBACK to the database"))
        };
        self.settle();
        if what == Use::Read {
            self.connection.execute("PRAGMA query_only = OFF")?;
        }
        ended
    }

    fn commit(&mut self, what: Use) -> Result<(), Error> {
        if what == Use::Read {
            return self.connection.commit();
        }
        self.touched.before_commit(self.connection.conn());
        self.connection.commit()?;
        self.touched.committed();
        Ok(())
    }

    fn settle(&mut self) {
        if let Err(error) = self.connection.settle() {
            tracing::error!(%error, "a connection in memory cannot be used any more");
        }
        self.touched.rolled_back();
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}

fn lost() -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        "the database in memory went with its connection, which a closure has exchanged",
    )
}
