//! The VFS itself: SQLite's C interface to files (<https://sqlite.org/c3ref/vfs.html>).
//!
//! A file of ours is a [`Handle`], and directly behind it in the same memory the file of the system's
//! VFS, as SQLite's own shims have it. Every method does what the disk says, and passes the call on.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use libsqlite3_sys as ffi;

use super::state::{Call, State, Verdict};

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

/// One open file. C code sees it as `sqlite3_file`, which is why that comes first.
#[repr(C, align(8))]
struct Handle {
    file: ffi::sqlite3_file,
    /// None for a file of no disk. Made by `Box::into_raw`.
    watched: *mut Watched,
    // The system's file follows.
}

struct Watched {
    disk: Arc<State>,
    path: PathBuf,
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

/// The system's VFS.
///
/// # Safety
/// `vfs` is the structure that `register` made.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: the caller's promise; its `pAppData` is what `sqlite3_vfs_find` returned.
    unsafe { (*vfs).pAppData.cast() }
}

/// The system's file behind ours.
///
/// # Safety
/// `file` points to the `szOsFile` bytes that SQLite keeps for a file of this VFS.
unsafe fn behind(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: by the caller's promise the memory goes on behind the handle, whose size is a
    // multiple of 8, the alignment that SQLite gives and needs.
    unsafe { file.cast::<Handle>().add(1).cast() }
}

/// What is watched of a file.
///
/// # Safety
/// `file` is an open file of this VFS, and stays open while the reference lives.
unsafe fn watched<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Watched> {
    // SAFETY: `open` wrote a whole handle there.
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
        // SAFETY: SQLite gives methods a file that `open` has opened.
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
        Box::into_raw(Box::new(Watched { disk, path }))
    });
    let handle = Handle {
        file: ffi::sqlite3_file {
            pMethods: &raw const METHODS,
        },
        watched: watched.unwrap_or(ptr::null_mut()),
    };
    // SAFETY: SQLite passes enough memory for a handle, aligned to 8.
    unsafe { file.cast::<Handle>().write(handle) };
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

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let status = pass_on!(file, xClose, ffi::SQLITE_OK);
    // SAFETY: the handle that `open` wrote; SQLite calls nothing on this file any more.
    let watched = unsafe { (*file.cast::<Handle>()).watched };
    if !watched.is_null() {
        // SAFETY: made by `Box::into_raw` in `open`, and freed here once.
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
