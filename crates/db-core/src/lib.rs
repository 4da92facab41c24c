//! Engine, URL, connection, errors and clock: what every layer above shares.
//!
//! ```
//! use db_core::{Access, Connection, DatabaseUrl};
//!
//! # fn main() -> Result<(), db_core::Error> {
//! let url = DatabaseUrl::parse("sqlite::memory:")?;
//! let mut connection = Connection::open(&url, Access::Create)?;
//! connection.conn().batch_execute("CREATE TABLE dice (face INTEGER)").expect("valid SQL");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(feature = "tokio"),
    expect(
        dead_code,
        reason = "what is queued without a thread is queued by the async door"
    )
)]

#[cfg(feature = "tokio")]
mod asynchronous;
pub mod bulk;
mod cache;
mod clock;
mod condemned;
mod config;
mod conn;
mod connection;
mod database;
pub mod duration;
mod encryption;
mod engine;
mod error;
mod failure;
pub mod folder;
mod held;
mod interrupt;
mod metrics;
mod nesting;
mod postgres;
mod retry;
mod sqlite;
pub mod statement;
mod transaction;
mod url;
mod wait;

#[cfg(feature = "tokio")]
pub use asynchronous::AsyncDatabase;
pub use cache::{CacheCounts, CacheOptions, QueryCache};
pub use clock::{Clock, FixedClock, SystemClock};
pub use condemned::condemn;
pub use config::{
    ConfigEntry, ConfigError, DEFAULT_URL, DatabaseConfig, Options, Origin, PostgresOptions,
    SqliteOptions, Synchronous, TlsMode,
};
pub use conn::Conn;
pub use connection::{Access, Connection};
pub use database::{Database, DatabaseStats};
pub use encryption::{EncryptionKey, KeyCommand, KeySource};
pub use engine::Engine;
pub use error::{
    ConstraintKind, ConstraintMap, ConstraintRow, DatabaseFailure, Error, ErrorKind, Position,
    Violation,
};
pub use held::Holder;
pub use interrupt::Interrupt;
pub use postgres::{GateStats, Lsn, PostgresStats, ScratchDatabase};
pub use retry::{Attempts, Pacer, RetryBudget, RetryPolicy, SystemPacer};
pub use sqlite::{CopyStep, OnlineCopy, ReaderStats, SqliteStats, open_side_file};
pub use transaction::{Freshness, IsolationLevel, TransactionOptions};
pub use url::{DatabaseUrl, ProgramTarget, UrlError, redact};

/// What the macros of this crate expand to.
#[doc(hidden)]
pub mod __private {
    pub use diesel;
}
