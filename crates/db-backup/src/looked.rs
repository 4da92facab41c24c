//! What a look at the content of a backup leaves beside it: that it failed, until a look as deep passes.

use chrono::SubsecRound;

use crate::error::Error;
use crate::invariant::Invariant;
use crate::manifest::{Depth, FORMAT, Failure, Kind, Manifest, host};
use crate::name::BackupName;
use crate::records::{is_away, read_failure};
use crate::store::{Store, WriteMode};
use crate::verify::VerifyOptions;
use crate::withheld;

/// Writes down that a look failed, or takes that away where one has passed; and hands on what came of it, whether
/// that can be written down or not.
pub(crate) fn noted<T>(
    (store, manifest): (&dyn Store, &Manifest),
    (depth, options): (Depth, &VerifyOptions),
    looked: Result<T, Error>,
) -> Result<T, Error> {
    let noted = manifest.backup_name().and_then(|name| match &looked {
        Ok(_) => passed((store, name), manifest, depth),
        Err(error @ (Error::Damaged { .. } | Error::Unsound { .. })) => {
            failed((store, name), (manifest, error), (depth, options))
        }
        Err(_) => Ok(()),
    });
    if let Err(error) = noted {
        tracing::warn!(%error, backup = manifest.name, "what was found cannot be written down beside it");
    }
    looked
}

/// Takes the record of an earlier failure away, unless that look went deeper.
fn passed(
    (store, name): (&dyn Store, BackupName),
    manifest: &Manifest,
    depth: Depth,
) -> Result<(), Error> {
    match depth_of_failure(store, name, manifest)? {
        None => Ok(()),
        Some(failed) if failed <= depth => store.remove(&name.failure()),
        Some(_) => {
            tracing::warn!(
                backup = %name,
                "a look at it has failed that went deeper, or whose record cannot be read: that counts until `backup \
                 verify --restore` passes"
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
    (depth, options): (Depth, &VerifyOptions),
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
    // What cannot be known now is taken for the deepest.
    let known = depth_of_failure(store, name, manifest);
    let known = known.unwrap_or_else(|_| Some(Depth::of_trial(manifest.kind)));
    let mut record = Failure {
        format: FORMAT,
        name: manifest.name.clone(),
        manifest: manifest.sha256.clone(),
        at: options.clock.now().trunc_subsecs(6),
        depth: known.map_or(depth, |known| known.max(depth)),
        why: why(manifest, error, &options.invariants),
        host: host(),
        sha256: String::new(),
    };
    let bytes = record.seal()?;
    let written = store.write_small(&name.failure(), &bytes, WriteMode::Replace);
    written.and(store.remove(&name.verification()))
}

/// What is written down of a failure: of an encrypted backup nothing that was read in it.
fn why(manifest: &Manifest, error: &Error, invariants: &[Invariant]) -> String {
    let name = &manifest.name;
    match error {
        Error::Unsound { findings, .. } if manifest.is_encrypted() => {
            let counted = withheld::counted(findings, invariants).join("; ");
            format!("{name} failed its checks: {counted}; {}", withheld::WHY)
        }
        Error::Damaged { .. } if manifest.is_encrypted() => {
            format!("{name} is damaged; {}", withheld::WHY)
        }
        error => error.to_string(),
    }
}

/// How deep the look went that failed, if one did at this very backup.
fn depth_of_failure(
    store: &dyn Store,
    name: BackupName,
    manifest: &Manifest,
) -> Result<Option<Depth>, Error> {
    match read_failure(store, name) {
        Ok(failure) if failure.manifest == manifest.sha256 => Ok(Some(failure.depth)),
        Ok(_) | Err(Error::NotFound { .. }) => Ok(None),
        Err(error) if is_away(&error) => Err(error),
        // Nobody knows any more how deep that was.
        Err(_) => Ok(Some(Depth::of_trial(manifest.kind))),
    }
}
