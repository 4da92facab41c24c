//! Restoring a SQLite backup: unpack beside the target, prove, swap.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{alone, proof, swap, trial};
use crate::backup::millis;
use crate::codec::{Identities, decode};
use crate::error::Error;
use crate::manifest::{Kind, Manifest};
use crate::progress::{Phase, Watcher};
use crate::restore::{RestoreOptions, Restored};
use crate::room;
use crate::store::draft::sweep;
use crate::store::{Draft, Store};
use crate::tolerated::Tolerated;

/// What a write to the scratch file gathers.
const BUFFER: usize = 1 << 20;

/// Restores into this file.
pub(crate) fn restore(
    store: &dyn Store,
    manifest: &Manifest,
    target: &Path,
    options: &RestoreOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Restored, Error> {
    let began = Instant::now();
    // Through a link to the file itself: a rename would take the link's place.
    let target = &real(target)?;
    refuse(manifest.engine.application_id, target, options)?;
    let folder = db_core::folder::of(target);
    let stem = target.file_name().unwrap_or_default().to_string_lossy();
    let draft = Draft::new_in(folder, &format!("{stem}.restore"))?;
    sweep(folder);
    unpack(store, manifest, &options.identities, &draft, watcher)?;
    draft.sync()?;
    let copy_ms = millis(began.elapsed());

    let checking = Instant::now();
    let tolerated = Tolerated::default();
    let what = proof::What {
        name: &manifest.name,
        path: draft.path(),
        key: options.key.as_ref(),
        level: options.level,
        invariants: &options.invariants,
        tolerated: options.accept_unsound.then_some(&tolerated),
    };
    let proved = proof::prove(&what, watcher)?;
    trial::same(manifest, &proved)?;
    let verify_ms = millis(checking.elapsed());

    watcher.at(Phase::Swap, 0, 1)?;
    let place = swap::Place {
        target,
        key: options.key.as_ref(),
        replace: options.replace,
        application_id: manifest.engine.application_id,
        now: options.clock.now(),
        kept_before: "restore",
        waits: true,
    };
    let kept = place.swap(draft)?;
    // It is done, whoever asks for a stop now.
    drop(watcher.at(Phase::Swap, 1, 1));
    Ok(Restored {
        name: manifest.name.clone(),
        kind: manifest.kind,
        target: target.display().to_string(),
        kept: kept.map(|path| path.display().to_string()),
        bytes: manifest.content.bytes,
        copy_ms,
        verify_ms,
        total_ms: millis(began.elapsed()),
        tables: proved.tables,
        invariants: proved.invariants,
        unsound: tolerated.take(),
    })
}

/// The place of a file that waits: the one that is wanted, or the one for which it waits.
pub(crate) fn place_of(waiting: &Path, wanted: Option<&Path>) -> Result<PathBuf, Error> {
    let own = swap::place_of(waiting).ok_or_else(|| {
        Error::usage(
            format!("{} is no file that a restore has left", waiting.display()),
            "name one that is called NAME.restored-TIME",
        )
    })?;
    Ok(wanted.map_or(own, Path::to_owned))
}

/// Gives a file that waits its place, after another look at it.
pub(crate) fn finish(
    waiting: &Path,
    target: Option<&Path>,
    options: &RestoreOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Restored, Error> {
    let began = Instant::now();
    let tolerated = Tolerated::default();
    let target = &real(&place_of(waiting, target)?)?;
    let meta = fs::metadata(waiting).map_err(|e| Error::io("look at", waiting, e))?;
    if swap::id(waiting) == swap::id(target) {
        return Err(Error::refused(
            format!("{} is {} already", waiting.display(), target.display()),
            "remove one of the two names",
        ));
    }
    alone::refuse_if_open(waiting)?;
    refuse(None, target, options)?;
    let draft = to_place(waiting, target)?;
    let name = waiting.display().to_string();
    let what = proof::What {
        name: &name,
        path: draft.path(),
        key: options.key.as_ref(),
        level: options.level,
        invariants: &options.invariants,
        tolerated: options.accept_unsound.then_some(&tolerated),
    };
    let proved = proof::prove(&what, watcher)?;
    refuse(proved.engine.application_id, target, options)?;
    let verify_ms = millis(began.elapsed());
    watcher.at(Phase::Swap, 0, 1)?;
    let place = swap::Place {
        target,
        key: options.key.as_ref(),
        replace: options.replace,
        application_id: proved.engine.application_id,
        now: options.clock.now(),
        kept_before: "restore",
        // It does already.
        waits: false,
    };
    let kept = place.swap(draft)?;
    // Where it went by a copy.
    match fs::remove_file(waiting) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(error = %e, file = %waiting.display(), "what waited stays beside its copy");
        }
        _ => {}
    }
    drop(watcher.at(Phase::Swap, 1, 1));
    Ok(Restored {
        name,
        kind: Kind::Sqlite,
        target: target.display().to_string(),
        kept: kept.map(|path| path.display().to_string()),
        bytes: meta.len(),
        copy_ms: 0,
        verify_ms,
        total_ms: millis(began.elapsed()),
        tables: proved.tables,
        invariants: proved.invariants,
        unsound: tolerated.take(),
    })
}

/// What is to get the place: the file that waits, under its own name until then, or on another file system a copy.
fn to_place(waiting: &Path, target: &Path) -> Result<Draft, Error> {
    let file = Draft::standing(waiting)?;
    let folder = db_core::folder::of(target);
    sweep(folder);
    let disk = |path| swap::id(path).map(|(disk, _)| disk);
    if disk(waiting) == disk(folder) {
        return Ok(file);
    }
    let failed = |e| Error::io("copy to the place of", target, e);
    room::ensure(folder, file.bytes()?)?;
    let stem = target.file_name().unwrap_or_default().to_string_lossy();
    let draft = Draft::new_in(folder, &format!("{stem}.restore"))?;
    io::copy(&mut file.file(), &mut draft.file()).map_err(failed)?;
    draft.sync()?;
    Ok(draft)
}

/// What can be said before anything is read.
fn refuse(
    application_id: Option<i32>,
    target: &Path,
    options: &RestoreOptions,
) -> Result<(), Error> {
    match fs::metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("look at", target, e)),
        Ok(meta) if !meta.is_file() => {
            return Err(Error::usage(
                format!("{} is no file", target.display()),
                "name the database file",
            ));
        }
        Ok(_) => {}
    }
    if !options.replace {
        return Err(Error::refused(
            format!("{} exists", target.display()),
            "name another --target, or confirm that it is to be replaced",
        ));
    }
    alone::refuse_if_open(target)?;
    let found = alone::application_id(target, options.key.as_ref())?;
    swap::refuse_foreign(target, found, application_id)
}

/// The file that a path leads to, or would.
pub(super) fn real(target: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(target) {
        Ok(path) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(target).is_ok() {
                return Err(Error::usage(
                    format!("{} is a link that leads nowhere", target.display()),
                    "remove the link, or put back what it leads to",
                ));
            }
            Ok(target.to_owned())
        }
        Err(e) => Err(Error::io("look at", target, e)),
    }
}

/// Reads the backup into the draft.
pub(super) fn unpack(
    store: &dyn Store,
    manifest: &Manifest,
    identities: &Identities,
    draft: &Draft,
    watcher: &mut Watcher<'_>,
) -> Result<(), Error> {
    room::ensure(db_core::folder::of(draft.path()), manifest.content.bytes)?;
    let mut out = BufWriter::with_capacity(BUFFER, draft.file());
    decode(store, manifest, identities, &mut out, watcher)?;
    Ok(())
}
