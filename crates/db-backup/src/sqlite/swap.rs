//! Putting a restored file in the place of a database, so that a kill at any point leaves the old one
//! or the new one, and the old one is kept.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Interrupt};

use super::alone::Old;
use crate::error::Error;
use crate::store::{Draft, draft::sync_folder};

/// What SQLite puts beside a file. A log that does not belong to it would be played into it.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

/// The names for old ones of one second.
const MOST_KEPT: u32 = 1_000;

/// Puts the draft in its place. Returns where the old database is kept, if there was one.
pub(super) fn swap(
    draft: Draft,
    target: &Path,
    key: Option<&EncryptionKey>,
    now: DateTime<Utc>,
) -> Result<Option<PathBuf>, Error> {
    if !target.exists() {
        set_aside_beside(target, &kept_name(target, now)?)?;
        draft.publish_as(target)?;
        open(target, key)?;
        return Ok(None);
    }
    let old = Old::take(target, key)?;
    match replace(draft, target, key, now) {
        Ok(kept) => Ok(Some(kept)),
        Err(error) => {
            if let Old::Sound(alone) = old {
                alone.give_back();
            }
            Err(error)
        }
    }
}

/// The old database stays locked by the caller meanwhile.
fn replace(
    draft: Draft,
    target: &Path,
    key: Option<&EncryptionKey>,
    now: DateTime<Utc>,
) -> Result<PathBuf, Error> {
    take_owner(&draft, target)?;
    draft.sync()?;
    let kept = kept_name(target, now)?;
    let linked = fs::hard_link(target, &kept);
    let was_linked = linked.is_ok();
    // Where there are no hard links a kill between two renames leaves it under the name of the kept.
    linked
        .or_else(|e| match e.kind() {
            ErrorKind::AlreadyExists => Err(e),
            _ => fs::rename(target, &kept),
        })
        .map_err(|e| Error::io("keep the old database as", &kept, e))?;
    sync_folder(target)?;
    let put = set_aside_beside(target, &kept).and_then(|()| draft.replace(target));
    let checked = put.and_then(|()| open(target, key));
    if let Err(error) = checked {
        put_back(target, &kept, was_linked);
        return Err(error);
    }
    Ok(kept)
}

/// The old one gets its name again, whatever has it now.
fn put_back(target: &Path, kept: &Path, was_linked: bool) {
    for ending in BESIDE {
        let aside = with_ending(kept, ending);
        if aside.exists() {
            log(fs::rename(aside, with_ending(target, ending)));
        }
    }
    let is_old = was_linked && same_file(target, kept);
    log(if is_old {
        fs::remove_file(kept)
    } else {
        fs::rename(kept, target)
    });
}

fn log(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "the old database could not be put back");
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
}

/// Moves away what SQLite left beside a file that is gone or cannot be read. There is nothing beside
/// one whose log was folded in.
fn set_aside_beside(target: &Path, kept: &Path) -> Result<(), Error> {
    let mut moved = false;
    for ending in BESIDE {
        let beside = with_ending(target, ending);
        match fs::rename(&beside, with_ending(kept, ending)) {
            Ok(()) => moved = true,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("set aside", &beside, e)),
        }
    }
    if moved {
        sync_folder(target)?;
    }
    Ok(())
}

/// Opens it once as everybody will.
fn open(target: &Path, key: Option<&EncryptionKey>) -> Result<(), Error> {
    let url = DatabaseUrl::SqliteFile(target.to_owned());
    Connection::open_encrypted(&url, Access::ReadOnly, &Interrupt::default(), key)
        .map(drop)
        .map_err(|e| Error::database("opening the restored database", e))
}

/// The new one belongs to whom the old one did, who could not open it otherwise.
fn take_owner(draft: &Draft, target: &Path) -> Result<(), Error> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let failed = |e| Error::io("give the restored database to the owner of", target, e);
    let old = fs::metadata(target).map_err(failed)?;
    let new = draft.file().metadata().map_err(failed)?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(draft.file(), Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }
    let mode = fs::Permissions::from_mode(old.mode() & 0o777);
    draft.file().set_permissions(mode).map_err(failed)
}

/// `<target>.before-restore-<time>`, which nothing has.
fn kept_name(target: &Path, now: DateTime<Utc>) -> Result<PathBuf, Error> {
    let base = with_ending(
        target,
        &format!(".before-restore-{}", now.format("%Y%m%dT%H%M%SZ")),
    );
    (1..MOST_KEPT)
        .map(|number| match number {
            1 => base.clone(),
            _ => with_ending(&base, &format!("-{number}")),
        })
        .find(|path| {
            fs::symlink_metadata(path).is_err()
                && BESIDE.iter().all(|e| !with_ending(path, e).exists())
        })
        .ok_or_else(|| {
            Error::refused(
                format!("{} was restored too often", target.display()),
                "remove what earlier restores kept beside it",
            )
        })
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
