//! The raw `sqlite3*` of a Diesel connection, for what Diesel does not pass on: extended error
//! codes, the offset of a syntax error, and interruption.
//!
//! `unsafe` is at home here, in `bulk`, in `cipher`, in `copy`, in `fault`, in `flush`, in `guard`, in `identity`, in
//! `raw_statement`, in `touched`, in `watch` and in `writer::job`. Each block says why it is sound.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::connection::{Instrumentation, InstrumentationEvent, get_default_instrumentation};
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use libsqlite3_sys as ffi;

use super::cipher;
use super::fault::{self, Fault};
use super::guard::{self, Guard};
use super::identity::{Identity, Kept};
use super::touched::Touched;
use super::watch::{self, Health, Watch};
use crate::Interrupt;
use crate::encryption::EncryptionKey;
use crate::error::{Error, ErrorKind};

/// Virtual-machine steps between two looks at the interrupt flag: some microseconds of work.
const STEPS_BETWEEN_LOOKS: c_int = 4_000;

/// Versions with the WAL-reset bug corrupt a database that a pool and a checkpointer share.
/// Fixed in 3.51.3, and in the maintained branches from these on.
const SAFE_VERSION: c_int = 3_051_003;
const SAFE_BACKPORTS: [c_int; 2] = [3_050_007, 3_044_006];

/// What SQLite says of the statement that failed last on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastError {
    /// The extended result code.
    pub(crate) code: i32,
    /// Bytes from the start of the statement, where SQLite knows the place.
    pub(crate) offset: Option<usize>,
}

thread_local! {
    static OPENED: Cell<*mut ffi::sqlite3> = const { Cell::new(ptr::null_mut()) };
    static LAST_ERROR: RefCell<Option<(LastError, String)>> = const { RefCell::new(None) };
}

/// The code recorded last on this thread, once, if it was for this very message.
///
/// Diesel's error names no connection, so the text is all there is to match by: where two
/// connections of one thread fail with equal texts, an error that is classified only after the
/// other one gets the other one's code. A statement that succeeds forgets nothing, because the
/// ROLLBACK after a failure comes before anyone can classify it.
pub(crate) fn take_last_error(message: &str) -> Option<LastError> {
    // What is for another message stays: its error may be classified yet.
    LAST_ERROR.with_borrow_mut(|slot| {
        slot.take_if(|(_, recorded)| recorded == message)
            .map(|(last, _)| last)
    })
}

/// Refuses to work with a SQLite library that is known to corrupt databases.
pub(crate) fn refuse_corrupting_library() -> Result<(), Error> {
    let version = version_number();
    if is_safe_version(version) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::UnsafeEngine,
        format!("SQLite {version} is linked, which can corrupt a database in WAL mode"),
    )
    .with_hint("link SQLite 3.51.3 or newer, as the feature `bundled` of libsqlite3-sys does"))
}

/// The version of the library, as people write it.
pub(crate) fn library_version() -> String {
    let version = version_number();
    let (major, minor, patch) = (
        version / 1_000_000,
        version / 1_000 % 1_000,
        version % 1_000,
    );
    format!("{major}.{minor}.{patch}")
}

/// How far threads may share a connection: 1 for a lock in each, 2 for none.
#[cfg(test)]
pub(super) fn threading() -> c_int {
    // SAFETY: takes no argument and returns a constant of the library.
    unsafe { ffi::sqlite3_threadsafe() }
}

fn version_number() -> c_int {
    // SAFETY: takes no argument and returns a constant of the library.
    unsafe { ffi::sqlite3_libversion_number() }
}

fn is_safe_version(version: c_int) -> bool {
    let branch = |v: c_int| v / 1_000;
    version >= SAFE_VERSION
        || SAFE_BACKPORTS
            .iter()
            .any(|safe| branch(*safe) == branch(version) && version >= *safe)
}

/// What a connection is given, and whom it reports to besides its caller.
#[derive(Clone, Default)]
pub(crate) struct Attached {
    /// Where damage is noted.
    pub(crate) health: Option<Arc<Health>>,
    /// What the hooks of a writing connection count and obey.
    pub(crate) watch: Option<Arc<Watch>>,
    /// What is told of the tables that a writing connection touches.
    pub(crate) touched: Option<Arc<Touched>>,
    /// What stands between closures and the connection.
    pub(crate) guard: Option<Arc<Guard>>,
    /// Where it is noted that the connection cannot be used any more.
    pub(crate) fault: Option<Arc<Fault>>,
    /// The key of the file, if it is encrypted.
    pub(crate) key: Option<EncryptionKey>,
}

/// A connection that nobody was lent yet, and SQLite's own handle of it, which is valid as long as it
/// is open.
pub(super) struct Opened {
    conn: SqliteConnection,
    identity: Arc<Identity>,
}

impl Opened {
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    pub(super) fn into_conn(self) -> SqliteConnection {
        self.conn
    }

    /// To lend it.
    pub(super) fn into_kept(self) -> Kept {
        Kept::new(self.conn, self.identity)
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub(super) fn handle(&self) -> NonNull<ffi::sqlite3> {
        self.identity.handle()
    }
}

/// Whom a connection tells of its errors.
#[derive(Clone, Default)]
pub(super) struct Listeners {
    /// Where damage is noted.
    pub(super) health: Option<Arc<Health>>,
    /// Where it is noted that the connection cannot be used any more.
    pub(super) fault: Option<Arc<Fault>>,
}

impl Listeners {
    /// Tells them of an extended code.
    pub(super) fn note(&self, code: c_int) {
        if let Some(health) = &self.health {
            health.note(code);
        }
        if let Some(fault) = &self.fault {
            fault.note(code);
        }
    }
}

/// Opens `target` through Diesel, records its errors' codes, and obeys `interrupt`.
pub(super) fn establish(
    target: &str,
    interrupt: &Interrupt,
    attached: Attached,
) -> ConnectionResult<Opened> {
    register_extension();
    OPENED.set(ptr::null_mut());
    #[expect(clippy::disallowed_methods, reason = "the one door to SQLite")]
    let mut conn = SqliteConnection::establish(target)?;
    let Some(handle) = NonNull::new(OPENED.replace(ptr::null_mut())) else {
        return Err(ConnectionError::BadConnection(
            "SQLite did not run the connection hook".to_owned(),
        ));
    };
    let listeners = Listeners {
        health: attached.health,
        fault: attached.fault,
    };
    let identity = Arc::new(Identity::new(handle, attached.guard.clone(), listeners));
    if let Some(key) = &attached.key {
        cipher::unlock(&identity, key)
            .map_err(|e| ConnectionError::BadConnection(e.message().to_owned()))?;
    }
    watch_interrupt(handle.as_ptr(), interrupt.flag())?;
    if let Some(watch) = attached.watch {
        // SAFETY: `handle` is the connection that was opened just now and is held here.
        if !unsafe { watch::attach(handle.as_ptr(), watch) } {
            return Err(ConnectionError::BadConnection("out of memory".to_owned()));
        }
    }
    if let Some(guard) = &attached.guard {
        // SAFETY: as above; whoever passed it made it for the connection that it gets back.
        if !unsafe { guard::attach(handle, guard) } {
            return Err(ConnectionError::BadConnection("out of memory".to_owned()));
        }
    }
    if let Some(touched) = attached.touched {
        // SAFETY: whoever passed it made it for the connection that it gets back from here.
        unsafe { touched.is_of(handle.as_ptr()) };
    }
    // SAFETY: `handle` is that of `conn`.
    unsafe { record(&mut conn, handle, identity.listeners()) };
    Ok(Opened { conn, identity })
}

/// Records the errors of a connection from now on.
///
/// # Safety
/// `handle` must be that of this connection.
pub(super) unsafe fn record(
    conn: &mut SqliteConnection,
    handle: NonNull<ffi::sqlite3>,
    listeners: &Listeners,
) {
    conn.set_instrumentation(Recorder {
        handle,
        listeners: listeners.clone(),
        next: get_default_instrumentation(),
    });
}

/// Takes away whatever instrumentation a connection has.
pub(super) fn record_nothing(conn: &mut SqliteConnection) {
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
}

/// The handle of a connection whose errors are recorded: of those that were opened here, unless they
/// were given another instrumentation.
#[inline]
pub(super) fn recorded(conn: &mut SqliteConnection) -> Option<NonNull<ffi::sqlite3>> {
    let recorder = conn.instrumentation().downcast_ref::<Recorder>();
    recorder.map(|recorder| recorder.handle)
}

/// Asks SQLite to tell this module of each connection that the process opens.
fn register_extension() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: `note_opened` has the signature that SQLite documents for entry points of
        // automatic extensions, and lives as long as the process.
        unsafe { ffi::sqlite3_auto_extension(Some(note_opened)) };
    });
}

/// Runs inside `sqlite3_open`, on the thread that opens: remembers the handle for `establish`.
unsafe extern "C" fn note_opened(
    handle: *mut ffi::sqlite3,
    _message: *mut *mut c_char,
    _api: *const ffi::sqlite3_api_routines,
) -> c_int {
    OPENED.set(handle);
    ffi::SQLITE_OK
}

/// Lets the flag end running statements with `SQLITE_INTERRUPT`.
///
/// The flag is looked at from inside SQLite's virtual machine (a progress handler) instead of
/// calling `sqlite3_interrupt` from another thread, which would race with the close.
fn watch_interrupt(handle: *mut ffi::sqlite3, flag: Arc<AtomicBool>) -> ConnectionResult<()> {
    const NAME: &CStr = c"bitcraps-db interrupt flag";
    let owned = Arc::into_raw(flag).cast_mut().cast::<c_void>();
    // SAFETY: `handle` is the open connection that `establish` holds. SQLite takes the one strong
    // count of `owned` and gives it back through `release_flag` when the connection closes, also
    // if this call fails; so the pointer that the progress handler gets outlives its last call.
    let status =
        unsafe { ffi::sqlite3_set_clientdata(handle, NAME.as_ptr(), owned, Some(release_flag)) };
    if status != ffi::SQLITE_OK {
        return Err(ConnectionError::BadConnection("out of memory".to_owned()));
    }
    // SAFETY: as above; `is_interrupted` only reads through the pointer.
    unsafe {
        ffi::sqlite3_progress_handler(handle, STEPS_BETWEEN_LOOKS, Some(is_interrupted), owned);
    }
    Ok(())
}

unsafe extern "C" fn is_interrupted(flag: *mut c_void) -> c_int {
    // SAFETY: `flag` is the pointer that `watch_interrupt` registered, alive until the close.
    let flag = unsafe { &*flag.cast::<AtomicBool>() };
    c_int::from(flag.load(Ordering::Relaxed))
}

unsafe extern "C" fn release_flag(flag: *mut c_void) {
    // SAFETY: SQLite calls this once, with the pointer made by `Arc::into_raw`.
    drop(unsafe { Arc::from_raw(flag.cast::<AtomicBool>()) });
}

/// Records code and offset of each failed statement; the connection owns it.
struct Recorder {
    handle: NonNull<ffi::sqlite3>,
    listeners: Listeners,
    next: Option<Box<dyn Instrumentation>>,
}

// SAFETY: the handle is used only inside `on_connection_event`, which the connection that owns
// this recorder calls while it runs a statement itself; they move between threads together.
unsafe impl Send for Recorder {}

impl Recorder {
    /// Records the error that the connection stands at, which has this text.
    fn record(&self, code: c_int, message: String) {
        // SAFETY: the owning connection is open and in the call that led here.
        let offset = unsafe { ffi::sqlite3_error_offset(self.handle.as_ptr()) };
        self.listeners.note(code);
        let last = LastError {
            code,
            offset: usize::try_from(offset).ok(),
        };
        LAST_ERROR.set(Some((last, message)));
    }

    /// Code and text of a statement that failed while its rows were read. Diesel tells of no
    /// such failure; SQLite still stands at it when the next statement begins.
    fn untold(&self) -> Option<(c_int, String)> {
        // SAFETY: the owning connection is open and in this very call, which reads its state.
        let code = unsafe { fault::code_of(self.handle.as_ptr()) };
        if matches!(code, ffi::SQLITE_OK | ffi::SQLITE_ROW | ffi::SQLITE_DONE) {
            return None;
        }
        // SAFETY: as above; SQLite never returns null here.
        let text = unsafe { ffi::sqlite3_errmsg(self.handle.as_ptr()) };
        // SAFETY: it ends in NUL and stays until the next call on this connection.
        let text = unsafe { CStr::from_ptr(text) };
        Some((code, text.to_string_lossy().into_owned()))
    }
}

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match &event {
            InstrumentationEvent::FinishQuery { error: Some(e), .. } => {
                // SAFETY: the owning connection is open and in this call, which reads its state.
                let code = unsafe { fault::code_of(self.handle.as_ptr()) };
                self.record(code, e.to_string());
            }
            InstrumentationEvent::StartQuery { .. } => {
                if let Some((code, message)) = self.untold() {
                    self.record(code, message);
                }
            }
            _ => {}
        }
        if let Some(next) = &mut self.next {
            next.on_connection_event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupting_versions_are_refused() {
        for (version, safe) in [
            (3_040_001, false),
            (3_044_005, false),
            (3_044_006, true),
            (3_045_000, false),
            (3_050_006, false),
            (3_050_007, true),
            (3_051_002, false),
            (3_051_003, true),
            (3_053_002, true),
        ] {
            assert_eq!(is_safe_version(version), safe, "{version}");
        }
        refuse_corrupting_library().unwrap();
    }
}
