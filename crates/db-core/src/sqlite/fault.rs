//! Errors after which a connection is not used again.

use std::sync::atomic::{AtomicBool, Ordering};

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
