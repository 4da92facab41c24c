//! What later looks at a backup have left beside it, as a list shows it.
//!
//! A record that cannot be read, as one of another user, keeps nobody from seeing what backups there are. What cannot be
//! known of its backup is taken for the worse: it has failed, or it is not known to be proven and is not pruned.

use std::collections::HashMap;

use crate::catalog::remember;
use crate::error::Error;
use crate::manifest::{Failure, Manifest, Verification};
use crate::name::BackupName;
use crate::store::{Store, StoredFile, read_small};

/// What was read before and has not changed since.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    drills: HashMap<StoredFile, Verification>,
    failures: HashMap<StoredFile, Failure>,
}

/// The files of the records of one backup.
pub(crate) struct Found<'f> {
    pub(crate) verification: Option<&'f StoredFile>,
    pub(crate) failure: Option<&'f StoredFile>,
}

/// What is known of one backup. It has not both passed and failed.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) verification: Option<Verification>,
    pub(crate) failure: Option<Failure>,
    /// Why the record of a drill cannot be read.
    pub(crate) unread: Option<String>,
}

impl Memory {
    /// Reads the records of a backup. Files of the same name, length and time as before are not read again.
    ///
    /// # Errors
    /// That the place itself is away, or [`Error::Interrupted`].
    pub(crate) fn read(
        &mut self,
        before: &Self,
        (store, name): (&dyn Store, BackupName),
        manifest: &Manifest,
        found: &Found<'_>,
    ) -> Result<Records, Error> {
        let failures = (&before.failures, &mut self.failures);
        let failure = recalled(found.failure, failures, || read_failure(store, name))?;
        let drills = (&before.drills, &mut self.drills);
        let drill = recalled(found.verification, drills, || {
            read_verification(store, name)
        })?;
        let failure = match (failure, found.failure) {
            (Recalled::Known(failure), _) if failure.manifest == manifest.sha256 => failure,
            // Of when it is nobody knows, so no drill that has passed is later.
            (Recalled::Unread(error), Some(file)) => {
                let at = file.modified.unwrap_or(manifest.started_at);
                return Ok(Records {
                    failure: Some(Failure::unread(manifest, at, &error)),
                    ..Records::default()
                });
            }
            _ => return Ok(passed(drill, manifest)),
        };
        // Who was killed between the two has left both: the later one holds.
        let records = passed(drill, manifest);
        let drill = records.verification.as_ref();
        if drill.is_some_and(|drill| drill.at > failure.at) {
            return Ok(records);
        }
        Ok(Records {
            failure: Some(failure),
            ..Records::default()
        })
    }
}

/// What a drill has left, where no failure is known.
fn passed(drill: Recalled<Verification>, manifest: &Manifest) -> Records {
    match drill {
        Recalled::Known(drill) if drill.manifest == manifest.sha256 => Records {
            verification: Some(drill),
            ..Records::default()
        },
        // One that is damaged, or of a format of later, proves nothing.
        Recalled::Unread(error @ (Error::Io { .. } | Error::Forbidden { .. })) => Records {
            unread: Some(format!(
                "the record of its last trial restore cannot be read: {error}"
            )),
            ..Records::default()
        },
        _ => Records::default(),
    }
}

/// What there is of a record.
enum Recalled<T> {
    Known(T),
    /// There is none, or no more.
    Absent,
    Unread(Error),
}

/// The record in a file, from memory or from the store.
fn recalled<T: Clone>(
    file: Option<&StoredFile>,
    (before, memory): (&HashMap<StoredFile, T>, &mut HashMap<StoredFile, T>),
    read: impl FnOnce() -> Result<T, Error>,
) -> Result<Recalled<T>, Error> {
    let Some(file) = file else {
        return Ok(Recalled::Absent);
    };
    let known = before.get(file);
    match known.map_or_else(read, |known| Ok(known.clone())) {
        Ok(record) => {
            remember(memory, file, &record);
            Ok(Recalled::Known(record))
        }
        Err(Error::NotFound { .. }) => Ok(Recalled::Absent),
        Err(error) if is_away(&error) => Err(error),
        Err(error) => {
            tracing::warn!(%error, file = file.name, "the record of a look at a backup cannot be read");
            Ok(Recalled::Unread(error))
        }
    }
}

/// Whether nothing in the store can be read now, rather than this one file.
pub(crate) const fn is_away(error: &Error) -> bool {
    matches!(
        error,
        Error::Store { .. } | Error::Credentials { .. } | Error::Interrupted
    )
}

/// The record of the last look at a backup that failed.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`], [`Error::TooNew`]; what keeps it from being read.
pub(crate) fn read_failure(store: &dyn Store, name: BackupName) -> Result<Failure, Error> {
    let file = name.failure();
    let bytes = read_small(store, &file)?;
    Failure::read(&file, &bytes)
}

fn read_verification(store: &dyn Store, name: BackupName) -> Result<Verification, Error> {
    let file = name.verification();
    let bytes = read_small(store, &file)?;
    Verification::read(&file, &bytes)
}
