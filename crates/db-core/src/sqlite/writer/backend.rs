//! What the executor needs of a database; SQLite behind it, and a mock in its model check.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::Ran;
use crate::error::Error;

/// How to get the right to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Only if nobody has to be waited for.
    IfFree,
    /// Wait for other processes and for other programs until this moment.
    Wait(Instant),
}

/// Why no transaction was opened.
#[derive(Debug)]
pub(super) enum BeginError {
    /// Somebody else is writing, and [`Turn::IfFree`] was asked for.
    Contended,
    /// The thread has to wait for its turn until this moment, and try again.
    Queue(Instant),
    /// The database says no.
    Failed(Error),
}

/// What became of the transaction while a closure had the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    /// It is the one that `begin` opened. What is nested in it goes with it.
    Intact,
    /// It was ended; another one may be open in its place.
    Ended,
}

/// Work that can wait until the callers have their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chores {
    /// None.
    None,
    /// At this time.
    At(Instant),
    /// As soon as may be.
    Now,
}

impl Chores {
    /// Whether it is time.
    pub(super) fn are_due(self) -> bool {
        match self {
            Self::None => false,
            Self::At(time) => time <= Instant::now(),
            Self::Now => true,
        }
    }
}

/// A connection that writes, and all that belongs to its transactions.
pub(super) trait Backend {
    /// What closures are given.
    type Conn;

    /// Where a `begin` that waits can be met; none if it never waits for its turn.
    fn waiting(&self) -> Option<Arc<dyn Waiting>>;
    /// Opens a transaction that can write.
    fn begin(&mut self, turn: Turn) -> Result<(), BeginError>;
    /// The connection; only between `begin` and `commit` or `rollback`.
    fn conn(&mut self) -> &mut Self::Conn;
    /// Takes the connection back from a closure, and looks whether the transaction is still the one
    /// that `begin` opened. An error means that the connection itself is another one.
    fn transaction(&mut self) -> Result<Transaction, Error>;
    /// Begins one member's part.
    fn savepoint(&mut self) -> Result<(), Error>;
    /// Why the part would make the COMMIT fail, if it would.
    fn unsatisfied(&mut self) -> Option<Error>;
    /// Makes the part one with the transaction.
    fn release(&mut self) -> Result<(), Error>;
    /// Undoes the part, and whatever the member nested in it.
    fn rollback_to(&mut self) -> Result<(), Error>;
    /// Makes all of it durable. An error means that nothing happened, unless its kind is
    /// [`crate::error::ErrorKind::OutcomeUnknown`]. The transaction is over in either case.
    fn commit(&mut self) -> Result<(), Error>;
    /// Undoes all of it, whatever state it is in, and makes the connection fit for `begin`.
    fn rollback(&mut self);
    /// Damage that was seen; nothing may be written any more.
    fn damage(&self) -> Option<Error>;
    /// Told once the callers of a commit have been answered.
    fn answered(&mut self, group: &GroupReport);
    /// When it has to be called for work of its own; also between a COMMIT and its answers.
    fn chores(&self) -> Chores;
    /// Does that work.
    fn do_chores(&mut self);
    /// The last call.
    fn close(&mut self);
}

/// A `begin` that waits for its turn, seen from other threads.
pub(super) trait Waiting: Send + Sync {
    /// From now on it waits no longer.
    fn end(&self);
    /// Whom it is waiting for.
    fn obstacle(&self) -> Option<Error>;
}

/// A write that waits without a thread, and answers for itself.
pub(super) trait BoxedJob<C>: Send {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Runs the closure.
    fn run(&mut self, conn: &mut C) -> Ran;
    /// Answers, with this failure unless it has one of its own.
    fn finish(self: Box<Self>, failure: Option<Error>);
}

/// One COMMIT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupReport {
    /// Closures in it, those that failed alone included.
    pub(crate) members: usize,
    /// Whether the only one ran on its own thread.
    pub(crate) inline: bool,
    /// How long the transaction was open, COMMIT included.
    pub(crate) open: Duration,
    /// How long COMMIT took.
    pub(crate) commit: Duration,
    /// Whether it was committed.
    pub(crate) committed: bool,
}
