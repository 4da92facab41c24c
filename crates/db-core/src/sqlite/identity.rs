//! Which connection is whose, so that one that a closure was lent is known again.
//!
//! A closure gets `&mut SqliteConnection`. Safe code can exchange what is behind two of those, also
//! of two threads, or keep one and leave another in its place. Then the statements around our
//! transactions belong to a connection that somebody else is using, perhaps at this moment. SQLite
//! may be compiled so that a connection has no lock of its own (`SQLITE_THREADSAFE=2`, as it is here),
//! and two threads in one connection would be undefined behaviour. So a connection that is lent is
//! *away*: nothing here touches it. When it comes back it is recognised before anything else, and one
//! that is not what was lent stays away for ever: neither what was lent nor what was left in its place
//! is used or closed any more.
//!
//! Whatever touches a connection that closures are lent, and why it may:
//!
//! - `RawStatement`, which opens and ends transactions, asks [`Identity::at_home`] before each call, its
//!   drop included, and is leaked while the connection is away.
//! - [`Kept`], Diesel's owner in the slot, is not closed while it is away: it may be somebody else's, whose
//!   statements would make the close fail, and Diesel panic.
//! - Diesel's count of transactions and the pragmas and savepoints of the executor are asked for after
//!   [`Identity::recognise`] only.
//! - Hooks, the authorizer and the progress handler run inside the calls of whoever uses the connection,
//!   on that thread. What they are given is atomic or locked, and SQLite holds a count of it until the
//!   connection is closed. That fails as long as a statement of ours exists: a lost connection stays open,
//!   and no other one gets its address.
//! - `Interrupt` sets a flag, which the progress handler reads; nobody calls `sqlite3_interrupt`.
//! - `Recorder` uses its handle inside calls of the connection that owns it. It cannot be named outside of
//!   `handle`, and Diesel gives nobody an instrumentation back, so it stays with its connection.
//! - `Touched` registers its callback between BEGIN and the first closure, on a connection at home.
//! - The anchor, the checkpointer's thread and `OnlineCopy` have connections that nobody is lent.
//! - The keeper and `close` find in the slots what was recognised when it was put there.
//! - A panic beside the closure leaves a connection away; the drop of its owner recognises it first.
//!
//! A lost connection keeps what it had locked: a reader its snapshot, a writer the right to write. Its
//! transaction is never committed: the guard refuses COMMIT, and the watch stays sealed.
#![expect(
    unsafe_code,
    reason = "an owner that is not dropped, and a pointer to compare; every block states why it is sound"
)]

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::SqliteConnection;
use libsqlite3_sys as ffi;

use super::guard::Guard;
use super::handle::{self, Listeners};
use crate::error::{Error, ErrorKind};

/// One connection, and whether it is lent.
pub(super) struct Identity {
    /// Followed by those only who have the connection to themselves.
    handle: NonNull<ffi::sqlite3>,
    guard: Option<Arc<Guard>>,
    listeners: Listeners,
    /// Lent, and not yet known again.
    away: AtomicBool,
}

// SAFETY: everything but the pointer is so by itself, and the pointer is only copied here; whoever
// follows it says why it may.
unsafe impl Send for Identity {}
// SAFETY: as above.
unsafe impl Sync for Identity {}

impl Identity {
    pub(super) fn new(
        handle: NonNull<ffi::sqlite3>,
        guard: Option<Arc<Guard>>,
        listeners: Listeners,
    ) -> Self {
        Self {
            handle,
            guard,
            listeners,
            away: AtomicBool::new(false),
        }
    }

    pub(super) fn handle(&self) -> NonNull<ffi::sqlite3> {
        self.handle
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Whether the connection is with its owner here, who therefore has it to himself.
    #[inline]
    pub(super) fn at_home(&self) -> bool {
        // Set and read by the owner; owners on several threads are ordered by what the connection
        // is passed on with.
        !self.away.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`lost`].
    #[inline]
    pub(super) fn home(&self) -> Result<NonNull<ffi::sqlite3>, Error> {
        if self.at_home() {
            Ok(self.handle)
        } else {
            Err(lost())
        }
    }

    /// A closure is about to get the connection.
    #[inline]
    pub(super) fn lend(&self) {
        if let Some(guard) = &self.guard {
            guard.lent(true);
        }
        self.away.store(true, Ordering::Relaxed);
    }

    /// Whether this is the connection that was lent: from then on it is at home again.
    #[inline]
    pub(super) fn recognise(&self, conn: &mut SqliteConnection) -> bool {
        if self.at_home() {
            return true;
        }
        let known = match handle::recorded(conn) {
            Some(handle) => handle == self.handle,
            None => self.ask(conn),
        };
        if known {
            self.away.store(false, Ordering::Relaxed);
            if let Some(guard) = &self.guard {
                guard.lent(false);
            }
        }
        known
    }

    /// The closure has set an instrumentation of its own, or this is another connection.
    #[cold]
    fn ask(&self, conn: &mut SqliteConnection) -> bool {
        // Not the closure's: it could use other connections while the guard is asked.
        handle::record_nothing(conn);
        let guard = self.guard.as_ref();
        let Some(code) = guard.and_then(|guard| guard.stands_before(conn)) else {
            return false;
        };
        // What failed last; of what failed before it nobody was told.
        self.listeners.note(code);
        // SAFETY: the guard has been asked by this connection, to whose handle it was attached.
        unsafe { handle::record(conn, self.handle, &self.listeners) };
        true
    }
}

/// Diesel's owner of a connection, which closes it at the end, unless it is away then.
pub(super) struct Kept {
    conn: ManuallyDrop<SqliteConnection>,
    identity: Arc<Identity>,
}

impl Kept {
    pub(super) fn new(conn: SqliteConnection, identity: Arc<Identity>) -> Self {
        Self {
            conn: ManuallyDrop::new(conn),
            identity,
        }
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// For its owner's own use, where it is at home.
    #[inline]
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    /// Lends the connection.
    #[inline]
    pub(super) fn lend(&mut self) -> &mut SqliteConnection {
        self.identity.lend();
        &mut self.conn
    }

    /// After the closure, and before anything else.
    ///
    /// # Errors
    /// [`lost`], for ever: nothing of the connection is to be used any more.
    #[inline]
    pub(super) fn returned(&mut self) -> Result<(), Error> {
        if self.identity.recognise(&mut self.conn) {
            Ok(())
        } else {
            Err(lost())
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.returned().is_err() {
            tracing::error!(
                "a connection was exchanged for another one; both stay open, with what they hold, \
                 until the process ends"
            );
            return;
        }
        // SAFETY: nobody uses it after this drop.
        unsafe { ManuallyDrop::drop(&mut self.conn) };
    }
}

/// What is said of a connection that is away.
#[cold]
pub(super) fn lost() -> Error {
    Error::new(
        ErrorKind::TransactionEnded,
        "a closure left another connection in the place of the one that it was lent; neither is \
         used any more, and nothing of the transaction is committed",
    )
    .with_hint(
        "use the connection where it is: no `mem::swap` or `mem::replace` on what it refers to",
    )
}
