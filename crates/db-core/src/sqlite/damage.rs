//! Corruption that any connection of a database has met: reported, and no more writes.
//!
//! A damaged file that is written to gets worse, and what was acknowledged may not be there. So
//! the first `SQLITE_CORRUPT` or `SQLITE_NOTADB`, on a read or a write, ends writing until
//! somebody has looked and opens the database anew. Reads go on: they may be the way to rescue.

use std::ffi::c_int;
use std::sync::OnceLock;

use libsqlite3_sys as ffi;

use crate::error::{Error, ErrorKind};

/// The bits of an extended result code that hold the primary one.
const PRIMARY_MASK: c_int = 0xff;

/// What was seen first, if anything.
#[derive(Default)]
pub(crate) struct Damage {
    seen: OnceLock<String>,
}

impl Damage {
    /// Remembers and reports an error if it means that the file is damaged; says whether it does.
    pub(crate) fn note(&self, code: c_int, message: &str) -> bool {
        let damaged = matches!(
            code & PRIMARY_MASK,
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB
        );
        if damaged && self.seen.set(message.to_owned()).is_ok() {
            tracing::error!(code, message, "the database is damaged; writes are refused");
        }
        damaged
    }

    /// To be asked before each write.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] once damage was seen.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.seen.get() {
            None => Ok(()),
            Some(message) => Err(Error::new(
                ErrorKind::Corrupt,
                format!("the database is damaged ({message}); writes are refused"),
            )
            .with_hint("run `PRAGMA integrity_check`, restore a verified backup, open it anew")),
        }
    }
}
