//! Migrations that can be trusted, on SQLite and PostgreSQL.

pub mod catalog;
pub mod sql;
