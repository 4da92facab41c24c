//! What a closure may not do to the connection that it is lent: change its settings, end its
//! transaction, attach a file. The next closure is a stranger's, and would suffer from it.
//!
//! SQLite asks the authorizer while it prepares a statement, so a statement that Diesel keeps costs
//! nothing. What the database itself runs on the connection, outside of closures, is not asked for.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::{RunQueryDsl, SqliteConnection, sql_query};
use libsqlite3_sys as ffi;

use super::touched::Touched;

/// The savepoint that keeps the members of a group apart.
const MEMBER: &str = "bitcraps_member";

/// How Diesel's own savepoints begin, whose end it counts.
const NESTED: &str = "diesel_savepoint_";

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

thread_local! {
    /// The guard that was asked last on this thread.
    static ASKED: Cell<*const Guard> = const { Cell::new(ptr::null()) };
    /// None while the code of a connection's last call is asked for.
    static CODE: Cell<Option<c_int>> = const { Cell::new(Some(ffi::SQLITE_OK)) };
}

/// Stands between closures and one connection.
#[derive(Default)]
pub(super) struct Guard {
    inside: AtomicBool,
    /// A closure has asked for its foreign keys to be checked at COMMIT.
    defers: AtomicBool,
    /// Whether closures share transactions, so that one may find what another has left.
    of_groups: bool,
    /// Savepoints of their own that closures have begun, where they share transactions.
    savepoints: Mutex<BTreeSet<CString>>,
    has_savepoints: AtomicBool,
    /// The connection; null before it has one.
    handle: AtomicPtr<ffi::sqlite3>,
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

    /// Before a connection on which closures share transactions.
    pub(super) fn of_groups(touched: Arc<Touched>) -> Self {
        Self {
            of_groups: true,
            ..Self::new(Some(touched))
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

    /// The names of the savepoints that closures have begun; asked once. They may have ended, too.
    pub(super) fn take_savepoints(&self) -> BTreeSet<CString> {
        if self.has_savepoints.load(Ordering::Relaxed) {
            self.has_savepoints.store(false, Ordering::Relaxed);
            return std::mem::take(&mut self.savepoints());
        }
        BTreeSet::new()
    }

    fn savepoints(&self) -> MutexGuard<'_, BTreeSet<CString>> {
        self.savepoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is what stands before the connection, which is asked with a statement that
    /// means nothing; then the extended code of the connection's last call. No instrumentation of a
    /// stranger's may listen meanwhile.
    pub(super) fn stands_before(&self, conn: &mut SqliteConnection) -> Option<c_int> {
        ASKED.set(ptr::null());
        CODE.set(None);
        // Not as a script, before which SQLite forgets that code.
        let prepared = sql_query("SELECT 1").execute(conn);
        let asked = ASKED.replace(ptr::null());
        let code = CODE.replace(Some(ffi::SQLITE_OK)).unwrap_or(ffi::SQLITE_OK);
        (prepared.is_ok() && ptr::eq(asked, self)).then_some(code)
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
            ffi::SQLITE_SAVEPOINT => {
                let begins = text(first) == "begin" && !text(second).starts_with(NESTED);
                if self.of_groups
                    && begins
                    && let Some(name) = second
                {
                    self.savepoints().insert(name.to_owned());
                    self.has_savepoints.store(true, Ordering::Relaxed);
                }
                None
            }
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
/// `handle` is an open connection that no other thread uses during the call.
pub(super) unsafe fn attach(handle: NonNull<ffi::sqlite3>, guard: &Arc<Guard>) -> bool {
    const NAME: &CStr = c"bitcraps-db guard";
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
    guard.handle.store(handle, Ordering::Relaxed);
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
    ASKED.set(guard);
    if CODE.get().is_none() {
        // SAFETY: of the connection that this is a callback of, on the thread that uses it.
        let code = unsafe { ffi::sqlite3_extended_errcode(guard.handle.load(Ordering::Relaxed)) };
        CODE.set(Some(code));
    }
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
