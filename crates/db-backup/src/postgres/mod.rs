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
mod held;
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
use crate::options::setters;

pub use gap::{Gap, gaps};
pub use pitr::{Recovered, restore_base};
pub use segment::{WalFile, WalKind};
pub use target::RecoveryTarget;
use tools::Tools;

/// How a backup is called in `pg_stat_activity`, so that nobody takes its long transaction for one that
/// was forgotten.
const NAME: &str = "bitcraps-db backup";

/// Why a look at a backup that restores nothing checks no invariant.
const NOT_RESTORED: &str = "only a restore, also on trial, makes a database that can be asked";

/// How PostgreSQL's own programs are used. `Default` looks for them, and restores owners and grants.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    bin: Option<PathBuf>,
    lock_wait: Duration,
    owners: bool,
    run_as: Option<String>,
    timeline: Option<u32>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            bin: None,
            lock_wait: Duration::from_mins(1),
            owners: true,
            run_as: None,
            timeline: None,
        }
    }
}

impl PostgresOptions {
    /// The usual ones; see [`Default`](Self::default).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The same with the folder that holds the programs; without one they are looked for.
        with_bin: bin = folder: impl Into<Option<PathBuf>> => folder.into();
        /// The same with how long a dump waits for a table that somebody else changes; a minute without this.
        with_lock_wait: lock_wait = wait: Duration => wait;
        /// The same, where a restored database gets the owners and grants that it had, whose roles must exist,
        /// or not.
        with_owners: owners = are_kept: bool => are_kept;
        /// The same with the account that owns the files of a restored server and runs it, where root restores.
        with_run_as: run_as = account: impl Into<Option<String>> => account.into();
        /// The same with the timeline that a recovery follows; without one the latest.
        with_timeline: timeline = timeline: impl Into<Option<u32>> => timeline.into();
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
