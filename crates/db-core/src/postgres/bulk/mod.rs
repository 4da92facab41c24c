//! The door for bulk data on PostgreSQL: COPY, by libpq itself.
//!
//! Diesel has a COPY of its own for tables that it knows when the program is compiled. A transfer
//! learns them while it runs, and passes on rows that it need not understand.

mod copy;
mod wire;

use std::fmt;

use super::connect;
use crate::error::{Error, ErrorKind};
use crate::{Access, DatabaseUrl, Engine, Interrupt};

pub use copy::{CopyIn, CopyOut};

use wire::Wire;

/// One connection to a PostgreSQL database, for rows by the million.
///
/// It obeys the interrupt that it was opened with, and several connections may obey the same one:
/// the wait for the server looks at it, and asks the server to stop.
pub struct PostgresBulk {
    wire: Wire,
    interrupt: Interrupt,
}

impl PostgresBulk {
    /// Connects as [`Connection::open`](crate::Connection::open) does: with a deadline, a name, in
    /// UTF-8, and in English where the role may.
    ///
    /// # Errors
    /// As there; `Configuration` for a URL of SQLite.
    pub fn open(url: &DatabaseUrl, access: Access, interrupt: &Interrupt) -> Result<Self, Error> {
        if url.engine() != Engine::Postgres {
            let reason = "this is not a PostgreSQL database";
            return Err(Error::new(ErrorKind::Configuration, reason));
        }
        let wire = Wire::connect(url, &connect::with_defaults(url), interrupt)?;
        let mut bulk = Self {
            wire,
            interrupt: interrupt.clone(),
        };
        bulk.execute(connect::SPEAK_UTF8)?;
        if let Some(language) = bulk.value("SELECT current_setting('lc_messages')")?
            && !connect::is_english(&language)
            && bulk.execute(connect::SPEAK_ENGLISH).is_err()
        {
            // Errors have their SQLSTATE here, so that only the words are foreign.
            tracing::debug!(language, "the server's messages stay in its language");
        }
        if access == Access::ReadOnly {
            bulk.execute("SET default_transaction_read_only = on")?;
        }
        Ok(bulk)
    }

    /// Runs statements that take no parameters; rows they return are thrown away.
    ///
    /// # Errors
    /// What the server says, classified by its SQLSTATE; `Cancelled` when the interrupt is set.
    pub fn execute(&mut self, sql: &str) -> Result<(), Error> {
        self.wire.send(sql)?;
        self.wire.results(|_| ())
    }

    /// Runs one statement, whatever the text holds: the server refuses several.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); `Statement` for several statements.
    pub fn execute_one(&mut self, sql: &str) -> Result<(), Error> {
        self.rows_one(sql).map(drop)
    }

    /// The rows of one query, whatever the text holds: the server refuses several statements.
    ///
    /// # Errors
    /// As [`execute_one`](Self::execute_one).
    pub fn rows_one(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.wire.send_one(sql)?;
        let mut rows = Vec::new();
        let done = self.wire.results(|result| rows.extend(result.rows()));
        done.map(|()| rows).map_err(|mut error| {
            // A `$1` for which nothing comes breaks the protocol, and not the connection.
            if error.kind() == ErrorKind::ConnectionLost && !self.wire.is_gone() {
                error.kind = ErrorKind::Statement;
            }
            error
        })
    }

    /// Whether a transaction was open when the server last answered, be it one that has failed.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.wire.in_transaction()
    }

    /// Whether a backslash in `'…'` is a letter like any other, as the standard has it.
    #[must_use]
    pub fn has_standard_strings(&self) -> bool {
        self.wire
            .reported(c"standard_conforming_strings")
            .is_none_or(|value| value == "on")
    }

    /// Runs a query with a small answer, and returns its rows as PostgreSQL writes their values.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.wire.send(sql)?;
        let mut rows = Vec::new();
        self.wire.results(|result| rows.extend(result.rows()))?;
        Ok(rows)
    }

    /// Begins a read-only transaction that sees one state of the database, and returns the name under
    /// which [`join_snapshot`](Self::join_snapshot), `pg_dump --snapshot` and `SET TRANSACTION
    /// SNAPSHOT` of another connection see the same one, as long as this transaction is open.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn begin_snapshot(&mut self) -> Result<String, Error> {
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        match self.value("SELECT pg_export_snapshot()")? {
            Some(name) => Ok(name),
            None => Err(Error::new(ErrorKind::Other, "the server names no snapshot")),
        }
    }

    /// Begins a read-only transaction that sees the same state as the one that gave this name.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); `InvalidValue` or `Statement` for a name that is no snapshot's.
    pub fn join_snapshot(&mut self, name: &str) -> Result<(), Error> {
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let name = name.replace('\'', "''");
        self.execute(&format!("SET TRANSACTION SNAPSHOT '{name}'"))
    }

    /// Begins `COPY … TO STDOUT`.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); `Statement` for something else than such a COPY.
    pub fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>, Error> {
        CopyOut::begin(&mut self.wire, sql)
    }

    /// Begins `COPY … FROM STDIN`.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); `Statement` for something else than such a COPY.
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>, Error> {
        CopyIn::begin(&mut self.wire, sql)
    }

    /// What stops this connection.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// The first value of the first row, if it is there and not NULL.
    fn value(&mut self, sql: &str) -> Result<Option<String>, Error> {
        let first = self.rows(sql)?.into_iter().next();
        Ok(first.and_then(|row| row.into_iter().next().flatten()))
    }
}

impl fmt::Debug for PostgresBulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBulk").finish_non_exhaustive()
    }
}
