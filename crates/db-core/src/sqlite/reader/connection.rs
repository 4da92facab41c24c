//! One connection of the pool: it can only read, and each read is one transaction.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::{Connection as _, SqliteConnection};
use libsqlite3_sys as ffi;

use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::sqlite::damage::Damage;
use crate::sqlite::handle::Watch;
use crate::sqlite::raw_statement::{self, RawStatement};

use super::Source;

/// The bits of an extended result code that hold the primary one.
const PRIMARY_MASK: c_int = 0xff;

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
    fault: Arc<Fault>,
    /// Reads that the anchor did not spare from locking, since it was moved by this connection.
    pub(super) unspared: u32,
}

/// Whether an error has made the connection unusable.
pub(super) struct Fault {
    unusable: AtomicBool,
    damage: Arc<Damage>,
}

impl Fault {
    fn new(damage: &Arc<Damage>) -> Self {
        Self {
            unusable: AtomicBool::new(false),
            damage: Arc::clone(damage),
        }
    }

    /// Only tells of damage.
    pub(super) fn watch(damage: &Arc<Damage>) -> Arc<dyn Watch> {
        Arc::new(Self::new(damage))
    }
}

impl Watch for Fault {
    fn saw(&self, code: c_int, message: &str) {
        let damaged = self.damage.note(code, message);
        if damaged
            || matches!(
                code & PRIMARY_MASK,
                ffi::SQLITE_IOERR
                    | ffi::SQLITE_CANTOPEN
                    | ffi::SQLITE_PROTOCOL
                    | ffi::SQLITE_INTERNAL
                    | ffi::SQLITE_MISUSE
                    | ffi::SQLITE_NOMEM
            )
        {
            self.unusable.store(true, Ordering::Relaxed);
        }
    }
}

impl ReaderConnection {
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let fault = Arc::new(Fault::new(&source.damage));
        let watch = Arc::clone(&fault) as Arc<dyn Watch>;
        let (mut conn, [begin, mut commit, rollback]) = raw_statement::open_with_statements(
            (&source.target, &source.url),
            watch,
            &source.setup,
            [c"BEGIN", c"COMMIT", c"ROLLBACK"],
        )?;
        AnsiTransactionManager::begin_transaction(&mut conn)
            .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        commit.run()?;
        Ok(Self {
            begin,
            commit,
            rollback,
            conn,
            fault,
            unspared: 0,
        })
    }

    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.begin.run().map(|_| ())
    }

    /// Ends the transaction after its closure.
    ///
    /// # Errors
    /// [`ErrorKind::TransactionEnded`] if it is no longer the one that [`begin`](Self::begin)
    /// opened: what the closure has read may then be of several snapshots.
    pub(super) fn end(&mut self) -> Result<(), Error> {
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
        if self.begin.in_transaction()
            && let Err(error) = self.rollback.run()
        {
            tracing::debug!(%error, "a read that panicked could not be rolled back");
        }
    }

    /// Whether the next read may use this connection: no error has broken it, and nothing of the
    /// last read is left.
    pub(super) fn is_clean(&mut self) -> bool {
        !self.fault.unusable.load(Ordering::Relaxed)
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
