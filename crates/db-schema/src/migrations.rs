//! The text of all migrations, compiled in, for both engines.
//!
//! [`SQLITE`] and [`POSTGRES`] are for `db_migrate`, which does more. Whoever uses Diesel alone
//! takes [`DIESEL_SQLITE`] or [`DIESEL_POSTGRES`]:
//!
//! ```
//! use db_schema::migrations::DIESEL_SQLITE;
//! use diesel::prelude::*;
//! use diesel_migrations::MigrationHarness as _;
//!
//! let mut conn = SqliteConnection::establish(":memory:")?;
//! let applied = conn.run_pending_migrations(DIESEL_SQLITE)?;
//! assert_eq!(applied.len(), db_schema::migrations::SQLITE.len());
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migrations for SQLite, for Diesel's own harness.
pub const DIESEL_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The migrations for PostgreSQL, for Diesel's own harness.
pub const DIESEL_POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
