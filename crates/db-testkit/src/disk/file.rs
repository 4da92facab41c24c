//! One open file of the VFS, and SQLite's methods on it (<https://sqlite.org/c3ref/io_methods.html>).
//!
//! A file of ours is a [`Handle`], and directly behind it in the same memory the file of the system's
//! VFS, as SQLite's own shims have it. Every method does what the disk says, and passes the call on.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use libsqlite3_sys as ffi;

use super::state::{Call, State, Verdict};

/// One open file. C code sees it as `sqlite3_file`, which is why that comes first.
#[repr(C, align(8))]
pub(super) struct Handle {
    file: ffi::sqlite3_file,
    /// None for a file of no disk. Made by `Box::into_raw` in `opened`.
    watched: *mut Watched,
    // The system's file follows.
}

/// What the methods need of a file on a disk.
pub(super) struct Watched {
    pub(super) disk: Arc<State>,
    pub(super) path: PathBuf,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// Makes a file one of ours, which the system has opened behind it.
///
/// # Safety
/// `file` points to the `szOsFile` bytes that SQLite keeps for a file of this VFS.
pub(super) unsafe fn opened(file: *mut ffi::sqlite3_file, watched: Option<Watched>) {
    let watched = watched.map_or(ptr::null_mut(), |watched| Box::into_raw(Box::new(watched)));
    let handle = Handle {
        file: ffi::sqlite3_file {
            pMethods: &raw const METHODS,
        },
        watched,
    };
    // SAFETY: by the caller's promise there is memory for a handle, which SQLite aligns to 8.
    unsafe { file.cast::<Handle>().write(handle) };
}

/// The system's file behind ours.
///
/// # Safety
/// `file` points to the `szOsFile` bytes that SQLite keeps for a file of this VFS.
pub(super) unsafe fn behind(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: by the caller's promise the memory goes on behind the handle, whose size is a
    // multiple of 8, the alignment that SQLite gives and needs.
    unsafe { file.cast::<Handle>().add(1).cast() }
}

/// What is watched of a file.
///
/// # Safety
/// `file` is an open file of this VFS, and stays open while the reference lives.
unsafe fn watched<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Watched> {
    // SAFETY: `opened` wrote a whole handle there.
    let watched = unsafe { (*file.cast::<Handle>()).watched };
    // SAFETY: null, or from `Box::into_raw`; nobody changes it, and `close` alone frees it.
    unsafe { watched.as_ref() }
}

/// Whether the disk lets this call on an open file fail.
///
/// # Safety
/// As for [`watched`].
unsafe fn fails(file: *mut ffi::sqlite3_file, call: Call) -> bool {
    // SAFETY: the caller's promise.
    unsafe { watched(file) }.is_some_and(|watched| watched.disk.fails(call, &watched.path))
}

/// Calls a method of the system's file behind `$file`; `$missing` where it has none.
macro_rules! pass_on {
    ($file:expr, $method:ident, $missing:expr $(, $argument:expr)*) => {{
        // SAFETY: SQLite gives methods a file that `opened` has made.
        let behind = unsafe { behind($file) };
        // SAFETY: SQLite's memory for the file, in which the system's VFS has opened it.
        let methods = unsafe { (*behind).pMethods };
        // SAFETY: the file is open, so it has methods, which are static.
        let method = unsafe { (*methods).$method };
        match method {
            // SAFETY: the file and the arguments are those that SQLite passed for this method.
            Some(method) => unsafe { method(behind $(, $argument)*) },
            None => $missing,
        }
    }};
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let status = pass_on!(file, xClose, ffi::SQLITE_OK);
    // SAFETY: the handle that `opened` wrote; SQLite calls nothing on this file any more.
    let watched = unsafe { (*file.cast::<Handle>()).watched };
    if !watched.is_null() {
        // SAFETY: made by `Box::into_raw` in `opened`, and freed here once.
        drop(unsafe { Box::from_raw(watched) });
    }
    status
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    if unsafe { fails(file, Call::Read) } {
        return ffi::SQLITE_IOERR_READ;
    }
    pass_on!(file, xRead, ffi::SQLITE_IOERR_READ, buffer, amount, offset)
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file, which stays open during this call.
    let watched = unsafe { watched(file) };
    let Some(Watched { disk, path }) = watched else {
        return pass_on!(
            file,
            xWrite,
            ffi::SQLITE_IOERR_WRITE,
            buffer,
            amount,
            offset
        );
    };
    if disk.fails(Call::Write, path) {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let length = u64::try_from(amount).unwrap_or(0);
    let start = u64::try_from(offset).unwrap_or(0);
    let verdict = disk.room(path, start, length);
    let fitting = match verdict {
        Verdict::Whole => amount,
        Verdict::Only(bytes) => c_int::try_from(bytes).unwrap_or(0),
    };
    let status = if fitting > 0 {
        pass_on!(
            file,
            xWrite,
            ffi::SQLITE_IOERR_WRITE,
            buffer,
            fitting,
            offset
        )
    } else {
        ffi::SQLITE_OK
    };
    if status != ffi::SQLITE_OK {
        return status;
    }
    if let Ok(fitting) = usize::try_from(fitting) {
        // SAFETY: SQLite passes `amount` readable bytes, of which these are the first.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), fitting) };
        disk.written(path, start, bytes);
    }
    match verdict {
        Verdict::Whole => ffi::SQLITE_OK,
        Verdict::Only(_) => ffi::SQLITE_FULL,
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file.
    if unsafe { fails(file, Call::Truncate) } {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    let status = pass_on!(file, xTruncate, ffi::SQLITE_IOERR_TRUNCATE, size);
    // SAFETY: as above; it stays open during this call.
    let watched = unsafe { watched(file) };
    if status == ffi::SQLITE_OK
        && let Some(watched) = watched
    {
        let size = u64::try_from(size).unwrap_or(0);
        watched.disk.truncated(&watched.path, size);
    }
    status
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, which stays open during this call.
    let watched = unsafe { watched(file) };
    let Some(Watched { disk, path }) = watched else {
        return pass_on!(file, xSync, ffi::SQLITE_IOERR_FSYNC, flags);
    };
    if disk.fails(Call::Sync, path) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // The system is not asked: nobody cuts its power, and it would take most of a test's time.
    disk.synced(path);
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    if unsafe { fails(file, Call::FileSize) } {
        return ffi::SQLITE_IOERR_FSTAT;
    }
    pass_on!(file, xFileSize, ffi::SQLITE_IOERR_FSTAT, size)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    if unsafe { fails(file, Call::Lock) } {
        return ffi::SQLITE_IOERR_LOCK;
    }
    pass_on!(file, xLock, ffi::SQLITE_IOERR_LOCK, level)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass_on!(file, xUnlock, ffi::SQLITE_IOERR_UNLOCK, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    pass_on!(
        file,
        xCheckReservedLock,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        held
    )
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    pass_on!(
        file,
        xFileControl,
        ffi::SQLITE_NOTFOUND,
        operation,
        argument
    )
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    pass_on!(file, xSectorSize, 0)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    pass_on!(file, xDeviceCharacteristics, 0)
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    if unsafe { fails(file, Call::ShmMap) } {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: as above; it stays open during this call.
    let watched = unsafe { watched(file) };
    if extend != 0
        && let Some(Watched { disk, path }) = watched
        && !disk.share(path, u64::try_from(region).unwrap_or(0) + 1)
    {
        return ffi::SQLITE_IOERR_SHMSIZE;
    }
    pass_on!(
        file,
        xShmMap,
        ffi::SQLITE_IOERR_SHMMAP,
        region,
        size,
        extend,
        out
    )
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let takes = flags & ffi::SQLITE_SHM_LOCK != 0;
    // SAFETY: SQLite passes an open file.
    if takes && unsafe { fails(file, Call::ShmLock) } {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    pass_on!(
        file,
        xShmLock,
        ffi::SQLITE_IOERR_SHMLOCK,
        offset,
        count,
        flags
    )
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    pass_on!(file, xShmBarrier, ());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, which stays open during this call.
    let watched = unsafe { watched(file) };
    if delete != 0
        && let Some(watched) = watched
    {
        watched.disk.unshare(&watched.path);
    }
    pass_on!(file, xShmUnmap, ffi::SQLITE_OK, delete)
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    amount: c_int,
    out: *mut *mut c_void,
) -> c_int {
    pass_on!(file, xFetch, ffi::SQLITE_IOERR_MMAP, offset, amount, out)
}

unsafe extern "C" fn unfetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    page: *mut c_void,
) -> c_int {
    pass_on!(file, xUnfetch, ffi::SQLITE_IOERR_MMAP, offset, page)
}
