//! Looking whether a backup is as it was made, and restoring it on trial.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::SubsecRound;
use db_core::{Clock, DatabaseUrl, EncryptionKey, Interrupt, SystemClock};

use crate::backup::millis;
use crate::codec::Identities;
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::looked::noted;
use crate::manifest::{Depth, FORMAT, Kind, Level, Manifest, Verification, host};
use crate::postgres::{self, PostgresOptions};
use crate::progress::{Progress, Watcher};
use crate::sqlite;
use crate::store::{Store, WriteMode};
use crate::tolerated::Tolerated;

/// How a backup is verified.
#[derive(Clone)]
pub struct VerifyOptions {
    pub(crate) level: Level,
    pub(crate) identities: Identities,
    pub(crate) key: Option<EncryptionKey>,
    pub(crate) invariants: Vec<Invariant>,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) postgres: PostgresOptions,
    pub(crate) server: Option<DatabaseUrl>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interrupt: Interrupt,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            level: Level::default(),
            identities: Identities::default(),
            key: None,
            invariants: Vec::new(),
            scratch: None,
            postgres: PostgresOptions::new(),
            server: None,
            clock: Arc::new(SystemClock),
            interrupt: Interrupt::default(),
        }
    }
}

impl std::fmt::Debug for VerifyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("level", &self.level)
            .field("identities", &self.identities)
            .field("invariants", &self.invariants)
            .finish_non_exhaustive()
    }
}

/// A backup that is as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How thoroughly it was looked at: of PostgreSQL's there is one check only, whatever was asked for.
    pub level: Level,
    /// Reading it back and comparing hashes, in milliseconds.
    pub decode_ms: u64,
    /// Checking the data.
    pub check_ms: u64,
    /// Bytes of the content.
    pub bytes: u64,
    /// Which invariants it was checked for.
    pub invariants: Checked,
}

/// Reads a backup back, compares every hash, and checks the data. Nothing is written into the store but that it
/// failed ([`Failure`](crate::Failure)), which a later look that passes takes away. One that was not sound when it
/// was made passes if it is as it was; see [`Manifest::is_sound`].
///
/// # Errors
/// [`Error::Damaged`], [`Error::Unsound`], [`Error::Identity`]; what keeps it from being read.
pub fn verify(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Verified, Error> {
    store.obey(&options.interrupt);
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    let options = &fitting(manifest, options);
    let verified = match manifest.kind {
        Kind::Sqlite => sqlite::trial::verify(store, manifest, options, &mut watcher),
        Kind::PostgresDump => postgres::load::verify(store, manifest, options, &mut watcher),
        Kind::PostgresBase => postgres::pitr::verify(store, manifest, options, &mut watcher),
    };
    let depth = Depth::of(manifest.kind, options.level);
    noted((store, manifest), (depth, options), verified)
}

/// What was not sound when it was made need not be so now.
fn fitting(manifest: &Manifest, options: &VerifyOptions) -> VerifyOptions {
    let mut fitting = options.clone();
    if !manifest.is_sound() {
        fitting.invariants = Tolerated::default().invariants(&options.invariants);
    }
    fitting
}

/// Restores a backup completely into a scratch database, checks that in full, takes the time, and
/// writes a record of it beside the backup. Returns that, and which invariants were checked.
///
/// # Errors
/// As [`verify`]; [`Error::Unsound`] also for a backup that was not sound when it was made; what keeps the record from being written.
pub fn drill(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(Verification, Checked), Error> {
    store.obey(&options.interrupt);
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    let began = Instant::now();
    let options = &fitting(manifest, options);
    let verified = match manifest.kind {
        Kind::Sqlite => sqlite::trial::drill(store, manifest, options, &mut watcher),
        Kind::PostgresDump => postgres::load::drill(store, manifest, options, &mut watcher),
        Kind::PostgresBase => postgres::pitr::drill(store, manifest, options, &mut watcher),
    };
    let depth = Depth::of_trial(manifest.kind);
    let verified = noted((store, manifest), (depth, options), verified)?;
    if !manifest.is_sound() {
        return Err(Error::Unsound {
            name: format!("{}, which is as it was made,", manifest.name),
            findings: manifest.proof.unsound.clone(),
        });
    }
    let mut record = Verification {
        format: FORMAT,
        name: manifest.name.clone(),
        manifest: manifest.sha256.clone(),
        at: options.clock.now().trunc_subsecs(6),
        level: verified.level,
        copy_ms: verified.decode_ms,
        verify_ms: verified.check_ms,
        total_ms: millis(began.elapsed()),
        bytes: verified.bytes,
        host: host(),
        sha256: String::new(),
    };
    let bytes = record.seal()?;
    let file = manifest.backup_name()?.verification();
    store.write_small(&file, &bytes, WriteMode::Replace)?;
    tracing::info!(
        backup = manifest.name,
        ms = record.total_ms,
        "a restore drill passed"
    );
    Ok((record, verified.invariants))
}
