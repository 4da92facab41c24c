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

mod clock;
mod config;
mod conn;
mod connection;
pub mod duration;
mod engine;
mod error;
mod interrupt;
mod postgres;
mod retry;
mod sqlite;
pub mod statement;
mod transaction;
mod url;

pub use clock::{Clock, FixedClock, SystemClock};
pub use config::{
    ConfigError, DEFAULT_URL, DatabaseConfig, Options, Origin, PostgresOptions, SqliteOptions,
    Synchronous, TlsMode, VARIABLE_PREFIX, url_variable,
};
pub use conn::Conn;
pub use connection::{Access, Connection};
pub use engine::Engine;
pub use error::{
    ConstraintKind, ConstraintMap, ConstraintRow, DatabaseFailure, Error, ErrorKind, Position,
    Violation,
};
pub use interrupt::Interrupt;
pub use retry::{Attempts, Pacer, RetryBudget, RetryPolicy, SystemPacer};
pub use transaction::{IsolationLevel, TransactionOptions};
pub use url::{DatabaseUrl, UrlError, redact};

/// What the macros of this crate expand to.
#[doc(hidden)]
pub mod __private {
    pub use diesel;
}
