//! The door for bulk data on SQLite: cells as they are stored, statements stepped by hand.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

mod statement;

use std::ffi::{CString, c_int};
use std::fmt;
use std::ptr::{self, NonNull};

use libsqlite3_sys as ffi;

use super::handle::{self, Attached};
use super::identity::Kept;
use super::raw_statement::{RawStatement, error_of};
use super::{file, open_target, pragmas};
use crate::encryption::{self, EncryptionKey};
use crate::error::{Error, ErrorKind};
use crate::{Access, Conn, DatabaseUrl, Engine, Interrupt};

pub use statement::{CellRef, SqliteStatement};

/// One connection to a SQLite database, for rows by the million.
pub struct SqliteBulk {
    /// Keeps the connection alive whatever a caller does with [`conn`](Self::conn), and is
    /// finalized before it is closed.
    anchor: RawStatement,
    conn: Kept,
    interrupt: Interrupt,
}

impl SqliteBulk {
    /// Opens a connection of its own to a file or a private database in memory, which obeys
    /// `interrupt`.
    ///
    /// # Errors
    /// As [`Connection::open_encrypted`](crate::Connection::open_encrypted); `Configuration` for a
    /// URL of PostgreSQL.
    pub fn open(
        url: &DatabaseUrl,
        access: Access,
        key: Option<&EncryptionKey>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        if url.engine() != Engine::Sqlite {
            let reason = "this is not a SQLite database";
            return Err(Error::new(ErrorKind::Configuration, reason));
        }
        if key.is_some() && url.path().is_none() {
            let reason = encryption::NOT_IN_MEMORY;
            return Err(Error::new(ErrorKind::Configuration, reason));
        }
        handle::refuse_corrupting_library()?;
        let target = match url.path() {
            Some(path) => file::prepare(path, access)?,
            None => ":memory:".to_owned(),
        };
        let attached = Attached {
            key: key.cloned(),
            ..Attached::default()
        };
        let mut opened = open_target((&target, url), interrupt, attached, &pragmas(access))?;
        Ok(Self {
            anchor: RawStatement::on(&mut opened, c"SELECT 1")?,
            conn: opened.into_kept(),
            interrupt: interrupt.clone(),
        })
    }

    /// Runs `f` on the very same connection by Diesel, to read catalogs in the same transaction.
    ///
    /// # Errors
    /// `TransactionEnded` if `f` has left another connection in the place of this one, which then
    /// cannot be used any more, or has given it an instrumentation of its own.
    pub fn with_conn<T>(&mut self, f: impl FnOnce(&mut Conn<'_>) -> T) -> Result<T, Error> {
        let result = f(&mut Conn::Sqlite(self.conn.lend()));
        self.conn.returned()?;
        Ok(result)
    }

    /// Runs statements that take no parameters; rows they return are thrown away.
    ///
    /// # Errors
    /// What SQLite says, classified; those before the one that failed have run.
    pub fn execute(&mut self, sql: &str) -> Result<(), Error> {
        let text = text_of(sql)?;
        let db = self.handle()?;
        // SAFETY: the anchor keeps the connection open and `&mut self` makes this its one use; the
        // text ends in NUL, and without a callback nothing is called back.
        let code = unsafe {
            ffi::sqlite3_exec(
                db.as_ptr(),
                text.as_ptr(),
                None,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the connection is open, and used by nobody else.
        Err(unsafe { error_of(db.as_ptr(), code) })
    }

    /// Prepares one statement. Several may be in use at once.
    ///
    /// # Errors
    /// What SQLite says of the text; `Statement` for a text that holds none or more than one.
    pub fn prepare(&self, sql: &str) -> Result<SqliteStatement<'_>, Error> {
        SqliteStatement::prepare(self.handle()?, &text_of(sql)?)
    }

    /// Whether triggers fire on this connection; they do until this is called.
    ///
    /// # Errors
    /// What SQLite says, which should not happen.
    pub fn triggers(&mut self, on: bool) -> Result<(), Error> {
        let db = self.handle()?;
        let unused: *mut c_int = ptr::null_mut();
        // SAFETY: the connection is open, and this option takes an int and a pointer that may be null.
        let code = unsafe {
            ffi::sqlite3_db_config(
                db.as_ptr(),
                ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER,
                c_int::from(on),
                unused,
            )
        };
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the connection is open, and used by nobody else.
        Err(unsafe { error_of(db.as_ptr(), code) })
    }

    /// Rows that this connection has inserted, changed or deleted since it was opened, by triggers
    /// and foreign keys too.
    #[must_use]
    pub fn total_changes(&self) -> u64 {
        let Ok(db) = self.handle() else {
            return 0;
        };
        // SAFETY: the anchor keeps the connection open, which is at home.
        let changes = unsafe { ffi::sqlite3_total_changes64(db.as_ptr()) };
        u64::try_from(changes).unwrap_or_default()
    }

    /// The rowid of the row that was inserted last.
    #[must_use]
    pub fn last_insert_rowid(&self) -> i64 {
        let Ok(db) = self.handle() else {
            return 0;
        };
        // SAFETY: the anchor keeps the connection open, which is at home.
        unsafe { ffi::sqlite3_last_insert_rowid(db.as_ptr()) }
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.anchor.in_transaction()
    }

    /// Whether rows of the open transaction refer to nothing, for which a COMMIT would be refused.
    #[must_use]
    pub fn owes_foreign_keys(&self) -> bool {
        self.anchor.owes_foreign_keys()
    }

    /// What stops this connection.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    fn handle(&self) -> Result<NonNull<ffi::sqlite3>, Error> {
        self.conn.identity().home()
    }
}

impl Drop for SqliteBulk {
    fn drop(&mut self) {
        // After a panic in `with_conn`. Before the anchor goes, which is leaked otherwise.
        let _ = self.conn.returned();
    }
}

impl fmt::Debug for SqliteBulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBulk").finish_non_exhaustive()
    }
}

fn text_of(sql: &str) -> Result<CString, Error> {
    CString::new(sql).map_err(|_| Error::new(ErrorKind::Statement, "a statement holds a NUL"))
}
