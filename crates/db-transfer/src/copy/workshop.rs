//! The folder in which a SQLite file is made.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::CopyError;

/// What the folders of dry runs begin with, among those of other programs.
const PREFIX: &str = "bitcraps-copy-";

/// The file in a folder that is locked as long as somebody works there.
const LOCK: &str = "lock";

/// A folder beside the target in which the file grows. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: PathBuf,
    /// Locked as long as it is open, so that what a killed copy has left is known for it.
    _lock: File,
    pub(super) found_remains: bool,
}

impl Workshop {
    /// One for a dry run, which touches nothing where the target is.
    pub(super) fn elsewhere() -> Result<Self, CopyError> {
        let place = std::env::temp_dir();
        loop {
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place);
            let made = made.map_err(at(&place))?;
            let lock = match lock(made.path()) {
                Ok(lock) => lock,
                // Another run has swept it in the moment before it was locked.
                Err(CopyError::Locked) => continue,
                Err(error) => return Err(error),
            };
            let owner = made.path().metadata().map_err(at(made.path()))?.uid();
            sweep(&place, owner);
            return Ok(Self {
                folder: made.keep(),
                _lock: lock,
                found_remains: false,
            });
        }
    }

    /// Where a copy to this file grows.
    fn folder_of(target: &Path) -> PathBuf {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        target.with_file_name(format!(".{name}.copying"))
    }

    /// What a killed copy has left, in words, unless one is under way.
    pub(super) fn remains(target: &Path) -> Result<Option<String>, CopyError> {
        let folder = Self::folder_of(target);
        let lock = match File::open(folder.join(LOCK)) {
            Ok(lock) => lock,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(at(&folder)(source)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Some(format!("remove {}", folder.display()))),
            Err(fs::TryLockError::WouldBlock) => Err(CopyError::Locked),
            Err(fs::TryLockError::Error(source)) => Err(at(&folder)(source)),
        }
    }

    pub(super) fn open(target: &Path) -> Result<Self, CopyError> {
        let folder = Self::folder_of(target);
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&folder);
        made.map_err(at(&folder))?;
        let lock = lock(&folder)?;
        let lock_path = folder.join(LOCK);
        let mut found_remains = false;
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if path != lock_path {
                found_remains = true;
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(Self {
            folder,
            _lock: lock,
            found_remains,
        })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("database.db")
    }

    /// Gives the file its name, for good.
    pub(super) fn publish(&self, target: &Path, replaces: bool) -> Result<(), CopyError> {
        let file = self.database();
        let log = self.folder.join("database.db-wal");
        if fs::metadata(&log).is_ok_and(|meta| meta.len() > 0) {
            let open = io::Error::other("the new file is still open, and part of it is in its log");
            return Err(at(&log)(open));
        }
        File::open(&file)
            .and_then(|f| f.sync_all())
            .map_err(at(&file))?;
        if replaces {
            fs::rename(&file, target).map_err(at(target))?;
        } else {
            // Unlike a rename it does not replace what appeared meanwhile.
            fs::hard_link(&file, target).map_err(at(target))?;
            fs::remove_file(&file).map_err(at(&file))?;
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(at(folder))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the folder of a copy stays");
        }
    }
}

/// Takes a folder for this process.
fn lock(folder: &Path) -> Result<File, CopyError> {
    let path = folder.join(LOCK);
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let lock = match opened {
        Ok(lock) => lock,
        // Whoever worked in the folder is just removing it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(CopyError::Locked),
        Err(source) => return Err(at(&path)(source)),
    };
    match lock.try_lock() {
        Ok(()) if is_at(&lock, &path) => Ok(lock),
        Ok(()) | Err(fs::TryLockError::WouldBlock) => Err(CopyError::Locked),
        Err(fs::TryLockError::Error(source)) => Err(at(&path)(source)),
    }
}

/// Whether a file is still the one of this name: a lock on one that was removed keeps nobody out.
fn is_at(file: &File, path: &Path) -> bool {
    let which = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(file), Ok(there)) => which(file) == which(there),
        _ => false,
    }
}

/// Removes what dry runs of this user that were killed have left. Others' folders are not even looked
/// into: anything may be in them.
fn sweep(place: &Path, owner: u32) {
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_own = |meta: fs::Metadata| meta.is_dir() && meta.uid() == owner;
        if !is_named || !entry.metadata().is_ok_and(is_own) {
            continue;
        }
        let folder = entry.path();
        // The lock is kept until the folder is gone, so that nobody begins to work there meanwhile.
        if let Some(_lock) = deserted(&folder) {
            tracing::info!(folder = %folder.display(), "removing what a dry run has left");
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::debug!(%error, "it stays");
            }
        }
    }
}

/// The lock of a folder in which nobody works any more.
fn deserted(folder: &Path) -> Option<File> {
    let lock = File::open(folder.join(LOCK)).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<'_> {
    move |source| CopyError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(place: &Path, name: &str) -> PathBuf {
        let folder = place.join(format!("{PREFIX}{name}"));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn nobody_takes_a_folder_that_is_being_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = folder(place.path(), "a");
        let taken = lock(&folder).unwrap();
        assert!(deserted(&folder).is_none());
        drop(taken);
        let removing = deserted(&folder).unwrap();
        assert!(matches!(lock(&folder), Err(CopyError::Locked)));
        fs::remove_file(folder.join(LOCK)).unwrap();
        assert!(!is_at(&removing, &folder.join(LOCK)));
        // Another one of its name is not the one that is held.
        let taken = lock(&folder).unwrap();
        assert!(is_at(&taken, &folder.join(LOCK)) && !is_at(&removing, &folder.join(LOCK)));
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(lock(&folder), Err(CopyError::Locked)));
    }

    #[test]
    fn only_own_folders_that_are_deserted_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let owner = place.path().metadata().unwrap().uid();
        let [left, used, new] = ["left", "used", "new"].map(|name| folder(place.path(), name));
        for folder in [&left, &used] {
            drop(lock(folder).unwrap());
        }
        let _lock = lock(&used).unwrap();
        sweep(place.path(), owner + 1);
        assert!(left.exists());
        sweep(place.path(), owner);
        assert!(!left.exists() && used.exists() && new.exists());
    }
}
