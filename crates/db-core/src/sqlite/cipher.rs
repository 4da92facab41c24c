//! Encrypted files: the key before anything else, and what a file is that SQLite cannot read.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libsqlite3_sys as ffi;

use super::identity::Identity;
#[cfg(feature = "sqlcipher")]
use super::raw_statement::RawStatement;
use crate::encryption;
use crate::encryption::EncryptionKey;
use crate::error::{Error, ErrorKind};

/// Bytes of a file that are looked at; SQLCipher's smallest file has two pages of 512.
const LOOKED_AT: usize = 1_024;

/// So many of the 256 values occur in that many random bytes: 251 on average, fewer than 236 in
/// one of a billion files. Text has less than 100, and pages of SQLite are mostly zeros.
const MANY_VALUES: usize = 230;

/// Gives the connection its key, which must come before all else, and makes sure that it is used: a
/// library without encryption would not mind a key that it does not know.
#[cfg(feature = "sqlcipher")]
pub(super) fn unlock(identity: &Arc<Identity>, key: &EncryptionKey) -> Result<(), Error> {
    let literal = key.literal();
    let length = i32::try_from(literal.len()).unwrap_or_default();
    // Not as a statement, whose text Diesel would hand to every instrumentation.
    // SAFETY: the caller holds the open connection; SQLCipher copies `length` bytes of the key, which
    // has that many.
    let code = unsafe {
        ffi::sqlite3_key_v2(
            identity.handle().as_ptr(),
            c"main".as_ptr(),
            literal.as_ptr().cast(),
            length,
        )
    };
    if code != ffi::SQLITE_OK {
        return Err(Error::new(
            ErrorKind::Other,
            format!("SQLCipher does not take a key (code {code})"),
        ));
    }
    let mut answers = [0; 3];
    for (answer, question) in answers.iter_mut().zip([
        // SQLCipher writes to standard error what it also returns.
        c"PRAGMA cipher_log_level = NONE",
        c"PRAGMA cipher_version",
        c"PRAGMA cipher_status",
    ]) {
        // SAFETY: the caller holds the open connection.
        let statement = unsafe { RawStatement::prepare(identity, question) };
        *answer = statement?.run()?.unwrap_or_default();
    }
    let [_, version, status] = answers;
    if version < 4 || status != 1 {
        return Err(Error::new(
            ErrorKind::UnsafeEngine,
            "the SQLite library that is linked does not encrypt",
        ));
    }
    Ok(())
}

/// There is no key in a program without the feature.
#[cfg(not(feature = "sqlcipher"))]
pub(super) fn unlock(_identity: &Arc<Identity>, _key: &EncryptionKey) -> Result<(), Error> {
    let reason = encryption::unsupported().unwrap_or_default();
    Err(Error::new(ErrorKind::Configuration, reason))
}

/// Says of "file is not a database" whether it is about a key, and leaves the file as it is when
/// the connection closes.
pub(super) fn explain(handle: NonNull<ffi::sqlite3>, has_key: bool, error: Error) -> Error {
    if error.kind() != ErrorKind::NotADatabase {
        return error;
    }
    keep_log(handle);
    match (first_bytes(handle), has_key) {
        (Content::Random, true) => Error::new(ErrorKind::WrongKey, "the key does not open it")
            .with_hint("the file was not changed; look for the key that it was made with"),
        (Content::Sqlite, true) => {
            Error::new(ErrorKind::WrongKey, "it is not encrypted, but a key is set")
                .with_hint("leave out the key, or copy the data into an encrypted file")
        }
        (Content::Random, false) => {
            let hint = match encryption::unsupported() {
                Some(_) => {
                    "it can be opened by a program that is built with the feature `sqlcipher`"
                }
                None => "say where the key is: in a file, or what a command prints",
            };
            Error::new(
                ErrorKind::KeyMissing,
                "it looks encrypted, and no key is set",
            )
            .with_hint(hint)
        }
        _ => error,
    }
}

/// What a file seems to hold.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// A plain SQLite database.
    Sqlite,
    /// What cannot be told from random bytes, as an encrypted database.
    Random,
    /// Anything else.
    Other,
}

fn content(bytes: &[u8; LOOKED_AT]) -> Content {
    if bytes.starts_with(b"SQLite format 3\0") {
        return Content::Sqlite;
    }
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    if seen.iter().filter(|seen| **seen).count() >= MANY_VALUES {
        Content::Random
    } else {
        Content::Other
    }
}

/// Looks into the file through the descriptor that SQLite has: another one would, when it is closed,
/// drop every lock that this process holds on the file.
fn first_bytes(handle: NonNull<ffi::sqlite3>) -> Content {
    let mut bytes = [0; LOOKED_AT];
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the caller holds the open connection; this operation stores a pointer to the file of
    // "main" in the place that is handed over, which is one for such a pointer.
    let code = unsafe {
        ffi::sqlite3_file_control(
            handle.as_ptr(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast::<c_void>(),
        )
    };
    if code != ffi::SQLITE_OK || file.is_null() {
        return Content::Other;
    }
    // SAFETY: the file belongs to the connection, which stays open.
    let methods = unsafe { (*file).pMethods };
    // SAFETY: they are null as long as the file is not opened, and constants of the file system's
    // driver then.
    let Some(methods) = (unsafe { methods.as_ref() }) else {
        return Content::Other;
    };
    let (Some(read), Ok(length)) = (methods.xRead, i32::try_from(bytes.len())) else {
        return Content::Other;
    };
    // SAFETY: the file is open, and nobody else uses the connection meanwhile; `bytes` has the
    // length that is asked for. A short file is an error.
    let code = unsafe { read(file, bytes.as_mut_ptr().cast(), length, 0) };
    if code == ffi::SQLITE_OK {
        content(&bytes)
    } else {
        Content::Other
    }
}

/// Keeps the connection from copying the log into the file and from removing it, which the last one
/// to close does, also if it could not read either.
fn keep_log(handle: NonNull<ffi::sqlite3>) {
    // SAFETY: the caller holds the open connection; this option takes an int and a pointer to one,
    // which may be null.
    let code = unsafe {
        ffi::sqlite3_db_config(
            handle.as_ptr(),
            ffi::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            1,
            ptr::null_mut::<i32>(),
        )
    };
    if code != ffi::SQLITE_OK {
        tracing::debug!(
            code,
            "the log may be copied into a file that cannot be read"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_seems_to_hold() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1_000 {
            let bytes = [(); LOOKED_AT].map(|()| random.u8(..));
            assert_eq!(content(&bytes), Content::Random);
        }
        let mut sqlite = [0; LOOKED_AT];
        sqlite[..16].copy_from_slice(b"SQLite format 3\0");
        assert_eq!(content(&sqlite), Content::Sqlite);
        let text = [(); LOOKED_AT].map(|()| random.u8(b' '..=b'~'));
        assert_eq!(content(&text), Content::Other);
        assert_eq!(content(&[0; LOOKED_AT]), Content::Other);
    }
}
