//! One connection of the pool: it can only read, and each read is one transaction.

use std::sync::Arc;

use diesel::SqliteConnection;

use super::Source;
use crate::error::{Error, ErrorKind};
use crate::sqlite::fault::Fault;
use crate::sqlite::guard::Guard;
use crate::sqlite::handle::Attached;
use crate::sqlite::transactional::Transactional;
use crate::sqlite::watch::Health;

/// A `query_only` connection.
pub(super) struct ReaderConnection {
    connection: Transactional,
    fault: Arc<Fault>,
    health: Arc<Health>,
    /// Reads that the anchor did not spare from locking, since it was moved by this connection.
    pub(super) unspared: u32,
}

impl ReaderConnection {
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let fault = Arc::new(Fault::default());
        let attached = Attached {
            health: Some(Arc::clone(&source.health)),
            key: source.key.clone(),
            guard: Some(Arc::new(Guard::new(None))),
            fault: Some(Arc::clone(&fault)),
            ..Attached::default()
        };
        let connection = source.file.open(|target| {
            Transactional::open((target, &source.url), attached, &source.setup, c"BEGIN")
        })?;
        Ok(Self {
            connection,
            fault,
            health: Arc::clone(&source.health),
            unspared: 0,
        })
    }

    /// For the closure.
    pub(super) fn lend(&mut self) -> &mut SqliteConnection {
        self.connection.lend()
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.connection.begin()
    }

    /// Ends the transaction after its closure.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionEnded`] if it is no longer the one that [`begin`](Self::begin)
    /// opened: what the closure has read may then be of several snapshots. Also if the connection is
    /// no longer the one that was lent.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.connection.returned()?;
        // Of a failure while rows were read Diesel tells nobody (see `handle`).
        let code = self.connection.last_code();
        if code != 0 {
            self.fault.note(code);
            self.health.note(code);
        }
        if self.connection.in_transaction() && self.connection.depth() == Some(1) {
            return self.connection.commit();
        }
        Err(Error::new(
            ErrorKind::TransactionEnded,
            "the transaction of a read was ended, or another one left open, by its closure",
        )
        .with_hint("leave BEGIN, COMMIT and ROLLBACK to the database"))
    }

    /// After a panic: ends whatever is open.
    pub(super) fn abandon(&mut self) {
        let undone = self.connection.returned();
        if let Err(error) = undone.and_then(|()| self.connection.rollback()) {
            tracing::debug!(%error, "a read that panicked could not be rolled back");
        }
    }

    /// Whether the next read may use this connection: it is the one that was opened, no error has
    /// broken it, and nothing of the last read is left.
    pub(super) fn is_clean(&mut self) -> bool {
        !self.connection.is_away()
            && !self.fault.is_set()
            && !self.connection.in_transaction()
            && !self.connection.holds_snapshot()
            && self.connection.depth() == Some(1)
    }
}
