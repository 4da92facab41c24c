//! The code of an error, and errors after which a connection is not used again.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, ptr};

use libsqlite3_sys as ffi;

/// The primary code in an extended one.
pub(crate) const fn primary(code: i32) -> i32 {
    code & 0xff
}

/// Whether an error has made one connection unusable. What is wrong may be in its caches, or in a
/// file descriptor, so a new connection is the cure that always works.
#[derive(Debug, Default)]
pub(crate) struct Fault(AtomicBool);

impl Fault {
    /// Takes note of an extended code, if the connection does not survive it.
    pub(super) fn note(&self, code: i32) {
        if matches!(
            primary(code),
            ffi::SQLITE_CORRUPT
                | ffi::SQLITE_NOTADB
                | ffi::SQLITE_IOERR
                | ffi::SQLITE_CANTOPEN
                | ffi::SQLITE_PROTOCOL
                | ffi::SQLITE_INTERNAL
                | ffi::SQLITE_MISUSE
                | ffi::SQLITE_NOMEM
        ) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there was such an error.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The extended code of what failed last on a connection. A write for which there was no room has
/// `SQLITE_FULL`, whatever kept it from having some.
///
/// # Safety
/// `handle` must be an open connection, and not in use by another thread.
pub(super) unsafe fn code_of(handle: *mut ffi::sqlite3) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { ffi::sqlite3_extended_errcode(handle) } {
        // SAFETY: as above.
        ffi::SQLITE_IOERR_WRITE if unsafe { found_no_room(handle) } => ffi::SQLITE_FULL,
        code => code,
    }
}

/// Whether a write failed because of a quota or a limit on the size of files, which SQLite does
/// not count as a full disk, although nothing else helps either.
///
/// SQLite keeps the last error of the system per file, also after a success. So it is believed
/// where every file that has one has one of these.
///
/// # Safety
/// As [`code_of`].
unsafe fn found_no_room(handle: *mut ffi::sqlite3) -> bool {
    // SAFETY: the caller's promise.
    let database = unsafe { database_errno(handle) };
    // SAFETY: the caller's promise.
    let log = unsafe { log_errno(handle) };
    let errors = [database, log];
    let mut errors = errors.into_iter().filter(|errno| *errno != 0).peekable();
    errors.peek().is_some()
        && errors.all(|errno| {
            matches!(
                io::Error::from_raw_os_error(errno).kind(),
                io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
                    | io::ErrorKind::StorageFull
            )
        })
}

/// The last error of the system on the database file, 0 for none.
///
/// # Safety
/// As [`code_of`].
unsafe fn database_errno(handle: *mut ffi::sqlite3) -> c_int {
    let mut errno: c_int = 0;
    // SAFETY: the caller's promise; a null name means
    // the main database; this operation writes an `int`.
    let status = unsafe {
        ffi::sqlite3_file_control(
            handle,
            ptr::null(),
            ffi::SQLITE_FCNTL_LAST_ERRNO,
            (&raw mut errno).cast(),
        )
    };
    if status == ffi::SQLITE_OK { errno } else { 0 }
}

/// The last error of the system on the write-ahead log, or on the journal, 0 for none.
///
/// # Safety
/// As [`code_of`].
unsafe fn log_errno(handle: *mut ffi::sqlite3) -> c_int {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: as in `database_errno`; this operation writes a pointer.
    let status = unsafe {
        ffi::sqlite3_file_control(
            handle,
            ptr::null(),
            ffi::SQLITE_FCNTL_JOURNAL_POINTER,
            (&raw mut file).cast(),
        )
    };
    if status != ffi::SQLITE_OK {
        return 0;
    }
    // SAFETY: null, or the file that this connection owns and nobody closes during this call.
    let Some(opened) = (unsafe { file.as_ref() }) else {
        return 0;
    };
    // SAFETY: null for a file that is not open, or the methods of its VFS, which are static.
    let Some(methods) = (unsafe { opened.pMethods.as_ref() }) else {
        return 0;
    };
    let mut errno: c_int = 0;
    let status = methods.xFileControl.map(|control| {
        // SAFETY: the file is open, and this operation writes an `int`.
        unsafe { control(file, ffi::SQLITE_FCNTL_LAST_ERRNO, (&raw mut errno).cast()) }
    });
    if status == Some(ffi::SQLITE_OK) {
        errno
    } else {
        0
    }
}
