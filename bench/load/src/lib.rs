//! The load of `cargo xtask bench data` and `repo`, shared by every contender.
//!
//! A contender is a whole process that gets one [`Job`], does it, and prints its [`Figures`] as
//! one line of JSON. What is measured, how and for how long stands here and nowhere else, so
//! that the contenders differ in nothing but the library they use. The peers live in workspaces
//! of their own (`bench/peers`) and reach this package by its path.

mod clients;
mod figures;
mod job;
mod keys;
pub mod repo;
mod sql;
mod tally;
#[cfg(feature = "tokio")]
mod tasks;

pub use clients::{Freshness, clients, once, with_writer};
pub use figures::{Figures, Library, print};
pub use job::{Durability, Job, Place, Work};
pub use keys::{FIRST_USER, Key, game, key_of, spread};
pub use sql::{BALANCE, Dialect, Rows, pragmas};
pub use tally::{Lap, Tally, Window};
#[cfg(feature = "tokio")]
pub use tasks::{runtime, tasks};
