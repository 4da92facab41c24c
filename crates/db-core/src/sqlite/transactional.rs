//! A connection whose transactions are opened and ended past Diesel.
//!
//! Diesel is told once that a transaction is open, and never of its end. So `transaction()` in a
//! closure makes a savepoint, and BEGIN and COMMIT are statements that were prepared once: Diesel
//! sends them as text, which is parsed each time.

use std::ffi::{CStr, CString};

use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};

use super::handle::{self, Attached, Opened};
use super::identity::Kept;
use super::raw_statement::RawStatement;
use crate::error::Error;
use crate::{DatabaseUrl, Engine, Interrupt};

/// A connection, and the statements around its transactions.
pub(super) struct Transactional {
    // Statements before the connection: it cannot be closed while they exist.
    begin: RawStatement,
    commit: RawStatement,
    rollback: RawStatement,
    conn: Kept,
}

impl Transactional {
    /// Opens `target`, the file behind `url`, and runs `setup`. `begin` opens each transaction.
    ///
    /// # Errors
    /// What SQLite says, classified.
    pub(super) fn open(
        (target, url): (&str, &DatabaseUrl),
        attached: Attached,
        setup: &str,
        begin: &CStr,
    ) -> Result<Self, Error> {
        let mut opened = handle::establish(target, &Interrupt::default(), attached)
            .map_err(|e| Error::classify_connect(&e, url))?;
        execute(opened.conn(), setup)?;
        Self::new(opened, begin)
    }

    /// Takes over a connection that is in no transaction.
    ///
    /// # Errors
    /// What SQLite says, classified.
    pub(super) fn new(mut opened: Opened, begin: &CStr) -> Result<Self, Error> {
        count_one(opened.conn())?;
        let begin = RawStatement::on(&mut opened, begin)?;
        Ok(Self {
            commit: begin.sibling(c"COMMIT")?,
            rollback: begin.sibling(c"ROLLBACK")?,
            begin,
            conn: opened.into_kept(),
        })
    }

    /// Prepares `sql`, one statement, on this connection. Drop it before the connection.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) fn prepare(&self, sql: &CStr) -> Result<RawStatement, Error> {
        self.begin.sibling(sql)
    }

    /// The connection, for what the database itself does. It must be at home.
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        self.conn.conn()
    }

    /// The connection for a closure. It is away until [`returned`](Self::returned).
    #[inline]
    pub(super) fn lend(&mut self) -> &mut SqliteConnection {
        self.conn.lend()
    }

    /// After the closure, and before anything else.
    ///
    /// # Errors
    /// That the closure left another connection here: nothing of this one is to be used any more.
    #[inline]
    pub(super) fn returned(&mut self) -> Result<(), Error> {
        self.conn.returned()
    }

    /// Whether the connection is away, after [`returned`](Self::returned) for ever.
    pub(super) fn is_away(&self) -> bool {
        !self.conn.identity().at_home()
    }

    /// Whether a COMMIT would fail for a foreign key that nothing satisfies yet.
    pub(super) fn owes_foreign_keys(&self) -> bool {
        self.begin.owes_foreign_keys()
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        let begun = self.begin.run();
        self.noted(begun)
    }

    pub(super) fn commit(&mut self) -> Result<(), Error> {
        let committed = self.commit.run();
        self.noted(committed)
    }

    /// Rolls back whatever is open.
    pub(super) fn rollback(&mut self) -> Result<(), Error> {
        if !self.begin.in_transaction() {
            return Ok(());
        }
        let undone = self.rollback.run();
        self.noted(undone)
    }

    /// What a statement of this connection came to. Damage is noted, as it is of Diesel's.
    pub(super) fn noted(&self, done: Result<Option<i64>, Error>) -> Result<(), Error> {
        if let (Err(error), Some(health)) = (&done, &self.conn.identity().listeners().health)
            && let Some(code) = error.sqlite_code()
        {
            health.note(code);
        }
        done.map(drop)
    }

    pub(super) fn execute(&mut self, sql: &str) -> Result<(), Error> {
        execute(self.conn.conn(), sql)
    }

    /// Whether SQLite is in a transaction.
    pub(super) fn in_transaction(&self) -> bool {
        self.begin.in_transaction()
    }

    /// Whether the connection holds a snapshot, by a transaction or by a statement left running.
    pub(super) fn holds_snapshot(&self) -> bool {
        self.begin.holds_snapshot()
    }

    /// The extended code of the connection's last call, 0 if it went well.
    pub(super) fn last_code(&self) -> i32 {
        self.begin.last_code()
    }

    /// How many transactions Diesel believes to be open, one within the other: 1 outside of its
    /// own; none if it has given the connection up.
    pub(super) fn depth(&mut self) -> Option<u32> {
        AnsiTransactionManager::transaction_manager_status_mut(self.conn.conn())
            .transaction_depth()
            .ok()?
            .map(u32::from)
    }

    /// Keeps what Diesel's transactions inside the open one did, and ends them.
    pub(super) fn release_nested(&mut self) -> Result<(), Error> {
        while self.depth().is_some_and(|depth| depth > 1) {
            AnsiTransactionManager::commit_transaction(self.conn.conn())
                .map_err(|e| classify(&e))?;
        }
        Ok(())
    }

    /// Makes all savepoints of this name one with the transaction.
    pub(super) fn release_savepoints(&mut self, name: &CStr) {
        let name = name.to_string_lossy().replace('"', "\"\"");
        // Without a NUL inside, since the name has none.
        let sql = CString::new(format!("RELEASE \"{name}\"")).unwrap_or_default();
        // Until there is none of this name.
        if let Ok(mut release) = self.prepare(&sql) {
            while release.run().is_ok() {}
        }
    }

    /// Undoes what Diesel's transactions inside the open one did, and ends them.
    pub(super) fn undo_nested(&mut self) -> Result<(), Error> {
        while self.depth().is_some_and(|depth| depth > 1) {
            AnsiTransactionManager::rollback_transaction(self.conn.conn())
                .map_err(|e| classify(&e))?;
        }
        Ok(())
    }

    /// Makes the connection fit for `begin`, whatever state it is in: no transaction in SQLite, one
    /// in Diesel's eyes.
    ///
    /// # Errors
    /// What stands in the way; the connection cannot be used any more.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let mut before = None;
        while let Some(depth @ 2..) = self.depth()
            && before != Some(depth)
        {
            before = Some(depth);
            // It counts down also where the savepoint is gone already.
            let _ = AnsiTransactionManager::rollback_transaction(self.conn.conn());
        }
        self.rollback()?;
        if self.depth().is_none() {
            count_one(self.conn.conn())?;
        }
        Ok(())
    }
}

impl Drop for Transactional {
    fn drop(&mut self) {
        // After a panic beside a closure. Before the statements go, which are leaked otherwise.
        let _ = self.returned();
    }
}

/// Tells Diesel that a transaction is open. No SQL: only its count is to change.
fn count_one(conn: &mut SqliteConnection) -> Result<(), Error> {
    AnsiTransactionManager::begin_transaction_sql(conn, "").map_err(|e| classify(&e))
}

/// Runs SQL without parameters, classified.
pub(super) fn execute(conn: &mut SqliteConnection, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql).map_err(|e| classify(&e))
}

fn classify(error: &diesel::result::Error) -> Error {
    Error::classify(Engine::Sqlite, error)
}
