//! A write that must not be committed, although its closure says that all is well.
//!
//! An operation of several statements that fails half way has left its first ones behind. Usually its error
//! becomes the closure's, and everything is rolled back. A closure that swallows the error would commit a half;
//! so whoever fails half way [condemns](condemn) the write, and [`Database::write`](crate::Database::write)
//! rolls it back in any case. A savepoint around each operation would do the same for two statements each.

use std::cell::Cell;

use crate::error::advice::SAVEPOINT;
use crate::error::{Error, ErrorKind};

thread_local! {
    /// Whether the closure that runs on this thread has failed half way.
    static CONDEMNED: Cell<bool> = const { Cell::new(false) };
}

/// Says that the write whose closure runs on this thread is half done and must be rolled back, whatever the
/// closure returns: it is then [`ErrorKind::TransactionAborted`].
///
/// What failed inside of [`Conn::savepoint`](crate::Conn::savepoint) is undone there, and condemns nothing.
pub fn condemn() {
    CONDEMNED.set(true);
}

/// Runs a closure of a transaction; one that was condemned does not end well.
pub(crate) fn judged<T, E>(
    run: impl FnOnce() -> Result<T, E>,
    refuse: impl FnOnce(Error) -> E,
) -> Result<T, E> {
    let outer = CONDEMNED.replace(false);
    let result = run();
    let condemned = CONDEMNED.replace(outer);
    match result {
        Ok(_) if condemned => Err(refuse(
            Error::new(
                ErrorKind::TransactionAborted,
                "a part of this transaction failed and the rest went on: all of it is rolled back"
                    .to_owned(),
            )
            .with_hint(SAVEPOINT),
        )),
        result => result,
    }
}

/// Runs a part of a transaction that is undone by itself when it fails.
pub(crate) fn undone<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let before = CONDEMNED.get();
    let result = run();
    if result.is_err() {
        CONDEMNED.set(before);
    }
    result
}
