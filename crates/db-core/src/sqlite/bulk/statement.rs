//! A statement whose cells are read and bound as SQLite stores them.

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use libsqlite3_sys as ffi;

use super::SqliteBulk;
use crate::error::{Error, ErrorKind};
use crate::sqlite::raw_statement::error_of;

/// A value as SQLite stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellRef<'a> {
    /// Nothing.
    Null,
    /// 64 bits.
    Integer(i64),
    /// 64 bits, floating. SQLite stores NaN as NULL.
    Real(f64),
    /// What is called text: most often UTF-8, but SQLite takes any bytes, NUL too.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A prepared statement of a [`SqliteBulk`].
pub struct SqliteStatement<'b> {
    raw: NonNull<ffi::sqlite3_stmt>,
    columns: usize,
    parameters: usize,
    /// Its connection, which cannot be closed, nor lent to Diesel, before it is gone.
    connection: PhantomData<&'b SqliteBulk>,
}

impl SqliteStatement<'_> {
    /// Prepares on a connection that the caller keeps open for the lifetime of the result.
    pub(super) fn prepare(db: NonNull<ffi::sqlite3>, sql: &CStr) -> Result<Self, Error> {
        let mut raw = ptr::null_mut();
        let mut tail = ptr::null();
        // SAFETY: the caller keeps the connection open; the text ends in NUL, which -1 asks for.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                db.as_ptr(),
                sql.as_ptr(),
                -1,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut raw,
                &raw mut tail,
            )
        };
        if code != ffi::SQLITE_OK {
            // SAFETY: the connection is open, and `SqliteBulk` is not shared among threads.
            return Err(unsafe { error_of(db.as_ptr(), code) });
        }
        let Some(raw) = NonNull::new(raw) else {
            return Err(Error::new(ErrorKind::Statement, "there is no statement"));
        };
        // SAFETY: the statement was prepared just now.
        let columns = unsafe { ffi::sqlite3_column_count(raw.as_ptr()) };
        // SAFETY: as above.
        let parameters = unsafe { ffi::sqlite3_bind_parameter_count(raw.as_ptr()) };
        let statement = Self {
            raw,
            columns: usize::try_from(columns).unwrap_or_default(),
            parameters: usize::try_from(parameters).unwrap_or_default(),
            connection: PhantomData,
        };
        // SAFETY: the tail points into `sql`, which ends in NUL and is borrowed here.
        let tail = unsafe { CStr::from_ptr(tail) };
        if tail
            .to_bytes()
            .iter()
            .all(|b| b.is_ascii_whitespace() || *b == b';')
        {
            return Ok(statement);
        }
        let reason = "there is more than one statement";
        Err(Error::new(ErrorKind::Statement, reason))
    }

    /// How many columns a row has; 0 for a statement that returns none.
    #[must_use]
    pub const fn column_count(&self) -> usize {
        self.columns
    }

    /// The name of a column, counted from 0; what is not UTF-8 in it is replaced.
    #[must_use]
    pub fn column_name(&self, column: usize) -> Option<String> {
        // SAFETY: the statement is not finalized, and a number out of range gives null.
        let name = unsafe { ffi::sqlite3_column_name(self.raw.as_ptr(), index(column)) };
        if name.is_null() {
            return None;
        }
        // SAFETY: not null, ends in NUL, and stays until the statement is prepared again; copied.
        let name = unsafe { CStr::from_ptr(name) };
        Some(name.to_string_lossy().into_owned())
    }

    /// Goes to the next row; false after the last one, when the statement has been reset.
    ///
    /// # Errors
    /// What SQLite says, classified; `Cancelled` when the interrupt is set. The statement is reset.
    pub fn step(&mut self) -> Result<bool, Error> {
        // SAFETY: the statement is not finalized; cells of the last row borrow from it, so there are
        // none any more.
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => {
                self.reset();
                Ok(false)
            }
            code => {
                let error = self.failure(code);
                self.reset();
                Err(error)
            }
        }
    }

    /// A cell of the row that the statement stands on, counted from 0; NULL beyond the last column
    /// and where it stands on no row.
    ///
    /// # Errors
    /// `OutOfMemory`, when a text has to be converted for which there is no memory.
    #[inline]
    pub fn cell(&self, column: usize) -> Result<CellRef<'_>, Error> {
        // SAFETY: the statement is not finalized, and beyond the last column or without a row this is
        // a constant NULL. What it points to stays until the next step, reset or bind, which need
        // `&mut self`. It is called unprotected because SQLite does not lock the connection while it
        // is used: this value is on one thread, and has it from a `SqliteBulk` that is not shared.
        let value = unsafe { ffi::sqlite3_column_value(self.raw.as_ptr(), index(column)) };
        // SAFETY: as above, here and for each use of `value` that follows.
        Ok(match unsafe { ffi::sqlite3_value_type(value) } {
            ffi::SQLITE_INTEGER => {
                // SAFETY: as above.
                CellRef::Integer(unsafe { ffi::sqlite3_value_int64(value) })
            }
            ffi::SQLITE_FLOAT => {
                // SAFETY: as above.
                CellRef::Real(unsafe { ffi::sqlite3_value_double(value) })
            }
            ffi::SQLITE_TEXT => {
                // SAFETY: as above. A second call gives the same place, for it is UTF-8 by then.
                let start = unsafe { ffi::sqlite3_value_text(value) };
                // SAFETY: as above.
                let length = unsafe { ffi::sqlite3_value_bytes(value) };
                // Even of an empty text it is the place of its end.
                if start.is_null() {
                    return Err(Error::new(ErrorKind::OutOfMemory, "out of memory"));
                }
                // SAFETY: SQLite gives the start and the length of one allocation, which stays until
                // the next step, reset or bind, for which `self` has to be given back.
                CellRef::Text(unsafe { bytes(start, length) })
            }
            ffi::SQLITE_BLOB => {
                // SAFETY: as above.
                let start = unsafe { ffi::sqlite3_value_blob(value) };
                // SAFETY: as above.
                let length = unsafe { ffi::sqlite3_value_bytes(value) };
                if start.is_null() && length > 0 {
                    return Err(Error::new(ErrorKind::OutOfMemory, "out of memory"));
                }
                // SAFETY: as for texts; of an empty blob it is null, which is seen to.
                CellRef::Blob(unsafe { bytes(start.cast(), length) })
            }
            _ => CellRef::Null,
        })
    }

    /// Runs the statement to its end with these values, one for each parameter, and returns how many
    /// rows the last INSERT, UPDATE or DELETE of the connection changed. The values are not copied,
    /// and nothing of them is kept.
    ///
    /// # Errors
    /// What SQLite says, classified; `Statement` for a wrong number of values.
    pub fn run(&mut self, values: &[CellRef<'_>]) -> Result<u64, Error> {
        let done = self.bind(values).and_then(|()| while_rows(self));
        self.reset();
        // SAFETY: the statement is not finalized.
        unsafe { ffi::sqlite3_clear_bindings(self.raw.as_ptr()) };
        done?;
        // SAFETY: the statement keeps its connection open.
        let changes = unsafe { ffi::sqlite3_changes64(self.connection()) };
        Ok(u64::try_from(changes).unwrap_or_default())
    }

    /// Forgets the row that the statement stands on, so that it can run again.
    pub fn reset(&mut self) {
        // SAFETY: the statement is not finalized. The code is that of the last step, reported then.
        unsafe { ffi::sqlite3_reset(self.raw.as_ptr()) };
    }

    /// Binds without copying; the caller clears the bindings before `values` ends.
    fn bind(&mut self, values: &[CellRef<'_>]) -> Result<(), Error> {
        if values.len() != self.parameters {
            let (got, wanted) = (values.len(), self.parameters);
            let reason = format!("{got} values for a statement of {wanted} parameters");
            return Err(Error::new(ErrorKind::Statement, reason));
        }
        for (value, at) in values.iter().zip(1..) {
            let raw = self.raw.as_ptr();
            let code = match *value {
                // SAFETY: the statement is not finalized and stands on no row; so below.
                CellRef::Null => unsafe { ffi::sqlite3_bind_null(raw, at) },
                // SAFETY: as above.
                CellRef::Integer(value) => unsafe { ffi::sqlite3_bind_int64(raw, at, value) },
                // SAFETY: as above.
                CellRef::Real(value) => unsafe { ffi::sqlite3_bind_double(raw, at, value) },
                // SAFETY: as above; the bytes are borrowed until `run` has cleared the bindings.
                CellRef::Text(text) => unsafe {
                    ffi::sqlite3_bind_text64(
                        raw,
                        at,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_STATIC(),
                        UTF8,
                    )
                },
                // SAFETY: as above. The pointer of an empty slice is not null, so it is no NULL.
                CellRef::Blob(blob) => unsafe {
                    ffi::sqlite3_bind_blob64(
                        raw,
                        at,
                        blob.as_ptr().cast::<c_void>(),
                        blob.len() as u64,
                        ffi::SQLITE_STATIC(),
                    )
                },
            };
            if code != ffi::SQLITE_OK {
                return Err(self.failure(code));
            }
        }
        Ok(())
    }

    fn failure(&self, code: c_int) -> Error {
        // SAFETY: the statement keeps its connection open, which no other thread uses.
        unsafe { error_of(self.connection(), code) }
    }

    fn connection(&self) -> *mut ffi::sqlite3 {
        // SAFETY: the statement is not finalized.
        unsafe { ffi::sqlite3_db_handle(self.raw.as_ptr()) }
    }
}

impl Drop for SqliteStatement<'_> {
    fn drop(&mut self) {
        // SAFETY: finalized once, here. The code returned is that of the last step, reported then.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for SqliteStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStatement")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// The encoding of bound text, in the type that `sqlite3_bind_text64` takes.
#[expect(clippy::cast_possible_truncation, reason = "it is 1")]
const UTF8: u8 = ffi::SQLITE_UTF8 as u8;

fn while_rows(statement: &mut SqliteStatement<'_>) -> Result<(), Error> {
    while statement.step()? {}
    Ok(())
}

/// A column's number for SQLite; a number that is no column's for one that is too great.
fn index(column: usize) -> c_int {
    c_int::try_from(column).unwrap_or(c_int::MAX)
}

/// # Safety
/// `start` is null, or the start of as many initialized bytes that stay for `'a`.
unsafe fn bytes<'a>(start: *const u8, length: c_int) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: the caller's promise.
        Ok(length) if !start.is_null() => unsafe { slice::from_raw_parts(start, length) },
        _ => &[],
    }
}
