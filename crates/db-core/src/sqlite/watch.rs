//! What SQLite's hooks tell of a connection: lost transactions, the size of the log, damage.
//!
//! Registering them needs the raw handle, so this module has `unsafe`, as `handle` does; each block
//! says why it is sound.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;

use super::fault::primary;
use crate::error::{Error, ErrorKind};

/// The longest sleep between two looks at a lock that somebody else holds.
const LONGEST_NAP: Duration = Duration::from_millis(5);

/// What a database's connections have seen of its health; all of them share one.
#[derive(Debug, Default)]
pub(crate) struct Health {
    damage: AtomicI32,
}

impl Health {
    /// Takes note of an extended code, if it tells of damage.
    pub(super) fn note(&self, code: i32) {
        if matches!(primary(code), ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB)
            && self.damage.swap(code, Ordering::Relaxed) == 0
        {
            tracing::error!(
                code,
                "the database is damaged; it is not written any more: restore a backup, \
                 or open it again after a repair"
            );
        }
    }

    /// The error with which writes are refused after damage was seen.
    pub(crate) fn damage(&self) -> Option<Error> {
        let code = self.damage.load(Ordering::Relaxed);
        (code != 0).then(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the database is damaged (SQLite code {code}); writes are refused"),
            )
            .with_hint("restore a backup, or check and repair the file and open it again")
        })
    }
}

/// What the hooks of one writing connection count and are told.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Whole transactions that were rolled back, by whomever.
    rollbacks: AtomicU64,
    /// Frames in the write-ahead log after the last COMMIT of this connection.
    wal_pages: AtomicU32,
    /// While set, nobody may commit: a COMMIT becomes a rollback.
    sealed: AtomicBool,
    /// How long to wait for somebody else's lock, in microseconds.
    patience: AtomicU64,
    /// When the present wait began, in microseconds after `born`.
    waiting_since: AtomicU64,
    born: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            rollbacks: AtomicU64::new(0),
            wal_pages: AtomicU32::new(0),
            sealed: AtomicBool::new(false),
            patience: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    /// How often a whole transaction of this connection has been rolled back.
    pub(super) fn rollbacks(&self) -> u64 {
        self.rollbacks.load(Ordering::Relaxed)
    }

    /// Pages in the write-ahead log after the last COMMIT of this connection.
    pub(super) fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// Forbids or allows commits. Sealed, a stray COMMIT in a shared transaction rolls it back
    /// instead, so that whoever shares it can be told the truth: nothing of it happened.
    pub(super) fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::Relaxed);
    }

    /// How long statements wait from now on for a lock that another connection holds.
    pub(super) fn set_patience(&self, patience: Duration) {
        let micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        self.patience.store(micros, Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sleeps before the next attempt at a lock; false when patience is over.
    fn wait_for_lock(&self, attempt: u32) -> bool {
        let patience = self.patience.load(Ordering::Relaxed);
        if patience == 0 {
            return false;
        }
        let now = self.micros();
        if attempt == 0 {
            self.waiting_since.store(now, Ordering::Relaxed);
        }
        let waited = now.saturating_sub(self.waiting_since.load(Ordering::Relaxed));
        let Some(left) = patience.checked_sub(waited).filter(|left| *left > 0) else {
            return false;
        };
        // 100 us, 200 us, … : a commit elsewhere takes about as long.
        let nap = Duration::from_micros(100 * u64::from(attempt.saturating_add(1)));
        let nap = nap.min(LONGEST_NAP).min(Duration::from_micros(left));
        #[expect(
            clippy::disallowed_methods,
            reason = "SQLite's lock can only be polled; its own busy handler sleeps as well"
        )]
        std::thread::sleep(nap);
        true
    }
}

/// Registers the hooks. False when SQLite is out of memory.
///
/// # Safety
/// `handle` is an open connection that no other thread uses during the call.
pub(super) unsafe fn attach(handle: *mut ffi::sqlite3, watch: Arc<Watch>) -> bool {
    const NAME: &CStr = c"bitcraps-db watch";
    let watch = Arc::into_raw(watch).cast_mut().cast::<c_void>();
    // SAFETY: the caller's promise. SQLite takes the one strong count of `watch` and gives it back
    // through `release` when the connection closes, also if this call fails. The close rolls back
    // after that, which calls the rollback hook: so whoever owns the connection holds a count of
    // its own for longer. `Writing` and `SqliteBackend` do, by the order of their fields.
    let status =
        unsafe { ffi::sqlite3_set_clientdata(handle, NAME.as_ptr(), watch, Some(release)) };
    if status != ffi::SQLITE_OK {
        return false;
    }
    // SAFETY: as above; the hook only reads through the pointer.
    unsafe { ffi::sqlite3_commit_hook(handle, Some(on_commit), watch) };
    // SAFETY: as above; the hook only counts.
    unsafe { ffi::sqlite3_rollback_hook(handle, Some(on_rollback), watch) };
    // SAFETY: as above. This takes the place of SQLite's own checkpoints inside COMMIT.
    unsafe { ffi::sqlite3_wal_hook(handle, Some(on_wal), watch) };
    // SAFETY: as above. This takes the place of `PRAGMA busy_timeout`.
    let status = unsafe { ffi::sqlite3_busy_handler(handle, Some(on_busy), watch) };
    status == ffi::SQLITE_OK
}

unsafe extern "C" fn on_commit(watch: *mut c_void) -> c_int {
    // SAFETY: `watch` is the pointer that `attach` registered, alive until the close.
    let watch = unsafe { &*watch.cast::<Watch>() };
    c_int::from(watch.sealed.load(Ordering::Relaxed))
}

unsafe extern "C" fn on_rollback(watch: *mut c_void) {
    // SAFETY: as in `on_commit`.
    let watch = unsafe { &*watch.cast::<Watch>() };
    watch.rollbacks.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn on_wal(
    watch: *mut c_void,
    _handle: *mut ffi::sqlite3,
    _schema: *const c_char,
    pages: c_int,
) -> c_int {
    // SAFETY: as in `on_commit`.
    let watch = unsafe { &*watch.cast::<Watch>() };
    let pages = u32::try_from(pages).unwrap_or(0);
    watch.wal_pages.store(pages, Ordering::Relaxed);
    ffi::SQLITE_OK
}

unsafe extern "C" fn on_busy(watch: *mut c_void, attempt: c_int) -> c_int {
    // SAFETY: as in `on_commit`.
    let watch = unsafe { &*watch.cast::<Watch>() };
    c_int::from(watch.wait_for_lock(u32::try_from(attempt).unwrap_or(0)))
}

unsafe extern "C" fn release(watch: *mut c_void) {
    // SAFETY: SQLite calls this once, with the pointer made by `Arc::into_raw`.
    drop(unsafe { Arc::from_raw(watch.cast::<Watch>()) });
}
