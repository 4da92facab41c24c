//! The two doors for bulk data.

mod postgres;
mod sqlite;
