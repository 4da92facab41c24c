//! Private folders for files that are not yet what they will be, or never will be anything.
//!
//! Each is locked by the process that made it, so that one whose lock is free is a dead process's and
//! is taken away by the next that stages in the same place.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// What the names of folders with plain files begin with. Nothing else is called so.
pub(super) const PLAIN: &str = ".bitcraps-staging-";

/// Letters and digits behind the prefix.
const RANDOM: usize = 12;

/// Names are random, and another process may sweep one before it is locked.
const TRIES: u32 = 16;

/// A private folder (0700), removed with all that is in it when it is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    folder: TempDir,
    /// Open for as long as the folder is ours, for its lock.
    _lock: File,
}

impl Staging {
    /// Makes one in another folder, and takes away what dead processes left there under this prefix.
    pub(super) fn new_in(parent: &Path, prefix: &str) -> Result<Self, Error> {
        sweep(parent, prefix);
        let failed = |e| Error::io("create a folder in", parent, e);
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new()
                .prefix(prefix)
                .rand_bytes(RANDOM)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)
                .map_err(failed)?;
            let Ok(lock) = File::open(folder.path()) else {
                continue;
            };
            // Between the two calls a sweep may have found it without a lock.
            if lock.try_lock().is_ok() && is_there(folder.path(), &lock) {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
        Err(failed(std::io::Error::other("no name is free")))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder its name beside itself. An empty folder of that name is replaced.
    pub(super) fn rename(self, to: &Path) -> Result<(), Error> {
        std::fs::rename(self.folder.path(), to).map_err(|e| Error::io("rename to", to, e))?;
        // What it named is elsewhere now.
        let _left: PathBuf = self.folder.keep();
        Ok(())
    }
}

fn is_there(path: &Path, lock: &File) -> bool {
    match (path.symlink_metadata(), lock.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

/// Takes folders away whose makers are dead. Links are not followed.
fn sweep(parent: &Path, prefix: &str) {
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let is_named_so = random.is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        let is_ours = is_named_so && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_ours {
            continue;
        }
        let path = entry.path();
        // One that cannot be opened is another user's.
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        if matches!(folder.try_lock(), Err(TryLockError::WouldBlock)) {
            continue;
        }
        tracing::info!(folder = %path.display(), "removing what a dead process left");
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(%error, folder = %path.display(), "what a dead process staged is left over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alive_stays_and_what_is_dead_goes() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Staging::new_in(parent.path(), PLAIN).unwrap();
        std::fs::write(alive.path().join("file"), "x").unwrap();
        let dead = parent.path().join(".bitcraps-staging-0dead1DEAD23");
        std::fs::create_dir_all(dead.join("base/1")).unwrap();
        std::fs::write(dead.join("base/1/2"), "x").unwrap();
        // Where a bucket's backups of `staging.db` wait, and what others call theirs.
        let others = [
            ".staging.db.staging",
            ".staging.abcdef",
            ".bitcraps-staging-notes",
            ".bitcraps-staging-0dead1DEAD23.old",
        ]
        .map(|name| parent.path().join(name));
        for other in &others {
            std::fs::create_dir(other).unwrap();
        }
        let next = Staging::new_in(parent.path(), PLAIN).unwrap();
        assert!(alive.path().join("file").exists() && next.path().exists());
        assert!(!dead.exists() && others.iter().all(|other| other.exists()));
        let mode = next.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let name = next.path().to_owned();
        next.rename(&parent.path().join("final")).unwrap();
        assert!(!name.exists() && parent.path().join("final").exists());
        drop(alive);
        assert_eq!(parent.path().read_dir().unwrap().count(), 1 + others.len());
    }
}
