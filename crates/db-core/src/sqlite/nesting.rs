//! Which databases this thread is in the middle of using.
//!
//! A call that waits for a connection while its own thread holds one can wait for itself, or for
//! others that do the same. It gets an error instead, and at once.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};

thread_local! {
    static IN_USE: RefCell<Vec<(u64, Use)>> = const { RefCell::new(Vec::new()) };
}

/// What a thread does with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Runs a closure of `read`.
    Read,
    /// Runs a closure of `write`.
    Write,
}

/// Until it is dropped, the thread uses the database. It stays on its thread.
pub(crate) struct InUse(PhantomData<*const ()>);

/// A number for a database that no other one of this process has.
pub(crate) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Notes that this thread uses the database from now on.
pub(crate) fn enter(database: u64, what: Use) -> InUse {
    IN_USE.with_borrow_mut(|uses| uses.push((database, what)));
    InUse(PhantomData)
}

/// Makes sure that this thread may start to do `what`.
///
/// A read in a write is let through: it sees the last commit, and no read waits for a write, so
/// it ends. A read in a read would need a second connection while others may hold the first ones
/// for the same reason; a write in a read would keep a snapshot open while it waits in line.
///
/// # Errors
/// [`ErrorKind::Nested`].
pub(crate) fn check(database: u64, what: Use) -> Result<(), Error> {
    refuse_within(database, what, |outer| {
        (outer, what) != (Use::Write, Use::Read)
    })
}

/// Makes sure that this thread is not using the database at all.
///
/// # Errors
/// [`ErrorKind::Nested`].
pub(crate) fn check_any(database: u64, what: Use) -> Result<(), Error> {
    refuse_within(database, what, |_| true)
}

fn refuse_within(database: u64, what: Use, refused: impl Fn(Use) -> bool) -> Result<(), Error> {
    let within = IN_USE.with_borrow(|uses| {
        uses.iter()
            .rev()
            .find(|(used, outer)| *used == database && refused(*outer))
            .map(|(_, outer)| *outer)
    });
    within.map_or(Ok(()), |outer| Err(nested(what, outer)))
}

/// The error for doing `what` inside `outer`.
fn nested(what: Use, outer: Use) -> Error {
    let name = |what| match what {
        Use::Read => "read",
        Use::Write => "write",
    };
    Error::new(
        ErrorKind::Nested,
        format!(
            "`{}` was called inside `{}` on the same database and thread",
            name(what),
            name(outer)
        ),
    )
    .with_hint("use the connection that the outer closure was given")
}

impl Drop for InUse {
    fn drop(&mut self) {
        IN_USE.with_borrow_mut(|uses| {
            uses.pop();
        });
    }
}
