//! What a closure may not do to the connection that it is lent: change its settings, end its
//! transaction, attach a file. The next closure is a stranger's, and would suffer from it.
//!
//! SQLite asks the authorizer while it prepares a statement, so a statement that Diesel keeps costs
//! nothing. What the database itself runs on the connection, outside of closures, is not asked for.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use diesel::SqliteConnection;
use libsqlite3_sys as ffi;

use super::touched::Touched;

/// The savepoint that keeps the members of a group apart.
const MEMBER: &str = "bitcraps_member";

/// Pragmas that may be given a value: they ask about what the value names, or change what the
/// transaction takes back. All others change the session, or the file behind the transaction.
const WITH_VALUE: [&str; 15] = [
    "application_id",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "optimize",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Stands between closures and one connection.
#[derive(Default)]
pub(super) struct Guard {
    /// Null until it is attached.
    handle: AtomicPtr<ffi::sqlite3>,
    inside: AtomicBool,
    /// A closure has asked for its foreign keys to be checked at COMMIT.
    defers: AtomicBool,
    /// Is told what statements can write to.
    touched: Option<Arc<Touched>>,
}

impl Guard {
    pub(super) fn new(touched: Option<Arc<Touched>>) -> Self {
        Self {
            touched,
            ..Self::default()
        }
    }

    /// A closure gets the connection, or has given it back.
    #[inline]
    pub(super) fn lent(&self, inside: bool) {
        self.inside.store(inside, Ordering::Relaxed);
    }

    /// Whether a closure has put foreign keys off until COMMIT, for all that come after it in the
    /// transaction; asked once.
    pub(super) fn take_defers(&self) -> bool {
        self.defers.load(Ordering::Relaxed) && self.defers.swap(false, Ordering::Relaxed)
    }

    /// Whether a COMMIT would fail for a foreign key that nothing satisfies yet. `_conn` must be
    /// the connection that this guards.
    pub(super) fn has_open_references(&self, _conn: &mut SqliteConnection) -> bool {
        let handle = self.handle.load(Ordering::Relaxed);
        if handle.is_null() {
            return false;
        }
        let (mut open, mut unused) = (0, 0);
        // SAFETY: `handle` is that of the connection that is borrowed here, so it is open and
        // nobody else uses it; the call writes two numbers.
        let status = unsafe {
            ffi::sqlite3_db_status(
                handle,
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut open,
                &raw mut unused,
                0,
            )
        };
        status == ffi::SQLITE_OK && open != 0
    }

    /// What SQLite is to say to a statement that is being prepared.
    fn judge(&self, action: c_int, first: Option<&CStr>, second: Option<&CStr>) -> c_int {
        if self.inside.load(Ordering::Relaxed)
            && let Some(what) = self.refused(action, first, second)
        {
            tracing::warn!(
                what,
                ?first,
                "a closure was refused what would outlive it on a connection that others use"
            );
            return ffi::SQLITE_DENY;
        }
        if let Some(touched) = &self.touched {
            touched.authorized(action, first);
        }
        ffi::SQLITE_OK
    }

    fn refused(
        &self,
        action: c_int,
        first: Option<&CStr>,
        second: Option<&CStr>,
    ) -> Option<&'static str> {
        let text = |argument: Option<&CStr>| {
            argument.map_or_else(String::new, |text| text.to_string_lossy().to_lowercase())
        };
        match action {
            ffi::SQLITE_TRANSACTION => Some("transaction control"),
            ffi::SQLITE_ATTACH => Some("ATTACH"),
            ffi::SQLITE_DETACH => Some("DETACH"),
            ffi::SQLITE_SAVEPOINT if text(second) == MEMBER => Some("the database's savepoint"),
            ffi::SQLITE_PRAGMA if second.is_some() => {
                let name = text(first);
                if name == "defer_foreign_keys" {
                    self.defers.store(true, Ordering::Relaxed);
                }
                (!WITH_VALUE.contains(&name.as_str())).then_some("a pragma with a value")
            }
            _ => None,
        }
    }
}

/// Sets the guard before a connection. False when SQLite is out of memory.
///
/// # Safety
/// `handle` is an open connection that no other thread uses during the call, and the one that
/// every later call is given.
pub(super) unsafe fn attach(handle: NonNull<ffi::sqlite3>, guard: &Arc<Guard>) -> bool {
    const NAME: &CStr = c"bitcraps-db guard";
    guard.handle.store(handle.as_ptr(), Ordering::Relaxed);
    let handle = handle.as_ptr();
    let owned = Arc::into_raw(Arc::clone(guard)).cast_mut().cast::<c_void>();
    // SAFETY: the caller's promise. SQLite takes the one strong count of `owned` and gives it back
    // through `release` when the connection closes, also if this call fails. Nothing is prepared
    // after that, so the pointer outlives the last call of the authorizer.
    let status =
        unsafe { ffi::sqlite3_set_clientdata(handle, NAME.as_ptr(), owned, Some(release)) };
    if status != ffi::SQLITE_OK {
        return false;
    }
    // SAFETY: as above; the callback only reads through the pointer.
    let status = unsafe { ffi::sqlite3_set_authorizer(handle, Some(on_authorize), owned) };
    status == ffi::SQLITE_OK
}

unsafe extern "C" fn on_authorize(
    guard: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _database: *const c_char,
    _trigger: *const c_char,
) -> c_int {
    // SAFETY: `guard` is the pointer that `attach` registered, alive until the close.
    let guard = unsafe { &*guard.cast::<Guard>() };
    // SAFETY: the arguments are null, or end in NUL and live for this call.
    let [first, second] = [first, second].map(|text| unsafe { optional(text) });
    guard.judge(action, first, second)
}

/// # Safety
/// Null, or a text that ends in NUL and lives as long as `'a`.
unsafe fn optional<'a>(text: *const c_char) -> Option<&'a CStr> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so by the caller's promise it is such a text.
    Some(unsafe { CStr::from_ptr(text) })
}

unsafe extern "C" fn release(guard: *mut c_void) {
    // SAFETY: SQLite calls this once, with the pointer made by `Arc::into_raw`.
    drop(unsafe { Arc::from_raw(guard.cast::<Guard>()) });
}
