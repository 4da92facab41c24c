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
//! | another database in the place of one | `replace` |
//! | a base backup, and unpacking one | `base`, `unpack` |
//! | the archive of the log | [`wal`], `segment`, `gap` |
//! | a restore to a point in time | `pitr`, `target`, `server`, `feed` |
//! | where plain files are prepared | `staging` |

mod account;
mod base;
mod child;
mod dump;
mod facts;
mod feed;
mod gap;
pub(crate) mod halves;
mod listed;
pub(crate) mod load;
mod pipe;
pub(crate) mod pitr;
pub(crate) mod replace;
mod scratch;
mod segment;
mod server;
mod staging;
mod target;
mod tools;
mod unpack;
pub mod wal;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use db_core::DatabaseUrl;

use crate::error::Error;

pub use gap::{Gap, gaps};
pub use pitr::{Recovered, restore_base};
pub use segment::{WalFile, WalKind};
pub use target::RecoveryTarget;
use tools::Tools;

/// How a backup is called in `pg_stat_activity`, so that nobody takes its long transaction for one that
/// was forgotten.
const NAME: &str = "bitcraps-db backup";

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
    // The last of two parameters of one name counts.
    let more = if target.url.contains('?') { '&' } else { '?' };
    let name = NAME.replace(' ', "%20");
    command.arg(format!(
        "--dbname={}{more}application_name={name}",
        target.url
    ));
    if let Some(password) = target.password {
        command.env("PGPASSWORD", password);
    }
    Ok(command)
}
