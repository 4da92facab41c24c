//! PostgreSQL: dumps of one database, base backups of a whole server, and the archive of its log.
//!
//! PostgreSQL's own programs do the work, found by `tools` and run by `child`; what they write is
//! hashed, compressed, encrypted and proven like every other backup.
//!
//! | to change | look in |
//! |---|---|
//! | which programs of which version serve | `tools` |
//! | how they are run, and ended | `child` |
//! | a dump and its proof | `dump` |
//! | a dump back into a server | `load`, `scratch` |
//! | a base backup, and unpacking one | `base`, `unpack` |
//! | the archive of the log | [`wal`], `segment` |
//! | a restore to a point in time | `pitr`, `server`, `feed` |

mod account;
mod base;
mod child;
mod dump;
mod facts;
mod feed;
pub(crate) mod halves;
pub(crate) mod load;
pub(crate) mod pitr;
mod scratch;
mod segment;
mod server;
mod tools;
mod unpack;
pub mod wal;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use db_core::DatabaseUrl;

use crate::error::Error;

pub use pitr::{Recovered, RecoveryTarget, restore_base};
pub use segment::{WalFile, WalKind};
use tools::Tools;

/// How PostgreSQL's own programs are used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The folder that holds them; without one they are looked for.
    pub bin: Option<PathBuf>,
    /// How long a dump waits for a table that somebody else changes.
    pub lock_wait: Duration,
    /// Whether a restored database gets the owners and grants that it had; their roles must exist.
    pub owners: bool,
    /// The account that owns the files of a restored server and runs it, where root restores.
    pub run_as: Option<String>,
    /// The server on which a drill makes its scratch database.
    pub server: Option<DatabaseUrl>,
    /// Which timeline a recovery follows; without one the latest.
    pub timeline: Option<u32>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            bin: None,
            lock_wait: Duration::from_mins(1),
            owners: true,
            run_as: None,
            server: None,
            timeline: None,
        }
    }
}

/// A program that reaches the database of a URL, whose password is in its environment only.
fn programs(tools: &Tools, program: &str, url: &DatabaseUrl) -> Result<Command, Error> {
    let target = url
        .for_programs()
        .map_err(|e| Error::database("reading the URL", e))?;
    let mut command = Command::new(tools.path(program));
    command.arg(format!("--dbname={}", target.url));
    if let Some(password) = target.password {
        command.env("PGPASSWORD", password);
    }
    command.env("PGAPPNAME", "bitcraps-db");
    Ok(command)
}
