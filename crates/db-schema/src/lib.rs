//! The schema of BitCraps: its migrations, compiled in, and the tables as Diesel sees them.
//!
//! [`schema`] is one set of tables for both engines. Where these store a thing in two ways, its
//! column has one of the [`types`] of this crate; [`rows`] are what is read and written. Nothing here opens a connection.

pub mod audit_context;
pub mod constraints;
pub mod disparities;
pub mod migrations;
pub mod rows;
pub mod schema;
pub mod types;
