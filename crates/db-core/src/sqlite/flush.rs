//! Puts a database file on the disk before SQLite asks for it.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ptr;

use diesel::SqliteConnection;
use libsqlite3_sys as ffi;

use super::handle;
use crate::error::{Error, ErrorKind};

/// Waits until the disk has all that was copied into the file of "main", by whomever. SQLite itself asks for
/// that at the end of the log only.
///
/// Through the descriptor that SQLite has: another one would, when it is closed, drop every lock that this
/// process holds on the file.
///
/// # Errors
/// What the system says of the file. Whoever had opened it before is told by the next sync of their own as well.
pub(super) fn flush(conn: &mut SqliteConnection) -> Result<(), Error> {
    let missing = || {
        Error::new(
            ErrorKind::Other,
            "the database file cannot be synced: no file",
        )
    };
    let handle = handle::recorded(conn).ok_or_else(missing)?;
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: `handle` is that of `conn`, which is open and which nobody else has during this call; this
    // operation stores a pointer to the file of "main" in the place that is handed over, which is one for
    // such a pointer.
    let code = unsafe {
        ffi::sqlite3_file_control(
            handle.as_ptr(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        )
    };
    if code != ffi::SQLITE_OK {
        return Err(failed(code));
    }
    // SAFETY: null, or the file that this connection owns and nobody closes during this call.
    let methods = unsafe { file.as_ref() }.map_or(ptr::null(), |file| file.pMethods);
    // SAFETY: null for a file that is not open, or the methods of its VFS, which are static.
    let sync = unsafe { methods.as_ref() }.and_then(|methods| methods.xSync);
    let sync = sync.ok_or_else(missing)?;
    // SAFETY: the file is open, and belongs to a connection that nobody else uses meanwhile.
    let code = unsafe { sync(file, ffi::SQLITE_SYNC_NORMAL) };
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(failed(code))
    }
}

fn failed(code: i32) -> Error {
    Error::from_sqlite_code(code, "the database file cannot be synced")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Connection, DatabaseUrl};

    #[test]
    fn a_file_is_synced_and_there_is_none_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = DatabaseUrl::SqliteFile(folder.path().join("x.db"));
        let file = Connection::open_beside(&file, Access::Create);
        let memory = Connection::open(&DatabaseUrl::SqliteMemory, Access::Create).unwrap();
        for (mut connection, is_file) in [(file, true), (memory, false)] {
            let crate::Conn::Sqlite(conn) = connection.conn() else {
                unreachable!();
            };
            assert_eq!(flush(conn).is_ok(), is_file);
        }
    }
}
