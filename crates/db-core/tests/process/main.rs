//! Promises that need real processes: kills, signals, neighbours on one file, limits of the system.
//!
//! What each proves, and how to run it for longer, stands in `docs/reliability.md`.
#![cfg(test)]

mod sqlite;
mod support;
