//! Statements that bypass Diesel: what opens and ends transactions, prepared once.
//!
//! Diesel sends transaction control as text that is parsed each time, 0.5 µs for BEGIN and COMMIT
//! where a point read takes 2.5. It also has no way to ask SQLite whether a transaction is open.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use libsqlite3_sys as ffi;

use super::fault;
use super::handle::Opened;
use crate::error::{Error, ErrorKind};

/// A prepared statement without parameters.
///
/// It keeps its connection alive: Diesel closes with `sqlite3_close`, which refuses while a
/// statement exists. So every method may use the connection behind the statement, whatever has
/// become of Diesel's owner of it. Drop it before that owner all the same, which panics when its
/// close is refused.
pub(super) struct RawStatement(NonNull<ffi::sqlite3_stmt>);

// SAFETY: the library is compiled in serialized mode (SQLITE_THREADSAFE=1, and Diesel opens
// without SQLITE_OPEN_NOMUTEX), so each call locks the connection; `&mut self` orders the steps.
unsafe impl Send for RawStatement {}

impl RawStatement {
    /// Prepares `sql`, one statement, on an open connection.
    ///
    /// # Safety
    /// `connection` must be open during this call, and not in use by another thread.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) unsafe fn prepare(
        connection: NonNull<ffi::sqlite3>,
        sql: &CStr,
    ) -> Result<Self, Error> {
        let mut statement = ptr::null_mut();
        // SAFETY: the caller keeps the connection open; `sql` ends in NUL, which -1 asks for.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                connection.as_ptr(),
                sql.as_ptr(),
                -1,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        match NonNull::new(statement) {
            Some(statement) => Ok(Self(statement)),
            // SAFETY: the caller keeps the connection open, and has it to itself.
            None => Err(unsafe { error_of(connection.as_ptr(), code) }),
        }
    }

    /// Prepares `sql`, one statement, on a connection that was just opened.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) fn on(opened: &mut Opened, sql: &CStr) -> Result<Self, Error> {
        // SAFETY: the connection is borrowed here, so it is open.
        unsafe { Self::prepare(opened.handle(), sql) }
    }

    /// Prepares `sql` on the connection that this statement belongs to.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) fn sibling(&self, sql: &CStr) -> Result<Self, Error> {
        match NonNull::new(self.connection()) {
            // SAFETY: this statement keeps its connection open.
            Some(connection) => unsafe { Self::prepare(connection, sql) },
            None => Err(Error::new(
                ErrorKind::Other,
                "a statement has no connection",
            )),
        }
    }

    /// Runs the statement to its first row or its end, and returns the first column of that row.
    ///
    /// # Errors
    /// What SQLite says, classified.
    pub(super) fn run(&mut self) -> Result<Option<i64>, Error> {
        // SAFETY: the statement is prepared and not finalized; `&mut self` makes this the one use.
        let code = unsafe { ffi::sqlite3_step(self.0.as_ptr()) };
        let value = match code {
            // SAFETY: the statement stands on a row, and column numbers beyond its last are null.
            ffi::SQLITE_ROW => Some(unsafe { ffi::sqlite3_column_int64(self.0.as_ptr(), 0) }),
            _ => None,
        };
        let failed = match code {
            ffi::SQLITE_ROW | ffi::SQLITE_DONE => None,
            // SAFETY: the statement keeps its connection open, whose owner has lent it for this step.
            _ => Some(unsafe { error_of(self.connection(), code) }),
        };
        // SAFETY: as for the step. What it returns is the step's own error again.
        unsafe { ffi::sqlite3_reset(self.0.as_ptr()) };
        failed.map_or(Ok(value), Err)
    }

    /// The extended code of the connection's last call, 0 if it went well.
    pub(super) fn last_code(&self) -> c_int {
        // SAFETY: the statement keeps its connection open.
        match unsafe { ffi::sqlite3_extended_errcode(self.connection()) } {
            ffi::SQLITE_ROW | ffi::SQLITE_DONE => ffi::SQLITE_OK,
            code => code,
        }
    }

    /// Whether BEGIN has opened a transaction that is not yet ended.
    pub(super) fn in_transaction(&self) -> bool {
        // SAFETY: the statement keeps its connection open.
        unsafe { ffi::sqlite3_get_autocommit(self.connection()) == 0 }
    }

    /// Whether the connection holds a snapshot, by a transaction or by a statement left running.
    pub(super) fn holds_snapshot(&self) -> bool {
        // SAFETY: the statement keeps its connection open; a null name asks for all databases.
        unsafe { ffi::sqlite3_txn_state(self.connection(), ptr::null()) != ffi::SQLITE_TXN_NONE }
    }

    fn connection(&self) -> *mut ffi::sqlite3 {
        // SAFETY: the statement is not finalized.
        unsafe { ffi::sqlite3_db_handle(self.0.as_ptr()) }
    }
}

impl Drop for RawStatement {
    fn drop(&mut self) {
        // SAFETY: finalized once, here. The code returned is that of the last step, reported then.
        unsafe { ffi::sqlite3_finalize(self.0.as_ptr()) };
    }
}

/// The connection's last error as an [`Error`].
///
/// # Safety
/// `connection` must be open, and not in use by another thread.
pub(super) unsafe fn error_of(connection: *mut ffi::sqlite3, code: c_int) -> Error {
    // SAFETY: the caller keeps the connection open.
    let extended = unsafe { fault::code_of(connection) };
    // SAFETY: as above; SQLite never returns null here.
    let text = unsafe { ffi::sqlite3_errmsg(connection) };
    // SAFETY: the text ends in NUL and stays until the next call on this connection; it is copied.
    let message = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Code 0 would mean that an empty text was prepared, which none of ours is.
    Error::from_sqlite_code(if extended == 0 { code } else { extended }, &message)
}
