//! A base backup back into a folder, and forward through the log to the moment that is wanted.

mod drill;
mod restore;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use db_core::Connection;

pub(crate) use drill::{drill, verify};
pub use restore::{Recovered, restore_base};

use super::account::Account;
use super::base::{place, verify_files};
use super::child::Fed;
use super::facts;
use super::feed::Feed;
use super::gap::{self, Chain, chain, check_system, system};
use super::pipe::pipe;
use super::server::{ControlData, Server, Setting};
use super::staging::Staging;
use super::target::RecoveryTarget;
use super::tools::{Task, Tools};
use super::unpack::unpack;
use super::wal::Archive;
use crate::backup::millis;
use crate::codec::{Identities, decode};
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::manifest::{Level, Manifest, TableRows};
use crate::progress::{Phase, Watcher};
use crate::room;
use crate::store::Store;

/// The file that makes a server recover from an archive.
const SIGNAL: &str = "recovery.signal";

/// What the names of the folders of private servers begin with. Nothing else is called so: those of dead processes
/// are removed.
const RECOVERY: &str = "bitcraps-recovery-";

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
    invariants: Checked,
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
        let mut outcome = self.check(&server, watcher)?;
        outcome.verify_ms = millis(began.elapsed());
        outcome.recovery_ms = recovery_ms;
        outcome.wal_files = feed.given();
        server.stop(watcher.interrupt())?;
        Ok(outcome)
    }

    /// Looks at every database of the restored server; the invariants are those of the one that was named when
    /// the backup was made.
    fn check(&self, server: &Server, watcher: &mut Watcher<'_>) -> Result<Outcome, Error> {
        let engine = &self.manifest.engine;
        let mut users: Vec<String> = engine.superuser.iter().cloned().collect();
        if !users.iter().any(|user| user == "postgres") {
            users.push("postgres".to_owned());
        }
        let ours = engine.database.as_deref().unwrap_or("postgres");
        let mut connection = server.connect(&users, ours)?;
        let mut outcome = facts_of(&mut connection)?;
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
        outcome.tables = facts::count(conn, &tables, stop)?;
        let mut findings = Vec::new();
        for invariant in self.invariants {
            let seen = outcome.invariants.look(invariant, &mut conn.into())?;
            findings.extend(seen);
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
            return Ok(outcome);
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
        invariants: Checked::default(),
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

fn major(manifest: &Manifest) -> u32 {
    manifest.engine.server_version_num.unwrap_or_default() / 10_000
}

fn tools(manifest: &Manifest, bin: Option<&Path>) -> Result<Tools, Error> {
    Tools::find(Task::Server, bin, major(manifest))
}
