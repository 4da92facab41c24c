//! Throw-away databases for tests, on both engines.
//!
//! [`both_engines!`] turns one test body into two tests, `name::sqlite` and
//! `name::postgres`, each with a database of its own that is gone afterwards:
//!
//! ```
//! use db_testkit::{TestDb, both_engines};
//!
//! both_engines! {
//!     fn a_table_can_be_made(db: TestDb) {
//!         db.connect().conn().batch_execute("CREATE TABLE t (id INTEGER)").unwrap();
//!     }
//! }
//! ```
//!
//! Everything here panics instead of returning errors: a test that cannot have its database
//! has nothing else to do.
#![expect(
    clippy::panic,
    reason = "a test without its database must fail, and say why"
)]

mod both;
mod bucket;
mod cluster;
mod conn;
mod db;
pub mod disk;
mod file;
pub mod kill;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod process;
mod proxy;
pub mod schema_check;
mod server;
mod started;
mod template;
pub mod tools;
pub mod versioned;
mod wait;

/// What the guides show must compile. This crate may know all that they use.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/backup.md")]
    struct Backup;

    #[doc = include_str!("../../../docs/database.md")]
    struct Database;

    #[doc = include_str!("../../../docs/encryption.md")]
    struct Encryption;

    #[doc = include_str!("../../../docs/health.md")]
    struct Health;

    #[doc = include_str!("../../../docs/migrations.md")]
    struct Migrations;
}

pub use bucket::{BUCKET_VARIABLE, TestBucket};
pub use cluster::{checksummed_cluster, cluster, durable_cluster, server_account};
pub use conn::TestConn;
pub use db::TestDb;
pub use db_testserver::{Cluster, Frozen, Stop};
#[cfg(target_os = "linux")]
pub use locks::holds_shared_lock;
#[cfg(target_os = "linux")]
pub use process::{Process, awake};
pub use proxy::Proxy;
pub use server::SERVER_VARIABLE;
pub use started::Started;
pub use wait::{in_time, wait_for, wait_until};

/// A size that a longer run sets from outside, `BITCRAPS_TEST_<name>`.
///
/// # Panics
/// If it is no number.
#[must_use]
pub fn size(name: &str, usual: u64) -> u64 {
    match std::env::var(format!("BITCRAPS_TEST_{name}")) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("BITCRAPS_TEST_{name} is no number: {text}")),
        Err(_) => usual,
    }
}
