//! What the current thread is in the middle of, for each database.
//!
//! A call that waits for a connection while its own thread holds one can wait for itself, or for
//! others that do the same. It gets an error instead, and at once. And a cache must know: within a
//! read its values must fit that snapshot, and within a write nothing may be kept, because it may
//! be rolled back.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cache::{Standing, TableClock};
use crate::error::{Error, ErrorKind};

thread_local! {
    /// Innermost last; a database is known by the address of its clock.
    static INSIDE: RefCell<Vec<(*const TableClock, Inside)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// A read, whose snapshot began when this many changes were counted, or later.
    Read {
        as_of: u64,
    },
    Write,
    /// What is computed for a cache, whichever database it reads.
    Computation,
}

impl Inside {
    const fn as_use(self) -> Option<Use> {
        match self {
            Self::Read { .. } => Some(Use::Read),
            Self::Write => Some(Use::Write),
            Self::Computation => None,
        }
    }
}

/// What a thread is about to do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Run a closure of `read`.
    Read,
    /// Run a closure of `write`.
    Write,
}

/// Until it is dropped, the thread is inside. It stays on its thread.
#[must_use]
pub(crate) struct Entered(PhantomData<*const ()>);

/// A read is about to begin its snapshot.
pub(crate) fn enter_read(database: &Arc<TableClock>) -> Entered {
    let as_of = database.now();
    enter(Arc::as_ptr(database), Inside::Read { as_of })
}

/// A read is about to begin, whose snapshot may be older than any change that was counted.
pub(crate) fn enter_past(database: &Arc<TableClock>) -> Entered {
    enter(Arc::as_ptr(database), Inside::Read { as_of: 0 })
}

/// A write is about to run here.
pub(crate) fn enter_write(database: &Arc<TableClock>) -> Entered {
    enter(Arc::as_ptr(database), Inside::Write)
}

/// A computation for a cache is about to begin.
pub(crate) fn enter_computation() -> Entered {
    enter(std::ptr::null(), Inside::Computation)
}

fn enter(database: *const TableClock, inside: Inside) -> Entered {
    INSIDE.with_borrow_mut(|all| all.push((database, inside)));
    Entered(PhantomData)
}

impl Drop for Entered {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(|all| {
            all.pop();
        });
    }
}

/// Makes sure that this thread may start to do `what`, where readers and the writer have
/// connections of their own and a log between them.
///
/// A read in a write is let through: it sees the last commit, and with a log no read waits for a
/// write, so it ends. (Without one it may wait for that very write: [`check_any`].) A read in a read would need a second connection while others may hold the first ones
/// for the same reason; a write in a read would keep a snapshot open while it waits in line.
///
/// # Errors
/// [`ErrorKind::Nested`].
pub(crate) fn check(database: &Arc<TableClock>, what: Use) -> Result<(), Error> {
    refuse_within(database, what, |outer| {
        (outer, what) != (Use::Write, Use::Read)
    })
}

/// Makes sure that this thread is not using the database at all.
///
/// # Errors
/// [`ErrorKind::Nested`].
pub(crate) fn check_any(database: &Arc<TableClock>, what: Use) -> Result<(), Error> {
    refuse_within(database, what, |_| true)
}

/// Makes sure that this thread may close the database, which waits for what runs.
///
/// # Errors
/// [`ErrorKind::Nested`].
pub(crate) fn check_close(database: &Arc<TableClock>) -> Result<(), Error> {
    find(database, |_| true).map_or(Ok(()), |_| {
        Err(Error::new(
            ErrorKind::Nested,
            "the database was to be closed inside one of its closures",
        )
        .with_hint("close it when they have returned"))
    })
}

/// What this thread is in the middle of, with whichever database.
pub(crate) fn innermost() -> Option<Use> {
    INSIDE.with_borrow(|all| all.iter().rev().find_map(|(_, inside)| inside.as_use()))
}

/// Whether this thread runs a write of the database.
pub(crate) fn is_in_write(database: &Arc<TableClock>) -> bool {
    find(database, |outer| outer == Use::Write).is_some()
}

/// Whether this thread computes a value for a cache.
pub(crate) fn is_computing() -> bool {
    INSIDE.with_borrow(|all| all.iter().any(|(_, inside)| *inside == Inside::Computation))
}

fn refuse_within(
    database: &Arc<TableClock>,
    what: Use,
    refused: impl Fn(Use) -> bool,
) -> Result<(), Error> {
    find(database, refused).map_or(Ok(()), |outer| Err(nested(what, outer)))
}

fn find(database: &Arc<TableClock>, wanted: impl Fn(Use) -> bool) -> Option<Use> {
    let database = Arc::as_ptr(database);
    INSIDE.with_borrow(|all| {
        all.iter()
            .rev()
            .filter(|(of, _)| std::ptr::eq(*of, database))
            .filter_map(|(_, inside)| inside.as_use())
            .find(|outer| wanted(*outer))
    })
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

/// Where the current thread stands, for a cache over this database: in the write, if there is one.
pub(crate) fn standing(database: &Arc<TableClock>) -> Standing {
    let database = Arc::as_ptr(database);
    INSIDE.with_borrow(|all| {
        if all.is_empty() {
            return Standing::Outside;
        }
        let mut innermost_read = None;
        for (_, inside) in all
            .iter()
            .rev()
            .filter(|(of, _)| std::ptr::eq(*of, database))
        {
            match inside {
                Inside::Write => return Standing::Writing,
                Inside::Read { as_of } => innermost_read = innermost_read.or(Some(*as_of)),
                Inside::Computation => {}
            }
        }
        innermost_read.map_or(Standing::Busy, Standing::Reading)
    })
}
