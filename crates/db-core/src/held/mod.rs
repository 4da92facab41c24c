//! Who holds a connection, since when, and from which line of code.
//!
//! One detector for all: the readers and the writer of SQLite, its databases in memory, and
//! PostgreSQL's pools note in [`Held`] who uses a connection, and one [`Watcher`] per database
//! reports those who do so for too long. To note somebody costs a look at the clock and a few stores
//! into memory that nobody else writes, so every call does it.

mod place;
mod slots;
mod sync;
mod watcher;

pub use slots::Holder;
pub(crate) use slots::{Held, Holding, longest};
pub(crate) use watcher::Watcher;

#[cfg(test)]
mod tests;
