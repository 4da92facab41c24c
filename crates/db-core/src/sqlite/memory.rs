//! A database in memory: one connection for reads and writes, used in order of arrival.
//!
//! A second connection would see a database of its own. So everything waits for everything else,
//! and nothing may be nested.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};

use super::guard::Guard;
use super::handle::Attached;
use super::raw_statement::{self, RawStatement};
use super::reader::{Gate, Refusal, lock};
use super::touched::Touched;
use super::watch::Health;
use crate::cache::TableClock;
use crate::error::{Error, ErrorKind};
use crate::held::{Held, longest};
use crate::nesting::Use;
use crate::{Conn, DatabaseUrl, Engine};

/// The one connection, and the line before it.
pub(super) struct MemoryDatabase {
    gate: Gate,
    held: Arc<Held>,
    connection: Mutex<Option<MemoryConnection>>,
}

/// Diesel is told once that a transaction is open, as in a reader, and never of its end.
struct MemoryConnection {
    // Statements before the connection: it cannot be closed while they exist.
    begin: RawStatement,
    commit: RawStatement,
    rollback: RawStatement,
    conn: SqliteConnection,
    touched: Arc<Touched>,
    guard: Arc<Guard>,
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
        let guard = Arc::new(Guard::new(Some(Arc::clone(&touched))));
        let attached = Attached {
            health: Some(Arc::clone(health)),
            touched: Some(Arc::clone(&touched)),
            guard: Some(Arc::clone(&guard)),
            ..Attached::default()
        };
        let (mut conn, [begin, commit, rollback]) = raw_statement::open_with_statements(
            (":memory:", &DatabaseUrl::SqliteMemory),
            attached,
            pragmas,
            [c"BEGIN IMMEDIATE", c"COMMIT", c"ROLLBACK"],
        )?;
        AnsiTransactionManager::begin_transaction(&mut conn).map_err(|e| classify(&e))?;
        let mut connection = MemoryConnection {
            begin,
            commit,
            rollback,
            conn,
            touched,
            guard,
        };
        connection.commit.run()?;
        Ok(Self {
            gate: Gate::new(1),
            held: Arc::new(Held::new("SQLite in memory", 1)),
            connection: Mutex::new(Some(connection)),
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
        let mut place = lock(&self.connection);
        let connection = place.as_mut().ok_or_else(closed)?;
        connection.begin(what)?;
        // As in a reader: the panic goes on at the caller, and the connection is put in order.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            f(&mut Conn::Sqlite(&mut connection.conn))
        }));
        match outcome {
            Ok(Ok(value)) => {
                connection.end(what, true)?;
                Ok(value)
            }
            Ok(Err(error)) => {
                // What the closure says goes before what its transaction became.
                let _ = connection.end(what, false);
                Err(error)
            }
            Err(panic) => {
                let _ = connection.end(what, false);
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
        drop(lock(&self.connection).take());
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
            )),
        }
    }
}

impl MemoryConnection {
    fn begin(&mut self, what: Use) -> Result<(), Error> {
        self.begin.run()?;
        match what {
            Use::Read => {
                if let Err(error) = self.execute("PRAGMA query_only = ON") {
                    self.settle();
                    return Err(error);
                }
            }
            Use::Write => self.touched.begin(&mut self.conn),
        }
        self.guard.lent(true);
        Ok(())
    }

    /// Commits if `keep` and if the transaction is still the one that was begun, else rolls back;
    /// leaves the connection as a new one in any case.
    fn end(&mut self, what: Use, keep: bool) -> Result<(), Error> {
        self.guard.lent(false);
        let intact = self.begin.in_transaction() && self.depth() == Some(1);
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
            self.execute("PRAGMA query_only = OFF")?;
        }
        ended
    }

    fn commit(&mut self, what: Use) -> Result<(), Error> {
        if what == Use::Read {
            return self.commit.run().map(|_| ());
        }
        self.touched.before_commit(&mut self.conn);
        self.commit.run()?;
        self.touched.committed();
        Ok(())
    }

    /// No transaction in SQLite, one in Diesel's eyes.
    fn settle(&mut self) {
        while self.depth().is_some_and(|depth| depth > 1) {
            // It counts down also where the savepoint is gone already.
            let _ = AnsiTransactionManager::rollback_transaction(&mut self.conn);
        }
        if self.begin.in_transaction()
            && let Err(error) = self.rollback.run()
        {
            tracing::error!(%error, "a transaction in memory could not be rolled back");
        }
        self.touched.rolled_back();
        if self.depth().is_none() {
            // No SQL: only Diesel's count is to change.
            let counted = AnsiTransactionManager::begin_transaction_sql(&mut self.conn, "");
            if let Err(error) = counted {
                tracing::error!(%error, "a connection in memory cannot be used any more");
            }
        }
    }

    fn depth(&mut self) -> Option<u32> {
        AnsiTransactionManager::transaction_manager_status_mut(&mut self.conn)
            .transaction_depth()
            .ok()?
            .map(u32::from)
    }

    fn execute(&mut self, sql: &str) -> Result<(), Error> {
        self.conn.batch_execute(sql).map_err(|e| classify(&e))
    }
}

fn classify(error: &diesel::result::Error) -> Error {
    Error::classify(Engine::Sqlite, error)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}
