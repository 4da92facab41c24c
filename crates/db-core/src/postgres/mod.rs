//! PostgreSQL: one connection, and a database over a fair pool of them.
//!
//! - `connect`: connecting with deadlines and a name, in English.
//! - `gate`, `pace`: who may use a connection next, and who is refused.
//! - `pool`, `breaker`: connections to one server, made in the background, and who has them.
//! - `session`, `plain`, `signs`: what one closure leaves behind is gone before the next.
//! - `transaction`: a closure between BEGIN and COMMIT.
//! - `replica`, `lsn`, `written`: reads on standbys that show what was written.
//! - `library`: the version of libpq.
//! - `touched`: which tables a write changed.
//! - `bulk`: rows by the million, by COPY.
//! - `scratch`: a database for a moment, and what dead processes left of such.
//! - `database`: all of it together.

mod breaker;
mod bulk;
mod connect;
mod database;
mod gate;
mod library;
mod lsn;
mod pace;
mod plain;
mod pool;
mod replica;
mod scratch;
mod session;
mod signs;
mod sync;
mod touched;
mod transaction;
mod written;

pub use bulk::{CopyIn, CopyOut, PostgresBulk};
pub(crate) use connect::{cancel, open};
pub(crate) use database::PostgresDatabase;
pub use database::PostgresStats;
pub use gate::GateStats;
pub(crate) use library::library_version;
pub use lsn::Lsn;
pub use scratch::ScratchDatabase;
