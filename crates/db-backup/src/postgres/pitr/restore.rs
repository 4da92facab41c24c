//! A base backup back into a data folder of its own, at the moment that is wanted.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{Plan, tools};
use crate::backup::millis;
use crate::error::Error;
use crate::invariant::Checked;
use crate::manifest::{Kind, Manifest, TableRows};
use crate::postgres::account::Account;
use crate::postgres::segment::WalFile;
use crate::postgres::staging::{PLAIN, Staging};
use crate::postgres::target::RecoveryTarget;
use crate::progress::{Phase, Progress, Watcher};
use crate::restore::RestoreOptions;
use crate::store::Store;
use crate::tolerated::Tolerated;

/// A server's data folder that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The backup.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// When the last transaction was committed that was replayed; none if the log held none.
    pub last_commit: Option<DateTime<Utc>>,
    /// How far the log was replayed.
    pub lsn: Option<String>,
    /// The timeline that the restored server is on.
    pub timeline: u32,
    /// Files of the archive that were replayed.
    pub wal_files: u64,
    /// Bytes of the base backup.
    pub bytes: u64,
    /// Reading, comparing hashes, unpacking and checking every file, in milliseconds.
    pub copy_ms: u64,
    /// Replaying the log.
    pub recovery_ms: u64,
    /// Checking the restored databases.
    pub verify_ms: u64,
    /// All of it.
    pub total_ms: u64,
    /// Rows of the database that was backed up.
    pub tables: Vec<TableRows>,
    /// Which invariants it was checked for.
    pub invariants: Checked,
    /// What is wrong with the data, and was accepted.
    pub unsound: Vec<String>,
    /// What starts the server on it.
    pub start_with: String,
}

/// Restores a base backup into a new data folder, replays the log up to `target`, checks it with a
/// private server, and stops that. Until all is proven there is no folder of that name.
///
/// # Errors
/// [`Error::Refused`] if the folder holds something, for a target before the backup, and as root
/// without another account; [`Error::ToolFailed`] with the server's words if the log ends before the
/// target; [`Error::LogGap`] if the archive lacks a file on the way to it, or to the end;
/// [`Error::Damaged`], [`Error::Unsound`] (with [`RestoreOptions::with_accept_unsound`] no invariant is),
/// [`Error::Tool`]; what reading and writing meet.
pub fn restore_base(
    store: &dyn Store,
    manifest: &Manifest,
    (folder, target): (&Path, &RecoveryTarget),
    options: &RestoreOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Error> {
    store.obey(&options.interrupt);
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    if manifest.kind != Kind::PostgresBase {
        return Err(Error::usage(
            format!("{} is no base backup", manifest.name),
            "name one that `backup list` shows as postgres_base",
        ));
    }
    target.check(manifest)?;
    let folder = std::path::absolute(folder).map_err(|e| Error::io("look at", folder, e))?;
    refuse_full(&folder)?;
    let account = Account::for_target(options.postgres.run_as.as_deref(), &folder)?;
    let parent = folder.parent().unwrap_or(Path::new("/"));
    crate::store::draft::private_folder(parent)?;
    let began = Instant::now();
    // Nobody has looked at the data before: at a moment between two backups they may be what nobody wants.
    let tolerated = Tolerated::default();
    let invariants = if options.accept_unsound {
        tolerated.invariants(&options.invariants)
    } else {
        options.invariants.clone()
    };
    let staging = Staging::new_in(parent, PLAIN)?;
    account.give(staging.path())?;
    let plan = Plan {
        store,
        manifest,
        identities: &options.identities,
        account,
        tools: tools(manifest, options.postgres.bin.as_deref())?,
        target,
        timeline: options.postgres.timeline,
        is_durable: true,
        level: options.level,
        invariants: &invariants,
    };
    plan.refuse_gap()?;
    plan.unpack(staging.path(), &mut watcher)?;
    let copy_ms = millis(began.elapsed());
    let outcome = plan.recover(staging.path(), &mut watcher)?;
    watcher.at(Phase::Swap, 0, 1)?;
    announce_history(staging.path(), outcome.timeline, account)?;
    // A folder that is there is empty, and is replaced.
    staging.rename(&folder)?;
    crate::store::draft::sync_folder(&folder)?;
    watcher.at(Phase::Swap, 1, 1)?;
    Ok(Recovered {
        name: manifest.name.clone(),
        start_with: start_with(&plan, &folder),
        folder,
        last_commit: outcome.last_commit,
        lsn: outcome.lsn,
        timeline: outcome.timeline,
        wal_files: outcome.wal_files,
        bytes: manifest.content.bytes,
        copy_ms,
        recovery_ms: outcome.recovery_ms,
        verify_ms: outcome.verify_ms,
        total_ms: millis(began.elapsed()),
        tables: outcome.tables,
        invariants: outcome.invariants,
        unsound: tolerated.take(),
    })
}

/// Has the restored server archive where its timeline branched off: without that, nobody can follow
/// what it archives from now on. It was made while nothing was archived.
fn announce_history(data: &Path, timeline: u32, account: Account) -> Result<(), Error> {
    let log = data.join("pg_wal");
    let history = WalFile::history(timeline);
    if !log.join(history.as_str()).exists() {
        return Ok(());
    }
    let note = log.join("archive_status").join(format!("{history}.ready"));
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&note);
    made.and_then(|file| file.sync_all())
        .map_err(|e| Error::io("write", &note, e))?;
    account.give(&note)?;
    crate::store::draft::sync_folder(&note)
}

fn refuse_full(folder: &Path) -> Result<(), Error> {
    let is_empty = match folder.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => false,
        Err(e) => return Err(Error::io("look at", folder, e)),
    };
    if is_empty {
        return Ok(());
    }
    Err(Error::refused(
        format!("{} is there already, and not empty", folder.display()),
        "name a new folder with --target; a data folder is never replaced",
    ))
}

fn start_with(plan: &Plan<'_>, folder: &Path) -> String {
    let quoted = folder.display().to_string().replace('\'', r"'\''");
    let program = plan.tools.path("pg_ctl").display().to_string();
    let command = format!("{program} -D '{quoted}' -l '{quoted}.log' start");
    match plan.account {
        Account::Own => command,
        Account::Other { uid, gid } => {
            format!("setpriv --reuid {uid} --regid {gid} --init-groups {command}")
        }
    }
}
