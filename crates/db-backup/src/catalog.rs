//! What backups a store holds.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::manifest::{Manifest, Verification};
use crate::name::{BackupName, FileName};
use crate::store::{Store, read_small};

/// A backup as a list shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: BackupName,
    /// Its manifest, or why that cannot be read.
    pub manifest: Result<Manifest, Error>,
    /// The last drill with it, if there was one.
    pub verification: Option<Verification>,
    /// Parts that the manifest names and that are not there, or not as long as they were.
    pub faults: Vec<String>,
}

impl Entry {
    /// Whether its manifest can be read and its files are there, as long as they were. Their content
    /// is looked at by `verify`.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.manifest.is_ok() && self.faults.is_empty()
    }
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Backups, oldest first.
    pub backups: Vec<Entry>,
    /// Files named after a backup that has no manifest: one that was killed, or its manifest is
    /// gone. They are no backup.
    pub orphans: Vec<String>,
}

/// Which backup is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Selector {
    /// The one with the latest name.
    #[default]
    Latest,
    /// The one of this name.
    Name(BackupName),
}

impl Selector {
    /// Reads `latest` or a name.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "latest" => Ok(Self::Latest),
            // As a file manager completes it.
            _ => match text.strip_suffix(".json") {
                Some(name) => BackupName::parse(name).map(Self::Name),
                None => BackupName::parse(text).map(Self::Name),
            },
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Reads what a store holds. A backup that is damaged is listed as such.
///
/// # Errors
/// What keeps the store from being read.
pub fn list(store: &dyn Store) -> Result<Listing, Error> {
    let mut found: BTreeMap<BackupName, Files> = BTreeMap::new();
    for file in store.list()? {
        let Some(kind) = FileName::parse(&file.name) else {
            continue;
        };
        let files = found.entry(kind.backup()).or_default();
        match kind {
            FileName::Manifest(_) => files.manifest = true,
            FileName::Verification(_) => files.verification = true,
            FileName::Part(_) => files.parts.push((file.name, file.bytes)),
        }
    }
    let mut listing = Listing::default();
    for (name, files) in found {
        if files.manifest {
            listing.backups.push(entry(store, name, &files)?);
        } else {
            let parts = files.parts.into_iter().map(|(part, _)| part);
            listing.orphans.extend(parts);
            if files.verification {
                listing.orphans.push(name.verification());
            }
        }
    }
    Ok(listing)
}

#[derive(Default)]
struct Files {
    manifest: bool,
    verification: bool,
    parts: Vec<(String, u64)>,
}

fn entry(store: &dyn Store, name: BackupName, files: &Files) -> Result<Entry, Error> {
    let manifest = match read_manifest(store, name) {
        Err(error) if is_of_the_store(&error) => return Err(error),
        read => read,
    };
    let faults = manifest
        .as_ref()
        .map_or_else(|_| Vec::new(), |manifest| faults(manifest, &files.parts));
    let verification = files
        .verification
        .then(|| read_verification(store, name))
        .transpose()
        .or_else(|error| {
            if is_of_the_store(&error) || matches!(error, Error::Io { .. }) {
                return Err(error);
            }
            tracing::warn!(%error, backup = %name, "the record of a drill cannot be read");
            Ok(None)
        })?
        .filter(|drill| {
            let seal = manifest.as_ref().ok().map(|m| m.sha256.as_str());
            seal == Some(drill.manifest.as_str())
        });
    Ok(Entry {
        name,
        manifest,
        verification,
        faults,
    })
}

/// A store that fails has not lost its backups, nor the records of their drills.
const fn is_of_the_store(error: &Error) -> bool {
    matches!(
        error,
        Error::Store { .. }
            | Error::Credentials { .. }
            | Error::Forbidden { .. }
            | Error::Interrupted
    )
}

fn faults(manifest: &Manifest, files: &[(String, u64)]) -> Vec<String> {
    let fault = |part: &crate::Part| {
        let found = files.iter().find(|(name, _)| *name == part.name);
        match found {
            None => Some(format!("{} is not there", part.name)),
            Some((_, bytes)) if *bytes != part.bytes => Some(format!(
                "{} has {bytes} bytes, and had {}",
                part.name, part.bytes
            )),
            Some(_) => None,
        }
    };
    manifest.parts.iter().filter_map(fault).collect()
}

/// Reads the manifest of the backup that is meant.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`] also for the latest, rather than that an older one is
/// taken in silence.
pub fn find(store: &dyn Store, selector: Selector) -> Result<Manifest, Error> {
    let not_found = || Error::NotFound {
        name: selector.to_string(),
        place: store.location(),
    };
    let name = match selector {
        Selector::Name(name) => name,
        Selector::Latest => latest(store)?.ok_or_else(not_found)?,
    };
    read_manifest(store, name).map_err(|error| match error {
        Error::NotFound { .. } => not_found(),
        other => other,
    })
}

/// The latest name that has a manifest.
fn latest(store: &dyn Store) -> Result<Option<BackupName>, Error> {
    let files = store.list()?;
    let names = files
        .iter()
        .filter_map(|file| match FileName::parse(&file.name) {
            Some(FileName::Manifest(name)) => Some(name),
            _ => None,
        });
    Ok(names.max())
}

fn read_manifest(store: &dyn Store, name: BackupName) -> Result<Manifest, Error> {
    let file = name.manifest();
    let bytes = read_small(store, &file)?;
    Manifest::read(&file, &bytes)
}

fn read_verification(store: &dyn Store, name: BackupName) -> Result<Verification, Error> {
    let file = name.verification();
    let bytes = read_small(store, &file)?;
    Verification::read(&file, &bytes)
}
