//! The two doors for bulk data: rows that go in or out by the million.
//!
//! Diesel decodes into Rust values whose types are known when the program is compiled. A transfer
//! learns a table's columns while it runs, and a value of SQLite has a type of its own. So SQLite's
//! statements are stepped here with the cells as they are stored, and PostgreSQL's rows go through
//! COPY. Each door is one connection, with what every other connection of this crate has: its key,
//! its deadlines, its interrupt, and classified errors.

pub use crate::postgres::{CopyIn, CopyOut, PostgresBulk};
pub use crate::sqlite::{CellRef, SqliteBulk, SqliteStatement};
