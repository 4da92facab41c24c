//! Which tables a write transaction touched, told by SQLite itself.
//!
//! The update hook would be the obvious way, but it is silent for tables WITHOUT ROWID and for
//! `DELETE` without a condition, and the pre-update hook is not in the library that is compiled in.
//! The authorizer (see `guard`) is silent about nothing: while a statement is prepared it names every table that
//! this can write to, those of triggers and of foreign keys' actions too. But a statement is
//! prepared once and runs often. So the trace callback tells which statements ran, and a text that
//! is new is prepared once more, as EXPLAIN, to hear what the authorizer has to say of it.
//!
//! What a text may touch depends on the schema. Others can change that only between two of our
//! transactions, which `PRAGMA data_version` tells; our own changes of it the authorizer names.
//! Either counts as a change of every table.
//!
//! It errs on one side: a statement that touched no row counts as one that did.
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use libsqlite3_sys as ffi;

use crate::cache::{Changed, TableClock};

/// Texts that are remembered. A program has some dozens; texts that vary would fill the memory.
const REMEMBERED: usize = 1_000;

/// A text longer than this, a batch of rows say, is not remembered but looked at each time.
const LONGEST: usize = 10_000;

/// Listens to one writing connection.
pub(super) struct Touched {
    clock: Arc<TableClock>,
    /// The connection that this was made for. Null until it is open.
    handle: AtomicPtr<ffi::sqlite3>,
    heard: Mutex<Heard>,
}

/// What a statement or a transaction can have written to.
#[derive(Debug, Clone, Default)]
struct Tables {
    names: BTreeSet<Box<str>>,
    /// More than can be named.
    everything: bool,
}

#[derive(Default)]
struct Heard {
    attached: bool,
    /// Whether the present transaction is listened to from its beginning.
    listening: bool,
    /// While a text is explained: what the authorizer says of it.
    explaining: Option<Tables>,
    touched: Tables,
    known: HashMap<Box<[u8]>, Tables>,
    /// Texts that ran and are not known.
    unknown: BTreeSet<Box<[u8]>>,
    /// `PRAGMA data_version` in our last transaction.
    version: Option<i64>,
}

#[derive(QueryableByName)]
struct DataVersion {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

impl Touched {
    pub(super) fn new(clock: Arc<TableClock>) -> Self {
        Self {
            clock,
            handle: AtomicPtr::new(ptr::null_mut()),
            heard: Mutex::default(),
        }
    }

    /// Tells which connection this is for.
    ///
    /// # Safety
    /// `handle` must be that of the connection that every later call is given.
    pub(super) unsafe fn is_of(&self, handle: *mut ffi::sqlite3) {
        self.handle.store(handle, Ordering::Release);
    }

    /// A transaction that can write has begun.
    pub(super) fn begin(self: &Arc<Self>, conn: &mut SqliteConnection) {
        if !self.clock.is_watched() {
            return;
        }
        let listening = self.attach(conn);
        let version = sql_query("PRAGMA data_version").get_result::<DataVersion>(conn);
        let version = version.ok().map(|row| row.data_version);
        let mut heard = self.heard();
        heard.listening = listening;
        heard.touched = Tables::default();
        heard.unknown.clear();
        if version.is_none() || version != heard.version {
            // Somebody else has written, or may have: that is committed already.
            heard.version = version;
            heard.known.clear();
            drop(heard);
            self.clock.changed(Changed::Everything);
        }
    }

    /// The transaction is about to be committed.
    pub(super) fn before_commit(&self, conn: &mut SqliteConnection) {
        let unknown = {
            let mut heard = self.heard();
            if !heard.listening {
                return;
            }
            std::mem::take(&mut heard.unknown)
        };
        for text in unknown {
            let tables = self.explain(conn, &text);
            let mut heard = self.heard();
            heard.touched.add(&tables);
            if text.len() <= LONGEST {
                if heard.known.len() >= REMEMBERED {
                    heard.known.clear();
                }
                heard.known.insert(text, tables);
            }
        }
    }

    /// The transaction is committed, or may be; its callers are not answered yet.
    pub(super) fn committed(&self) {
        let tables = {
            let mut heard = self.heard();
            if std::mem::take(&mut heard.listening) {
                std::mem::take(&mut heard.touched)
            } else {
                // Someone began to watch in the middle of it.
                Tables::everything()
            }
        };
        if tables.everything {
            self.heard().known.clear();
            self.clock.changed(Changed::Everything);
        } else if !tables.names.is_empty() {
            let names: Vec<&str> = tables.names.iter().map(AsRef::as_ref).collect();
            self.clock.changed(Changed::Tables(&names));
        }
    }

    /// Somebody ended the transaction, who knows how.
    pub(super) fn lost_track(&self) {
        self.heard().listening = false;
        self.committed();
    }

    /// The transaction was rolled back.
    pub(super) fn rolled_back(&self) {
        let mut heard = self.heard();
        heard.listening = false;
        if heard.touched.everything {
            // What was learnt under a schema that is gone again.
            heard.known.clear();
        }
    }

    /// What a statement of this text can write to, under the present schema.
    fn explain(&self, conn: &mut SqliteConnection, text: &[u8]) -> Tables {
        let Ok(sql) = std::str::from_utf8(text) else {
            return Tables::everything();
        };
        self.heard().explaining = Some(Tables::default());
        let explained = conn.batch_execute(&format!("EXPLAIN {sql}"));
        let heard = self.heard().explaining.take();
        match (explained, heard) {
            (Ok(()), Some(tables)) => tables,
            // It ran, and cannot any more: something that it needs is gone.
            _ => Tables::everything(),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the callback, when it is first wanted: it costs every statement a little. False
    /// when it cannot be done.
    fn attach(self: &Arc<Self>, _conn: &mut SqliteConnection) -> bool {
        const NAME: &CStr = c"bitcraps-db touched tables";
        if self.heard().attached {
            return true;
        }
        let handle = self.handle.load(Ordering::Acquire);
        if handle.is_null() {
            return false;
        }
        let owned = Arc::into_raw(Arc::clone(self)).cast_mut().cast::<c_void>();
        // SAFETY: by the promise of `is_of`, `handle` belongs to the connection that is borrowed
        // here, at home (see `identity`), so it is open and nobody else uses it. SQLite takes the one strong count of `owned`
        // and gives it back through `release` when the connection closes, also if this call fails;
        // so the pointer that the callback below gets outlives its last call.
        let status =
            unsafe { ffi::sqlite3_set_clientdata(handle, NAME.as_ptr(), owned, Some(release)) };
        if status != ffi::SQLITE_OK {
            return false;
        }
        let mask = c_uint::try_from(ffi::SQLITE_TRACE_STMT).unwrap_or_default();
        // SAFETY: as above; the callback only reads through the pointer.
        let status = unsafe { ffi::sqlite3_trace_v2(handle, mask, Some(on_statement), owned) };
        self.heard().attached = status == ffi::SQLITE_OK;
        status == ffi::SQLITE_OK
    }

    /// A statement with this text has begun to run, and it can write.
    fn ran(&self, text: &[u8]) {
        let mut heard = self.heard();
        let Heard {
            listening: true,
            explaining: None,
            touched,
            known,
            unknown,
            ..
        } = &mut *heard
        else {
            return;
        };
        if let Some(tables) = known.get(text) {
            touched.add(tables);
        } else if !unknown.contains(text) {
            unknown.insert(text.into());
        }
    }

    /// What the authorizer was asked for: to write to this table, to change the schema, or
    /// something that does not matter here.
    pub(super) fn authorized(&self, action: c_int, first: Option<&CStr>) {
        let writes_rows = matches!(
            action,
            ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE
        );
        if writes_rows || changes_schema(action) {
            self.prepared(first.filter(|_| writes_rows));
        }
    }

    /// A statement that is being prepared can write to this table, or to the schema.
    fn prepared(&self, table: Option<&CStr>) {
        let mut heard = self.heard();
        let Heard {
            attached: true,
            explaining,
            touched,
            ..
        } = &mut *heard
        else {
            return;
        };
        // Statements name their tables when they run; but a change of schema must not be missed.
        let tables = explaining.as_mut().unwrap_or(touched);
        match table.map(CStr::to_str) {
            Some(Ok(name)) if !name.starts_with("sqlite_") => {
                if !tables.names.contains(name) {
                    tables.names.insert(name.into());
                }
            }
            _ => tables.everything = true,
        }
    }
}

impl Tables {
    fn everything() -> Self {
        Self {
            names: BTreeSet::new(),
            everything: true,
        }
    }

    fn add(&mut self, other: &Self) {
        self.everything |= other.everything;
        for name in &other.names {
            if !self.names.contains(name) {
                self.names.insert(name.clone());
            }
        }
    }
}

const fn changes_schema(action: c_int) -> bool {
    matches!(
        action,
        ffi::SQLITE_ALTER_TABLE
            | ffi::SQLITE_ATTACH
            | ffi::SQLITE_DETACH
            | ffi::SQLITE_CREATE_TABLE
            | ffi::SQLITE_CREATE_TEMP_TABLE
            | ffi::SQLITE_CREATE_TEMP_TRIGGER
            | ffi::SQLITE_CREATE_TEMP_VIEW
            | ffi::SQLITE_CREATE_TRIGGER
            | ffi::SQLITE_CREATE_VIEW
            | ffi::SQLITE_CREATE_VTABLE
            | ffi::SQLITE_DROP_TABLE
            | ffi::SQLITE_DROP_TEMP_TABLE
            | ffi::SQLITE_DROP_TEMP_TRIGGER
            | ffi::SQLITE_DROP_TEMP_VIEW
            | ffi::SQLITE_DROP_TRIGGER
            | ffi::SQLITE_DROP_VIEW
            | ffi::SQLITE_DROP_VTABLE
    )
}

unsafe extern "C" fn on_statement(
    _event: c_uint,
    touched: *mut c_void,
    statement: *mut c_void,
    _text: *mut c_void,
) -> c_int {
    let statement = statement.cast::<ffi::sqlite3_stmt>();
    // SAFETY: for this event it is the statement that begins to run.
    if unsafe { ffi::sqlite3_stmt_readonly(statement) } != 0 {
        return 0;
    }
    // SAFETY: as above. The text in the callback's last argument would be a comment for a trigger.
    let text = unsafe { ffi::sqlite3_sql(statement) };
    if text.is_null() {
        return 0;
    }
    // SAFETY: it ends in NUL, and lives as long as the statement.
    let text = unsafe { CStr::from_ptr(text) };
    // SAFETY: `touched` is the pointer that `attach` registered, alive until the close.
    let touched = unsafe { &*touched.cast::<Touched>() };
    touched.ran(text.to_bytes());
    0
}

unsafe extern "C" fn release(touched: *mut c_void) {
    // SAFETY: SQLite calls this once, with the pointer made by `Arc::into_raw`.
    drop(unsafe { Arc::from_raw(touched.cast::<Touched>()) });
}
