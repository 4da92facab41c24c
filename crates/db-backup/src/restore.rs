//! Putting a backup back: into a new place, or over a database that is kept aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use db_core::{Clock, DatabaseUrl, EncryptionKey, Interrupt, SystemClock};

use crate::codec::Identities;
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::manifest::{Kind, Level, Manifest, TableRows};
use crate::postgres::{self, PostgresOptions};
use crate::progress::{Progress, Watcher};
use crate::sqlite;
use crate::store::Store;
use crate::tolerated::Tolerated;

/// How a backup is restored.
#[derive(Clone)]
pub struct RestoreOptions {
    pub(crate) identities: Identities,
    pub(crate) key: Option<EncryptionKey>,
    pub(crate) level: Level,
    pub(crate) invariants: Vec<Invariant>,
    pub(crate) newest_schema: Option<String>,
    pub(crate) replace: bool,
    pub(crate) accept_unsound: bool,
    pub(crate) postgres: PostgresOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interrupt: Interrupt,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            identities: Identities::default(),
            key: None,
            level: Level::default(),
            invariants: Vec::new(),
            newest_schema: None,
            replace: false,
            accept_unsound: false,
            postgres: PostgresOptions::new(),
            clock: Arc::new(SystemClock),
            interrupt: Interrupt::default(),
        }
    }
}

impl std::fmt::Debug for RestoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestoreOptions")
            .field("identities", &self.identities)
            .field("level", &self.level)
            .field("invariants", &self.invariants)
            .field("newest_schema", &self.newest_schema)
            .field("replace", &self.replace)
            .finish_non_exhaustive()
    }
}

/// A database that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub name: String,
    /// What it held.
    pub kind: Kind,
    /// Where the database is now, without secrets.
    pub target: String,
    /// Where the old one is kept, if there was one.
    pub kept: Option<String>,
    /// Bytes of the content.
    pub bytes: u64,
    /// Reading, comparing hashes and writing, in milliseconds.
    pub copy_ms: u64,
    /// The checks.
    pub verify_ms: u64,
    /// All of it.
    pub total_ms: u64,
    /// Rows of its tables.
    pub tables: Vec<TableRows>,
    /// Which invariants it was checked for.
    pub invariants: Checked,
    /// What is wrong with the data, and was accepted.
    pub unsound: Vec<String>,
}

/// Restores a backup. Until everything is read, compared and checked, the target is not touched.
///
/// # Errors
/// [`Error::Refused`] if there is a database already, or of another application, or if the backup is
/// not sound;
/// [`Error::TooNew`] if its schema is newer than the program; [`Error::Locked`] if somebody has the
/// old one open; [`Error::PlaceTaken`] if that, or another reason, is met when the new one is proven: it waits
/// for [`finish_restore`]; as [`verify`](crate::verify); what keeps it from being written.
pub fn restore(
    store: &dyn Store,
    manifest: &Manifest,
    target: &DatabaseUrl,
    options: &RestoreOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Restored, Error> {
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    store.obey(&options.interrupt);
    refuse_newer(manifest, options)?;
    refuse_unsound(manifest, options)?;
    match (manifest.kind, target) {
        (Kind::Sqlite, DatabaseUrl::SqliteFile(path)) => bearing(options, |options| {
            sqlite::restore::restore(store, manifest, path, options, &mut watcher)
        }),
        (Kind::Sqlite, _) => Err(Error::usage(
            format!(
                "{} is of SQLite, and {target} is no SQLite file",
                manifest.name
            ),
            "name a file with --target",
        )),
        (Kind::PostgresDump, DatabaseUrl::Postgres(_)) => bearing(options, |options| {
            postgres::load::load(store, manifest, target, options, &mut watcher)
        }),
        (Kind::PostgresDump, _) => Err(Error::usage(
            format!("{} is of PostgreSQL, and {target} is not", manifest.name),
            "name a database with --target postgres://USER@HOST/NAME",
        )),
        (Kind::PostgresBase, _) => Err(Error::usage(
            format!(
                "{} is of a whole server, and {target} is one database",
                manifest.name
            ),
            "name a new data folder with --target",
        )),
    }
}

/// The place of a restored SQLite file that waits, as [`finish_restore`] takes it.
///
/// # Errors
/// [`Error::Usage`] for a file that no restore has left.
pub fn place_of_waiting(waiting: &Path, target: Option<&Path>) -> Result<PathBuf, Error> {
    sqlite::restore::place_of(waiting, target)
}

/// Gives a restored SQLite file its place that could not be given it, [`Error::PlaceTaken`]: without `target` that
/// for which it waits. It is checked once more, and stays where it is if this fails again.
///
/// # Errors
/// As [`restore`]; [`Error::Usage`] for a file that no restore has left.
pub fn finish_restore(
    waiting: &Path,
    target: Option<&Path>,
    options: &RestoreOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Restored, Error> {
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    bearing(options, |options| {
        sqlite::restore::finish(waiting, target, options, &mut watcher)
    })
}

/// Restores, and bears with what is wrong with the data where that is accepted. That a backup was sound when it was made
/// says nothing of invariants that nobody looked at then: a newer program has more of them.
fn bearing(
    options: &RestoreOptions,
    restore: impl FnOnce(&RestoreOptions) -> Result<Restored, Error>,
) -> Result<Restored, Error> {
    if !options.accept_unsound {
        return restore(options);
    }
    let tolerated = Tolerated::default();
    let relaxed = RestoreOptions {
        invariants: tolerated.invariants(&options.invariants),
        ..options.clone()
    };
    let mut restored = restore(&relaxed)?;
    restored.unsound.extend(tolerated.take());
    Ok(restored)
}

fn refuse_unsound(manifest: &Manifest, options: &RestoreOptions) -> Result<(), Error> {
    if manifest.is_sound() {
        return Ok(());
    }
    let findings = manifest.proof.unsound.join("; ");
    if options.accept_unsound {
        tracing::warn!(
            backup = manifest.name,
            findings,
            "a backup is restored that was not sound when it was made"
        );
        return Ok(());
    }
    Err(Error::refused(
        format!(
            "{} was not sound when it was made: {findings}",
            manifest.name
        ),
        "restore the newest sound one (`backup list`), or take this one with --accept-unsound",
    ))
}

fn refuse_newer(manifest: &Manifest, options: &RestoreOptions) -> Result<(), Error> {
    match (&manifest.schema, &options.newest_schema) {
        // Versions are ordered as Diesel orders them: as texts.
        (Some(schema), Some(newest)) if schema.version > *newest => Err(Error::TooNew {
            name: manifest.name.clone(),
            reason: format!(
                "its schema has version {}, and {newest} is the newest that is known",
                schema.version
            ),
        }),
        _ => Ok(()),
    }
}
