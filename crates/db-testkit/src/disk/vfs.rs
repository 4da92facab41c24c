//! The VFS itself: SQLite's C interface to files (<https://sqlite.org/c3ref/vfs.html>).
//!
//! It opens files as [`Handle`]s, whose methods are in `file`, deletes them and looks whether they are
//! there, as the disk says; everything else it passes on.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use libsqlite3_sys as ffi;

use super::file::{Handle, Watched, behind, opened};
use super::state::{Call, State};

/// The disks there are.
static DISKS: Mutex<Vec<Weak<State>>> = Mutex::new(Vec::new());

/// Makes this module SQLite's way to files, and lets it look after a disk.
pub(super) fn watch(state: &Arc<State>) {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(register);
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    disks.retain(|disk| disk.strong_count() > 0);
    disks.push(Arc::downgrade(state));
}

fn disk_of(path: &Path) -> Option<Arc<State>> {
    let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut disks = disks.iter().filter_map(Weak::upgrade);
    disks.find(|disk| disk.holds(path))
}

#[expect(clippy::panic, reason = "without it a test would prove nothing")]
fn register() {
    // SAFETY: null asks for the default VFS, which lives as long as the process.
    let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    // SAFETY: either null or the static structure of the system's VFS, which nobody changes.
    let Some(of_system) = (unsafe { system.as_ref() }) else {
        panic!("SQLite has no VFS");
    };
    let Ok(own) = c_int::try_from(size_of::<Handle>()) else {
        panic!("a handle of {} bytes", size_of::<Handle>());
    };
    // It must stay where it is for as long as SQLite may open files.
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: own + of_system.szOsFile,
        mxPathname: of_system.mxPathname,
        pNext: ptr::null_mut(),
        zName: c"bitcraps-disk".as_ptr(),
        pAppData: system.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        // Extensions cannot be loaded through it.
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(get_last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the structure is complete for version 2, and is never freed or moved.
    let status = unsafe { ffi::sqlite3_vfs_register(vfs, 1) };
    assert_eq!(status, ffi::SQLITE_OK, "the VFS cannot be registered");
}

/// The system's VFS.
///
/// # Safety
/// `vfs` is the structure that `register` made.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: the caller's promise; its `pAppData` is what `sqlite3_vfs_find` returned.
    unsafe { (*vfs).pAppData.cast() }
}

/// Calls a method of the system's VFS.
macro_rules! pass_to_system {
    ($vfs:expr, $method:ident, $missing:expr $(, $argument:expr)*) => {{
        // SAFETY: SQLite gives these methods the structure that they are methods of.
        let system = unsafe { system($vfs) };
        // SAFETY: the system's VFS lives as long as the process, unchanged.
        let method = unsafe { (*system).$method };
        match method {
            // SAFETY: the arguments are those that SQLite passed for this method.
            Some(method) => unsafe { method(system $(, $argument)*) },
            None => $missing,
        }
    }};
}

/// The path behind a name that SQLite passes; none for a temporary file.
///
/// # Safety
/// `name` is null or ends in NUL, and lives as long as the path.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes `szOsFile` writable bytes. Without methods it will not close the file.
    unsafe { (*file).pMethods = ptr::null() };
    // SAFETY: a name that SQLite passes ends in NUL and outlives the file.
    let path = unsafe { path(name) };
    let disk = path.and_then(|path| Some((disk_of(path)?, path)));
    if let Some((disk, path)) = &disk
        && disk.fails(Call::Open, path)
    {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: as above.
    let behind = unsafe { behind(file) };
    let status = pass_to_system!(
        vfs,
        xOpen,
        ffi::SQLITE_CANTOPEN,
        name,
        behind,
        flags,
        out_flags
    );
    if status != ffi::SQLITE_OK {
        close_unopened(behind);
        return status;
    }
    let watched = disk.map(|(disk, path)| {
        let mut size = 0;
        // SAFETY: SQLite's memory for the file, in which the system's VFS has opened it.
        let methods = unsafe { (*behind).pMethods };
        // SAFETY: the file is open, so it has methods, which are static.
        if let Some(file_size) = unsafe { (*methods).xFileSize } {
            // SAFETY: the file is open, and `size` is where its size may go.
            unsafe { file_size(behind, &raw mut size) };
        }
        disk.opened(path, u64::try_from(size).unwrap_or(0));
        let path = path.to_owned();
        Watched { disk, path }
    });
    // SAFETY: as above.
    unsafe { opened(file, watched) };
    ffi::SQLITE_OK
}

/// A VFS that could not open a file may still want it closed, which SQLite will not do for ours.
fn close_unopened(behind: *mut ffi::sqlite3_file) {
    // SAFETY: SQLite's memory for the file, to which the system's `xOpen` has written.
    let methods = unsafe { (*behind).pMethods };
    // SAFETY: null, or the static methods with which to close the file.
    let Some(methods) = (unsafe { methods.as_ref() }) else {
        return;
    };
    if let Some(close) = methods.xClose {
        // SAFETY: as SQLite itself does after an open that failed and left methods.
        unsafe { close(behind) };
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: a name that SQLite passes ends in NUL and lives during this call.
    let path = unsafe { path(name) };
    let disk = path.and_then(|path| Some((disk_of(path)?, path)));
    if let Some((disk, path)) = &disk
        && disk.fails(Call::Delete, path)
    {
        return ffi::SQLITE_IOERR_DELETE;
    }
    let status = pass_to_system!(vfs, xDelete, ffi::SQLITE_IOERR_DELETE, name, sync_folder);
    if status == ffi::SQLITE_OK
        && let Some((disk, path)) = &disk
    {
        disk.deleted(path, sync_folder != 0);
    }
    status
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a name that SQLite passes ends in NUL and lives during this call.
    if let Some(path) = unsafe { path(name) }
        && let Some(disk) = disk_of(path)
        && disk.fails(Call::Access, path)
    {
        return ffi::SQLITE_IOERR_ACCESS;
    }
    pass_to_system!(vfs, xAccess, ffi::SQLITE_IOERR_ACCESS, name, flags, out)
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_system!(vfs, xFullPathname, ffi::SQLITE_CANTOPEN, name, size, out)
}

unsafe extern "C" fn randomness(
    vfs: *mut ffi::sqlite3_vfs,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_system!(vfs, xRandomness, 0, size, out)
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    pass_to_system!(vfs, xSleep, 0, micros)
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    pass_to_system!(vfs, xCurrentTime, ffi::SQLITE_ERROR, out)
}

unsafe extern "C" fn current_time_int64(
    vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    pass_to_system!(vfs, xCurrentTimeInt64, ffi::SQLITE_ERROR, out)
}

unsafe extern "C" fn get_last_error(
    vfs: *mut ffi::sqlite3_vfs,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_system!(vfs, xGetLastError, 0, size, out)
}
