//! Removing one backup that is named, such as one that is damaged for ever.

use chrono::{DateTime, Utc};

use crate::catalog::{self, Entry, Listing};
use crate::error::Error;
use crate::manifest::Manifest;
use crate::name::BackupName;
use crate::prune;
use crate::series;
use crate::store::Store;

/// A backup that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedBackup {
    /// Its name.
    pub name: String,
    /// Its files, in the order in which they went.
    pub files: Vec<String>,
    /// What that freed.
    pub bytes: u64,
}

/// Removes a backup, while nobody makes or removes others. One that cannot be read can be removed, too.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Refused`] if another backup needs it, if it is the last of its series
/// that was restored on trial, or the last that is whole; [`Error::Locked`]; what keeps the store from
/// being changed.
pub fn remove(
    store: &dyn Store,
    name: BackupName,
    now: DateTime<Utc>,
) -> Result<RemovedBackup, Error> {
    remove_if(store, name, &|listing, entry| guard(listing, entry, now))
}

/// The same also for the last of its series, such as that of a database that is no more.
///
/// # Errors
/// As [`remove`]; [`Error::Refused`] only if another backup needs it.
pub fn remove_last(store: &dyn Store, name: BackupName) -> Result<RemovedBackup, Error> {
    remove_if(store, name, &|_, _| Ok(()))
}

fn remove_if(
    store: &dyn Store,
    name: BackupName,
    guard: &dyn Fn(&Listing, &Entry) -> Result<(), Error>,
) -> Result<RemovedBackup, Error> {
    let lock = store.lock("remove")?;
    let listing = catalog::list(store)?;
    let entry = listing.backups.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| Error::NotFound {
        name: name.to_string(),
        place: store.location(),
    })?;
    refuse_needed(&listing, entry)?;
    guard(&listing, entry)?;
    let files = store.list_starting(&format!("{name}."))?;
    let done = RemovedBackup {
        name: name.to_string(),
        files: files.iter().map(|file| file.name.clone()).collect(),
        bytes: files.iter().map(|file| file.bytes).sum(),
    };
    prune::remove(store, &lock, &files, &done.name)?;
    tracing::info!(backup = done.name, "removed by its name");
    Ok(done)
}

/// Refuses what another backup builds on.
fn refuse_needed(listing: &Listing, entry: &Entry) -> Result<(), Error> {
    let name = entry.name.to_string();
    let needs = |other: &&Entry| {
        let manifest = other.manifest.as_ref();
        other.name != entry.name && manifest.is_ok_and(|m| m.requires.contains(&name))
    };
    if let Some(other) = listing.backups.iter().find(needs) {
        return Err(Error::refused(
            format!("{} cannot be restored without {name}", other.name),
            format!("remove {} first", other.name),
        ));
    }
    Ok(())
}

/// Refuses what would leave less than can be missed.
fn guard(listing: &Listing, entry: &Entry, now: DateTime<Utc>) -> Result<(), Error> {
    let name = entry.name.to_string();
    // What is not whole is nobody's last hope.
    if !entry.is_complete() {
        return Ok(());
    }
    let groups = series::groups(listing);
    let own = groups
        .iter()
        .find(|group| group.backups.iter().any(|(e, _)| e.name == entry.name));
    let was_sound = |entry: &Entry| entry.manifest.as_ref().is_ok_and(Manifest::is_sound);
    let is_sound = |entry: &Entry| was_sound(entry) && entry.failure.is_none();
    // One that is not sound is no substitute for one that is.
    let does = |other: &Entry| other.is_complete() && (is_sound(other) || !is_sound(entry));
    let others = || {
        own.into_iter()
            .flat_map(|group| &group.backups)
            .map(|(other, _)| *other)
            .filter(|other| other.name != entry.name && does(other))
    };
    let is_verified = entry.verification.is_some() || entry.unread.is_some();
    if is_verified && !others().any(|other| other.verification.is_some()) {
        return Err(Error::refused(
            format!("{name} is the last backup of its database that was restored on trial"),
            "restore another one on trial first: `backup verify NAME --restore`; `backup remove --last` \
             removes it all the same",
        ));
    }
    if !entry.is_future(now) && !others().any(|other| !other.is_future(now)) {
        let last = if is_sound(entry) {
            " that is whole and sound"
        } else {
            ""
        };
        return Err(Error::refused(
            format!("{name} is the last backup of its database{last}"),
            "make another one first; `backup remove --last` removes it all the same, as that of a \
             database that is no more",
        ));
    }
    Ok(())
}
