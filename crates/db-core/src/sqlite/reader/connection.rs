//! One connection of the pool: it can only read, and each read is one transaction.

use std::sync::Arc;

use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::Source;
use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::sqlite::fault::Fault;
use crate::sqlite::guard::Guard;
use crate::sqlite::handle::Attached;
use crate::sqlite::raw_statement::{self, RawStatement};
use crate::sqlite::watch::Health;

/// A `query_only` connection.
///
/// Diesel is told once, when it is opened, that a transaction is open, and never of its end: so
/// `transaction()` inside a read makes a savepoint, and BEGIN and COMMIT go past Diesel.
pub(super) struct ReaderConnection {
    // Statements before the connection: it cannot be closed while they exist.
    begin: RawStatement,
    commit: RawStatement,
    rollback: RawStatement,
    conn: SqliteConnection,
    guard: Arc<Guard>,
    fault: Arc<Fault>,
    health: Arc<Health>,
    /// Reads that the anchor did not spare from locking, since it was moved by this connection.
    pub(super) unspared: u32,
}

impl ReaderConnection {
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let fault = Arc::new(Fault::default());
        let guard = Arc::new(Guard::new(None));
        let attached = Attached {
            health: Some(Arc::clone(&source.health)),
            key: source.key.clone(),
            guard: Some(Arc::clone(&guard)),
            fault: Some(Arc::clone(&fault)),
            ..Attached::default()
        };
        let (mut conn, [begin, mut commit, rollback]) = source.file.open(|target| {
            raw_statement::open_with_statements(
                (target, &source.url),
                attached,
                &source.setup,
                [c"BEGIN", c"COMMIT", c"ROLLBACK"],
            )
        })?;
        AnsiTransactionManager::begin_transaction(&mut conn)
            .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        commit.run()?;
        Ok(Self {
            begin,
            commit,
            rollback,
            conn,
            guard,
            fault,
            health: Arc::clone(&source.health),
            unspared: 0,
        })
    }

    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.begin.run()?;
        self.guard.lent(true);
        Ok(())
    }

    /// Ends the transaction after its closure.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionEnded`] if it is no longer the one that [`begin`](Self::begin)
    /// opened: what the closure has read may then be of several snapshots.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.guard.lent(false);
        // Of a failure while rows were read Diesel tells nobody (see `handle`).
        let code = self.begin.last_code();
        if code != 0 {
            self.fault.note(code);
            self.health.note(code);
        }
        if self.begin.in_transaction() && self.depth() == Some(1) {
            return self.commit.run().map(|_| ());
        }
        Err(Error::new(
            ErrorKind::TransactionEnded,
            "the transaction of a read was ended, or another one left open, by its closure",
        )
        .with_hint("leave BEGIN, COMMIT and ROLLBACK to the database"))
    }

    /// After a panic: ends whatever is open.
    pub(super) fn abandon(&mut self) {
        self.guard.lent(false);
        if self.begin.in_transaction()
            && let Err(error) = self.rollback.run()
        {
            tracing::debug!(%error, "a read that panicked could not be rolled back");
        }
    }

    /// Whether the next read may use this connection: no error has broken it, and nothing of the
    /// last read is left.
    pub(super) fn is_clean(&mut self) -> bool {
        !self.fault.is_set()
            && !self.begin.in_transaction()
            && !self.begin.holds_snapshot()
            && self.depth() == Some(1)
    }

    /// How many transactions Diesel believes to be open, one within the other.
    fn depth(&mut self) -> Option<u32> {
        match AnsiTransactionManager::transaction_manager_status_mut(&mut self.conn)
            .transaction_depth()
        {
            Ok(depth) => depth.map(std::num::NonZeroU32::get),
            Err(_) => None,
        }
    }
}
