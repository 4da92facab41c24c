//! What backups a store holds.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use chrono::{DateTime, Utc};
use db_core::{Clock, SystemClock};

use crate::error::Error;
use crate::manifest::{Failure, Kind, Manifest, Verification};
use crate::name::{BackupName, FileName};
use crate::postgres::RecoveryTarget;
use crate::records::{self, Found, Records};
use crate::series::{self, Wanted, is_future};
use crate::store::{Store, StoredFile, read_small};

/// A backup as a list shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: BackupName,
    /// What it holds, as far as its manifest or the names of its files say.
    pub kind: Option<Kind>,
    /// Its manifest, or why that cannot be read.
    pub manifest: Result<Manifest, Error>,
    /// The last drill with it, if there was one and no later look failed.
    pub verification: Option<Verification>,
    /// The last look at its content, if it failed; or a record of one that cannot be read.
    pub failure: Option<Failure>,
    /// Why the record of the last drill with it cannot be read, if it is there.
    pub unread: Option<String>,
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

    /// Whether it is complete, and the last look at its content did not fail.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.is_complete() && self.failure.is_none()
    }

    /// Whether it is dated later than any clock of now can be.
    #[must_use]
    pub fn is_future(&self, now: DateTime<Utc>) -> bool {
        let at = self.manifest.as_ref().map(|manifest| manifest.started_at);
        is_future(at.unwrap_or_else(|_| self.name.moment()), now)
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
    /// The newest one.
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
            // As a shell completes it.
            _ => match FileName::parse(text) {
                Some(file) => Ok(Self::Name(file.backup())),
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

/// Reads what a store holds. A backup that is damaged is listed as such; one that somebody removes
/// meanwhile is not.
///
/// # Errors
/// What keeps the store from being read.
pub fn list(store: &dyn Store) -> Result<Listing, Error> {
    Memory::default().list(store)
}

/// What was read before and has not changed since, so that looking often is cheap.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    manifests: HashMap<StoredFile, Manifest>,
    records: records::Memory,
}

impl Memory {
    /// As [`list`]. Files of the same name, length and time are not read again.
    pub(crate) fn list(&mut self, store: &dyn Store) -> Result<Listing, Error> {
        let found = files_of(store)?;
        let mut listing = Listing::default();
        let before = std::mem::take(self);
        let mut again: Option<BTreeMap<BackupName, Files>> = None;
        for (name, files) in found {
            if files.manifest.is_none() {
                listing.orphans.extend(files.names());
                continue;
            }
            let entry = self.entry(store, name, &files, &before)?;
            if entry.is_complete() {
                listing.backups.push(entry);
                continue;
            }
            // A folder is not read in one moment: it may be on its way out, or in. A second look is
            // enough for all, however many are damaged.
            let again = match &mut again {
                Some(again) => again,
                none => none.insert(files_of(store)?),
            };
            let files = again.remove(&name).unwrap_or_default();
            if files.manifest.is_some() {
                let again = self.entry(store, name, &files, &Self::default())?;
                listing.backups.push(again);
            }
        }
        Ok(listing)
    }

    fn entry(
        &mut self,
        store: &dyn Store,
        name: BackupName,
        files: &Files,
        before: &Self,
    ) -> Result<Entry, Error> {
        let known = files
            .manifest
            .as_ref()
            .and_then(|f| before.manifests.get(f));
        let manifest = match known {
            Some(manifest) => Ok(manifest.clone()),
            None => match read_manifest(store, name) {
                Err(error) if is_of_the_store(&error) => return Err(error),
                read => read,
            },
        };
        let mut faults = Vec::new();
        let mut recorded = Records::default();
        if let (Ok(manifest), Some(file)) = (&manifest, &files.manifest) {
            remember(&mut self.manifests, file, manifest);
            faults = self::faults(manifest, &files.parts);
            let found = &Found {
                verification: files.verification.as_ref(),
                failure: files.failure.as_ref(),
            };
            let records = &mut self.records;
            recorded = records.read(&before.records, (store, name), manifest, found)?;
        }
        let by_name = || {
            files
                .parts
                .iter()
                .find_map(|part| Kind::of_file(&part.name))
        };
        Ok(Entry {
            name,
            kind: manifest.as_ref().ok().map(|m| m.kind).or_else(by_name),
            verification: recorded.verification,
            failure: recorded.failure,
            unread: recorded.unread,
            faults,
            manifest,
        })
    }
}

/// The files of each backup.
fn files_of(store: &dyn Store) -> Result<BTreeMap<BackupName, Files>, Error> {
    let mut found: BTreeMap<BackupName, Files> = BTreeMap::new();
    for file in store.list()? {
        if let Some(kind) = FileName::parse(&file.name) {
            found.entry(kind.backup()).or_default().add(kind, file);
        }
    }
    Ok(found)
}

/// Without a time, a file could be another one of the same length.
pub(crate) fn remember<T: Clone>(memory: &mut HashMap<StoredFile, T>, file: &StoredFile, read: &T) {
    if file.modified.is_some() {
        memory.insert(file.clone(), read.clone());
    }
}

#[derive(Default)]
struct Files {
    manifest: Option<StoredFile>,
    verification: Option<StoredFile>,
    failure: Option<StoredFile>,
    parts: Vec<StoredFile>,
}

impl Files {
    fn add(&mut self, kind: FileName, file: StoredFile) {
        match kind {
            FileName::Manifest(_) => self.manifest = Some(file),
            FileName::Verification(_) => self.verification = Some(file),
            FileName::Failure(_) => self.failure = Some(file),
            FileName::Part(_) => self.parts.push(file),
        }
    }

    fn names(self) -> impl Iterator<Item = String> {
        let records = self.verification.into_iter().chain(self.failure);
        let files = self.parts.into_iter().chain(records);
        files.map(|file| file.name)
    }
}

/// A store that fails has not lost its backups.
const fn is_of_the_store(error: &Error) -> bool {
    records::is_away(error) || matches!(error, Error::Forbidden { .. })
}

fn faults(manifest: &Manifest, files: &[StoredFile]) -> Vec<String> {
    let fault = |part: &crate::Part| {
        let found = files.iter().find(|file| file.name == part.name);
        match found {
            None => Some(format!("{} is not there", part.name)),
            Some(file) if file.bytes != part.bytes => Some(format!(
                "{} has {} bytes, and had {}",
                part.name, file.bytes, part.bytes
            )),
            Some(_) => None,
        }
    };
    manifest.parts.iter().filter_map(fault).collect()
}

/// Reads the manifest of the backup that is meant. `Latest` is [`latest`] of the only database in the
/// store, by the clock of this machine.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`]; as [`latest`].
pub fn find(store: &dyn Store, selector: Selector) -> Result<Manifest, Error> {
    match selector {
        Selector::Latest => latest(store, &Wanted::default(), SystemClock.now()),
        Selector::Name(name) => read_manifest(store, name).map_err(|error| match error {
            Error::NotFound { .. } => Error::NotFound {
                name: selector.to_string(),
                place: store.location(),
            },
            other => other,
        }),
    }
}

/// Reads the manifest of the latest backup of the database that is meant. One that is dated in the
/// future is not it: its clock was wrong. Nor is one that is not sound, as long as there is one that
/// is: a warning names it. Of base backups it is the newest that [`Wanted::until`] can be reached from.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Usage`] if it cannot be told which database is meant, or all
/// its backups are dated in the future; [`Error::Refused`] if all are of a later moment than the recovery is to
/// end at; [`Error::Damaged`] if a later one cannot be read and may be
/// of that database, rather than that an older one is taken in silence.
pub fn latest(store: &dyn Store, wanted: &Wanted, now: DateTime<Utc>) -> Result<Manifest, Error> {
    let mut listing = list(store)?;
    let groups = series::groups(&listing);
    let meant = wanted.choose(&groups, (&store.location(), now))?;
    let backups = || meant.iter().flat_map(|group| &group.backups);
    let past = || backups().filter(|(_, manifest)| !is_future(manifest.started_at, now));
    // One that was being made at that moment is the last resort.
    let has_older = past().any(|(_, manifest)| wanted.until.is_after(manifest));
    let past = || {
        past().filter(|(_, manifest)| {
            if has_older {
                wanted.until.is_after(manifest)
            } else {
                wanted.until.check(manifest).is_ok()
            }
        })
    };
    let place = |(entry, manifest): &&(&Entry, &Manifest)| (manifest.started_at, entry.name);
    let very_newest = past().max_by_key(place);
    let sound = past().filter(|(_, m)| m.is_sound()).max_by_key(place);
    let newest = sound.or(very_newest);
    if let (Some((taken, _)), Some((passed, manifest))) = (newest, very_newest)
        && taken.name != passed.name
    {
        tracing::warn!(
            backup = %passed.name,
            taken = %taken.name,
            findings = manifest.proof.unsound.join("; "),
            "the newest backup is not sound, and is passed over"
        );
    }
    if newest.is_none()
        && let Some((_, oldest)) = backups().min_by_key(place)
        && let Err(error) = wanted.until.check(oldest)
    {
        return Err(Error::refused(
            format!(
                "no base backup in {} is old enough: {error}",
                store.location()
            ),
            "choose a later moment; `backup list` shows of when the backups are",
        ));
    }
    let later = |name: BackupName| newest.is_none_or(|(entry, _)| name > entry.name);
    let may_be_meant = |entry: &Entry| {
        let kinds = &wanted.kinds;
        let fits = entry
            .kind
            .is_none_or(|kind| kinds.is_empty() || kinds.contains(&kind));
        let at = entry.name.moment();
        let in_time = !matches!(wanted.until, RecoveryTarget::Time(until) if until < at);
        fits && later(entry.name) && !is_future(at, now) && in_time
    };
    let unread = listing
        .backups
        .iter()
        .rposition(|entry| entry.manifest.is_err() && may_be_meant(entry));
    match (newest.map(|(_, manifest)| (*manifest).clone()), unread) {
        (_, Some(at)) => listing.backups.swap_remove(at).manifest,
        (Some(manifest), None) => Ok(manifest),
        (None, None) if backups().next().is_some() => Err(Error::usage(
            format!(
                "every backup in {} is dated in the future",
                store.location()
            ),
            "look at the clock of this machine, or write the name of a backup",
        )),
        (None, None) => Err(Error::NotFound {
            name: Selector::Latest.to_string(),
            place: store.location(),
        }),
    }
}

fn read_manifest(store: &dyn Store, name: BackupName) -> Result<Manifest, Error> {
    let file = name.manifest();
    let bytes = read_small(store, &file)?;
    Manifest::read(&file, &bytes)
}
