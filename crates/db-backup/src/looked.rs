//! What a look at the content of a backup leaves beside it: that it failed, until a look as deep passes.

use chrono::SubsecRound;
use db_core::Clock;

use crate::error::Error;
use crate::manifest::{Depth, FORMAT, Failure, Kind, Manifest, host};
use crate::name::BackupName;
use crate::store::{Store, WriteMode, read_small};

/// Writes down that a look failed, or takes that away where one has passed; and hands on what came of it, whether
/// that can be written down or not.
pub(crate) fn noted<T>(
    (store, manifest): (&dyn Store, &Manifest),
    (depth, clock): (Depth, &dyn Clock),
    looked: Result<T, Error>,
) -> Result<T, Error> {
    let noted = manifest.backup_name().and_then(|name| match &looked {
        Ok(_) => passed(store, name, depth),
        Err(error @ (Error::Damaged { .. } | Error::Unsound { .. })) => {
            failed((store, name), (manifest, error), (depth, clock))
        }
        Err(_) => Ok(()),
    });
    if let Err(error) = noted {
        tracing::warn!(%error, backup = manifest.name, "what was found cannot be written down beside it");
    }
    looked
}

/// Takes the record of an earlier failure away, unless that look went deeper.
fn passed(store: &dyn Store, name: BackupName, depth: Depth) -> Result<(), Error> {
    match depth_of_failure(store, name)? {
        None => Ok(()),
        Some(failed) if failed <= depth => store.remove(&name.failure()),
        Some(_) => {
            tracing::warn!(
                backup = %name,
                "a deeper look at it has failed, which counts until `backup verify --restore` passes"
            );
            Ok(())
        }
    }
}

/// Writes the failure down, and takes the record of an earlier drill away: what is not any more what it was must not be
/// kept as the last one that is proven.
fn failed(
    (store, name): (&dyn Store, BackupName),
    (manifest, error): (&Manifest, &Error),
    (depth, clock): (Depth, &dyn Clock),
) -> Result<(), Error> {
    // Whoever removes it meanwhile has not damaged it.
    if store.list_starting(&name.manifest())?.is_empty() {
        return Ok(());
    }
    let depth = match error {
        // What every look reads. Behind a base backup there is also the log, which only a restore reads.
        Error::Damaged { .. } if manifest.kind != Kind::PostgresBase => Depth::Read,
        _ => depth,
    };
    let known = depth_of_failure(store, name).ok().flatten();
    let mut record = Failure {
        format: FORMAT,
        name: manifest.name.clone(),
        manifest: manifest.sha256.clone(),
        at: clock.now().trunc_subsecs(6),
        depth: known.map_or(depth, |known| known.max(depth)),
        why: error.to_string(),
        host: host(),
        sha256: String::new(),
    };
    let bytes = record.seal()?;
    let written = store.write_small(&name.failure(), &bytes, WriteMode::Replace);
    written.and(store.remove(&name.verification()))
}

/// How deep the look went that failed, if one did.
fn depth_of_failure(store: &dyn Store, name: BackupName) -> Result<Option<Depth>, Error> {
    let file = name.failure();
    match read_small(store, &file).and_then(|bytes| Failure::read(&file, &bytes)) {
        Ok(failure) => Ok(Some(failure.depth)),
        Err(Error::NotFound { .. }) => Ok(None),
        // It counts for nothing, and any look that passes takes it away.
        Err(Error::Damaged { .. }) => Ok(Some(Depth::Read)),
        Err(error) => Err(error),
    }
}
