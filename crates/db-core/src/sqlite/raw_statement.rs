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
use std::sync::Arc;

use libsqlite3_sys as ffi;

use super::fault;
use super::handle::Opened;
use super::identity::Identity;
use crate::error::Error;

/// A prepared statement without parameters.
///
/// It keeps its connection alive: Diesel closes with `sqlite3_close`, which refuses while a
/// statement exists. So every method may use the connection behind the statement while that is at
/// home (see `identity`); while it is away none does, and the statement is leaked if it is dropped.
/// Drop it before Diesel's owner all the same, which panics when its close is refused.
pub(super) struct RawStatement {
    raw: NonNull<ffi::sqlite3_stmt>,
    identity: Arc<Identity>,
}

// SAFETY: it is used where its connection is at home, by the owner of both, who moves them
// between threads together.
unsafe impl Send for RawStatement {}

impl RawStatement {
    /// Prepares `sql`, one statement, on a connection at home.
    ///
    /// # Safety
    /// The connection must be open during this call, and not in use by another thread.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) unsafe fn prepare(identity: &Arc<Identity>, sql: &CStr) -> Result<Self, Error> {
        let connection = identity.home()?;
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
            Some(raw) => Ok(Self {
                raw,
                identity: Arc::clone(identity),
            }),
            // SAFETY: the caller keeps the connection open, and has it to itself.
            None => Err(unsafe { error_of(connection.as_ptr(), code) }),
        }
    }

    /// Prepares `sql`, one statement, on a connection that was just opened.
    ///
    /// # Errors
    /// What SQLite says of the text.
    pub(super) fn on(opened: &mut Opened, sql: &CStr) -> Result<Self, Error> {
        // SAFETY: the connection is borrowed here, so it is open and used by nobody else.
        unsafe { Self::prepare(opened.identity(), sql) }
    }

    /// Prepares `sql` on the connection that this statement belongs to.
    ///
    /// # Errors
    /// What SQLite says of the text; that the connection is away.
    pub(super) fn sibling(&self, sql: &CStr) -> Result<Self, Error> {
        // SAFETY: this statement keeps its connection open, which is used only if it is at home.
        unsafe { Self::prepare(&self.identity, sql) }
    }

    /// Runs the statement to its first row or its end, and returns the first column of that row.
    ///
    /// # Errors
    /// What SQLite says, classified; that the connection is away.
    pub(super) fn run(&mut self) -> Result<Option<i64>, Error> {
        let connection = self.identity.home()?;
        let raw = self.raw.as_ptr();
        // SAFETY: the statement is prepared and not finalized; its connection is at home, and
        // `&mut self` makes this the one use.
        let code = unsafe { ffi::sqlite3_step(raw) };
        let value = match code {
            // SAFETY: the statement stands on a row, and column numbers beyond its last are null.
            ffi::SQLITE_ROW => Some(unsafe { ffi::sqlite3_column_int64(raw, 0) }),
            _ => None,
        };
        let failed = match code {
            ffi::SQLITE_ROW | ffi::SQLITE_DONE => None,
            // SAFETY: the statement keeps its connection open, whose owner has lent it for this step.
            _ => Some(unsafe { error_of(connection.as_ptr(), code) }),
        };
        // SAFETY: as for the step. What it returns is the step's own error again.
        unsafe { ffi::sqlite3_reset(raw) };
        failed.map_or(Ok(value), Err)
    }

    /// How often it was run.
    #[cfg(test)]
    pub(super) fn runs(&self) -> c_int {
        // SAFETY: the statement is not finalized; 0 resets nothing.
        unsafe { ffi::sqlite3_stmt_status(self.raw.as_ptr(), ffi::SQLITE_STMTSTATUS_RUN, 0) }
    }

    /// The extended code of the connection's last call, 0 if it went well, or if it is away.
    pub(super) fn last_code(&self) -> c_int {
        self.at_home().map_or(ffi::SQLITE_OK, |connection| {
            // SAFETY: the statement keeps its connection open, which is at home.
            match unsafe { ffi::sqlite3_extended_errcode(connection) } {
                ffi::SQLITE_ROW | ffi::SQLITE_DONE => ffi::SQLITE_OK,
                code => code,
            }
        })
    }

    /// Whether BEGIN has opened a transaction that is not yet ended; no if the connection is away.
    pub(super) fn in_transaction(&self) -> bool {
        self.at_home().is_some_and(|connection| {
            // SAFETY: the statement keeps its connection open, which is at home.
            unsafe { ffi::sqlite3_get_autocommit(connection) == 0 }
        })
    }

    /// Whether the connection holds a snapshot, by a transaction or by a statement left running; no
    /// if it is away.
    pub(super) fn holds_snapshot(&self) -> bool {
        self.at_home().is_some_and(|connection| {
            // SAFETY: the statement keeps its connection open, which is at home; a null name asks
            // for all databases.
            unsafe { ffi::sqlite3_txn_state(connection, ptr::null()) != ffi::SQLITE_TXN_NONE }
        })
    }

    /// Whether a COMMIT would fail for a foreign key that nothing satisfies yet; no if the connection
    /// is away.
    pub(super) fn owes_foreign_keys(&self) -> bool {
        let Some(connection) = self.at_home() else {
            return false;
        };
        let (mut now, mut most): (c_int, c_int) = (0, 0);
        // SAFETY: the statement keeps its connection open, which is at home; the call writes two
        // numbers.
        let status = unsafe {
            ffi::sqlite3_db_status(
                connection,
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut now,
                &raw mut most,
                0,
            )
        };
        status == ffi::SQLITE_OK && now != 0
    }

    /// Its connection, which is open and nobody else's while this is asked; none if it is away.
    fn at_home(&self) -> Option<*mut ffi::sqlite3> {
        let identity = &self.identity;
        identity.at_home().then(|| identity.handle().as_ptr())
    }
}

impl Drop for RawStatement {
    fn drop(&mut self) {
        if self.identity.at_home() {
            // SAFETY: finalized once, here, where the connection is at home. The code returned is
            // that of the last step, reported then.
            unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
        }
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
