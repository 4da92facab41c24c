//! A base backup back into a folder, and forward through the log to the moment that is wanted.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};
use db_core::{Conn, Connection};

use super::account::Account;
use super::base::{place, verify_files};
use super::child::Fed;
use super::facts;
use super::feed::Feed;
use super::gap::{self, Chain, chain, check_system, system};
use super::pipe::pipe;
use super::segment::WalFile;
use super::server::{ControlData, Server, Setting};
use super::staging::{PLAIN, Staging};
use super::target::RecoveryTarget;
use super::tools::{Task, Tools};
use super::unpack::unpack;
use super::wal::Archive;
use crate::backup::millis;
use crate::codec::{Identities, decode};
use crate::error::Error;
use crate::invariant::Invariant;
use crate::manifest::{Kind, Level, Manifest, TableRows};
use crate::progress::{Phase, Progress, Watcher};
use crate::restore::RestoreOptions;
use crate::room;
use crate::store::Store;
use crate::verify::{Verified, VerifyOptions};

/// The file that makes a server recover from an archive.
const SIGNAL: &str = "recovery.signal";

/// What the names of the folders of private servers begin with, and of trials in folders for temporary
/// files. Nothing else is called so: those of dead processes are removed.
const RECOVERY: &str = "bitcraps-recovery-";
const DRILL: &str = "bitcraps-trial-";

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
/// [`Error::Damaged`], [`Error::Unsound`], [`Error::Tool`]; what reading and writing meet.
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
        invariants: &options.invariants,
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
    })
}

/// Restores a base backup and all of the log into a scratch folder, starts a server on it, checks
/// every database, and takes it away.
pub(crate) fn drill(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let account = Account::for_drill(options.postgres.run_as.as_deref())?;
    let scratch = scratch(store, manifest, options.scratch.as_deref(), account)?;
    account.give(scratch.path())?;
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).map_err(|e| Error::io("create", &data, e))?;
    private(&data, account)?;
    let plan = Plan {
        store,
        manifest,
        identities: &options.identities,
        account,
        tools: tools(manifest, options.postgres.bin.as_deref())?,
        target: &RecoveryTarget::End,
        timeline: options.postgres.timeline,
        is_durable: false,
        level: Level::Full,
        invariants: &options.invariants,
    };
    plan.refuse_gap()?;
    plan.unpack(&data, watcher)?;
    let outcome = plan.recover(&data, watcher)?;
    Ok(Verified {
        level: Level::Full,
        decode_ms: millis(began.elapsed()).saturating_sub(outcome.verify_ms),
        check_ms: outcome.verify_ms,
        bytes: manifest.content.bytes,
    })
}

/// Reads a base backup back, compares every hash, checks every file against PostgreSQL's list, and
/// looks for holes in the log behind it.
pub(crate) fn verify(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let staging = scratch(store, manifest, options.scratch.as_deref(), Account::Own)?;
    let tools = Tools::find(
        Task::Files,
        options.postgres.bin.as_deref(),
        major(manifest),
    )?;
    let what = (store, manifest, &options.identities);
    unpack_into(what, staging.path(), Account::Own, watcher)?;
    let decode_ms = millis(began.elapsed());
    let began = Instant::now();
    verify_files(&tools, staging.path(), watcher.interrupt())?;
    let control = ControlData::read(&tools, staging.path(), watcher.interrupt())?;
    check_system(manifest, &control)?;
    let archive = Archive::new(store, &options.identities, system(manifest));
    if let Some(chain) = chain(
        &archive,
        manifest,
        Some(&control),
        options.postgres.timeline,
    )? {
        gap::refuse(store, &chain)?;
    }
    watcher.at(Phase::Check, 1, 1)?;
    Ok(Verified {
        level: Level::Quick,
        decode_ms,
        check_ms: millis(began.elapsed()),
        bytes: manifest.content.bytes,
    })
}

/// One restore of a base backup.
struct Plan<'a> {
    store: &'a dyn Store,
    manifest: &'a Manifest,
    identities: &'a Identities,
    account: Account,
    tools: Tools,
    target: &'a RecoveryTarget,
    timeline: Option<u32>,
    /// Whether it has to survive a loss of power.
    is_durable: bool,
    level: Level,
    invariants: &'a [Invariant],
}

/// What a recovery came to.
struct Outcome {
    last_commit: Option<DateTime<Utc>>,
    lsn: Option<String>,
    timeline: u32,
    wal_files: u64,
    recovery_ms: u64,
    verify_ms: u64,
    tables: Vec<TableRows>,
}

impl Plan<'_> {
    fn unpack(&self, data: &Path, watcher: &mut Watcher<'_>) -> Result<(), Error> {
        let what = (self.store, self.manifest, self.identities);
        unpack_into(what, data, self.account, watcher)?;
        verify_files(&self.tools, data, watcher.interrupt())
    }

    /// Refuses a hole on the way to the target, where the names tell it.
    fn refuse_gap(&self) -> Result<(), Error> {
        match chain(&self.archive(), self.manifest, None, self.timeline)? {
            Some(chain) if self.target.is_beyond_a_gap(&chain) => gap::refuse(self.store, &chain),
            _ => Ok(()),
        }
    }

    fn archive(&self) -> Archive<'_> {
        Archive::new(self.store, self.identities, system(self.manifest))
    }

    fn recover(&self, data: &Path, watcher: &mut Watcher<'_>) -> Result<Outcome, Error> {
        let control = ControlData::read(&self.tools, data, watcher.interrupt())?;
        check_system(self.manifest, &control)?;
        let archive = self.archive();
        // What is archived from now on need not be replayed.
        let chain = chain(&archive, self.manifest, Some(&control), self.timeline)?;
        let private = self.account.private_folder(RECOVERY)?;
        let feed = Feed::new(private.path(), self.account)?;
        let settings = self.settings(&control, &feed);
        let signal = data.join(SIGNAL);
        let made = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&signal);
        made.map_err(|e| Error::io("write", &signal, e))?;
        self.account.give(&signal)?;
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| feed.serve(&|file, path| archive.fetch(file, path)));
            let outcome = self.run(data, (private, &settings), &feed, watcher);
            feed.stop();
            outcome
        });
        match (outcome, feed.failure()) {
            // What the server says then is only that it did not get the file.
            (_, Some(failure)) => Err(failure),
            (Ok(outcome), None) => {
                self.check_end(chain.as_ref(), &outcome, &feed.denied())?;
                Ok(outcome)
            }
            (Err(error), None) => Err(self.explained(error, chain.as_ref())),
        }
    }

    /// A server that meets what it cannot follow takes it for the end of the log.
    fn check_end(
        &self,
        chain: Option<&Chain>,
        outcome: &Outcome,
        denied: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let (RecoveryTarget::End, Some(chain)) = (self.target, chain) else {
            return Ok(());
        };
        gap::refuse(self.store, chain)?;
        let end = outcome.lsn.as_deref().map(place).transpose()?;
        match &chain.last {
            Some(last) if !chain.is_exhausted(end, denied) => Err(Error::LogGap {
                place: self.store.location(),
                file: last.to_string(),
                what: format!(
                    "is there, and the server could follow the log to {} only",
                    outcome.lsn.as_deref().unwrap_or("its beginning")
                ),
            }),
            _ => Ok(()),
        }
    }

    fn settings(&self, control: &ControlData, feed: &Feed) -> Vec<Setting> {
        let mut settings = control.settings();
        settings.extend(self.target.settings());
        settings.push(("restore_command", feed.command()));
        settings.push(("recovery_target_action", "promote".to_owned()));
        let timeline = self
            .timeline
            .map_or("latest".to_owned(), |number| number.to_string());
        settings.push(("recovery_target_timeline", timeline));
        let on_off = if self.is_durable { "on" } else { "off" };
        settings.push(("fsync", on_off.to_owned()));
        settings.push(("full_page_writes", on_off.to_owned()));
        settings
    }

    /// Starts the server, waits until it has taken in the log, checks, and stops it.
    fn run(
        &self,
        data: &Path,
        (private, settings): (Staging, &[Setting]),
        feed: &Feed,
        watcher: &mut Watcher<'_>,
    ) -> Result<Outcome, Error> {
        let began = Instant::now();
        let mut server = Server::start(&self.tools, data, self.account, private, settings)?;
        server.wait_until_ready(|| {
            let given = feed.given();
            watcher.at(Phase::Recover, given, given)
        })?;
        let recovery_ms = millis(began.elapsed());
        let began = Instant::now();
        let (tables, mut outcome) = self.check(&server, watcher)?;
        outcome.verify_ms = millis(began.elapsed());
        outcome.recovery_ms = recovery_ms;
        outcome.wal_files = feed.given();
        outcome.tables = tables;
        server.stop(watcher.interrupt())?;
        Ok(outcome)
    }

    /// Looks at every database of the restored server.
    fn check(
        &self,
        server: &Server,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Vec<TableRows>, Outcome), Error> {
        let engine = &self.manifest.engine;
        let mut users: Vec<String> = engine.superuser.iter().cloned().collect();
        if !users.iter().any(|user| user == "postgres") {
            users.push("postgres".to_owned());
        }
        let ours = engine.database.as_deref().unwrap_or("postgres");
        let mut connection = server.connect(&users, ours)?;
        let outcome = facts_of(&mut connection)?;
        let conn = facts::postgres(&mut connection)?;
        let others = facts::names(
            conn,
            "SELECT datname::text AS name FROM pg_catalog.pg_database
             WHERE datallowconn AND datname <> current_database() ORDER BY 1",
            "listing the restored databases",
        )?;
        let total = others.len() as u64 + 1;
        let tables = facts::tables(conn)?;
        let interrupt = watcher.interrupt().clone();
        let stop = |_| {
            if interrupt.is_set() {
                Err(Error::Interrupted)
            } else {
                Ok(())
            }
        };
        let rows = facts::count(conn, &tables, stop)?;
        let mut findings = Vec::new();
        for invariant in self.invariants {
            findings.extend(invariant.findings(&mut Conn::Postgres(conn))?);
        }
        watcher.at(Phase::Check, 1, total)?;
        for (done, name) in others.iter().enumerate() {
            let mut other = server.connect(&users, name)?;
            if self.level == Level::Full {
                let conn = facts::postgres(&mut other)?;
                let tables = facts::tables(conn)?;
                facts::count(conn, &tables, stop)?;
            }
            watcher.at(Phase::Check, done as u64 + 2, total)?;
        }
        if findings.is_empty() {
            return Ok((rows, outcome));
        }
        Err(Error::Unsound {
            name: self.manifest.name.clone(),
            findings,
        })
    }

    /// Says in our words what the server says of a target that the log does not reach.
    fn explained(&self, error: Error, chain: Option<&Chain>) -> Error {
        let Error::ToolFailed { reason, .. } = &error else {
            return error;
        };
        if reason.contains("recovery ended before configured recovery target was reached") {
            if let Some(Err(gap)) = chain.map(|chain| gap::refuse(self.store, chain)) {
                return gap;
            }
            return Error::refused(
                format!(
                    "the log in {} ends before the target:\n{reason}",
                    self.store.location()
                ),
                "restore to the end of the log, without a target; or push the rest of the log first",
            );
        }
        if reason.contains("before consistent recovery point") {
            return Error::refused(
                format!(
                    "the target is before the end of {}:\n{reason}",
                    self.manifest.name
                ),
                "restore from an older base backup; `backup list` shows them",
            );
        }
        error
    }
}

/// How far a server that has recovered came.
fn facts_of(connection: &mut Connection) -> Result<Outcome, Error> {
    let conn = facts::postgres(connection)?;
    let doing = "asking how far the log was replayed";
    let commit = facts::maybe(
        conn,
        "SELECT (extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp())
                 * 1000000)::bigint::text AS name",
        doing,
    )?;
    let lsn = facts::maybe(
        conn,
        "SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS name",
        doing,
    )?;
    let file = facts::name(
        conn,
        "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) AS name",
        doing,
    )?;
    let timeline = file
        .as_deref()
        .and_then(|file| u32::from_str_radix(file.get(..8)?, 16).ok());
    Ok(Outcome {
        last_commit: commit
            .and_then(|micros| DateTime::from_timestamp_micros(micros.parse().ok()?)),
        lsn,
        timeline: timeline.unwrap_or_default(),
        wal_files: 0,
        recovery_ms: 0,
        verify_ms: 0,
        tables: Vec::new(),
    })
}

/// Reads a base backup back into a folder; all hashes fit if this succeeds.
fn unpack_into(
    (store, manifest, identities): (&dyn Store, &Manifest, &Identities),
    folder: &Path,
    account: Account,
    watcher: &mut Watcher<'_>,
) -> Result<(), Error> {
    let most = manifest.content.bytes;
    room::ensure(folder, most)?;
    let (from, to) = pipe();
    let (decoded, unpacked) = std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || unpack(from, folder, account, most));
        let mut to = Fed(Some(to));
        let decoded = decode(store, manifest, identities, &mut to, watcher)
            .and_then(|_| to.flush().map_err(|e| Error::io("write", folder, e)));
        drop(to);
        (decoded, unpacking.join().unwrap_or(Err(Error::Interrupted)))
    });
    // Damage explains why the archive cannot be read.
    decoded?;
    unpacked.map(drop)
}

/// Where a backup is unpacked for a look at it: where it was asked for, else where backups are prepared
/// if the account can get there and the backup is plain anyway, else in a folder for temporary files.
fn scratch(
    store: &dyn Store,
    manifest: &Manifest,
    wanted: Option<&Path>,
    account: Account,
) -> Result<Staging, Error> {
    if let Some(folder) = wanted {
        return Staging::new_in(folder, PLAIN);
    }
    // Where a draft would be is where the store has room for what is prepared.
    if account == Account::Own
        && manifest.encryption.is_none()
        && let Ok(draft) = store.draft()
        && let Some(folder) = draft.path().parent()
        && let Ok(staging) = Staging::new_in(folder, PLAIN)
    {
        return Ok(staging);
    }
    account.large_folder(DRILL)
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

fn major(manifest: &Manifest) -> u32 {
    manifest.engine.server_version_num.unwrap_or_default() / 10_000
}

fn tools(manifest: &Manifest, bin: Option<&Path>) -> Result<Tools, Error> {
    Tools::find(Task::Server, bin, major(manifest))
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

/// Makes a folder private to an account.
fn private(folder: &Path, account: Account) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| Error::io("make private", folder, e))?;
    account.give(folder)
}

fn start_with(plan: &Plan<'_>, folder: &Path) -> String {
    let quoted = folder.display().to_string().replace('\'', r"'\''");
    let program = plan.tools.path("pg_ctl").display().to_string();
    let command = format!("{program} -D '{quoted}' -l '{quoted}.log' start");
    match plan.account {
        Account::Own => command,
        Account::Other { uid, .. } => format!("setpriv --reuid {uid} --clear-groups {command}"),
    }
}
