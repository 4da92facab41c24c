//! Folders and files that only their owner may read, and whose names survive a loss of power.
//!
//! A file is lost in a power cut, whatever was synced in it, if its name is not on the disk: the
//! folder of each new name is synced, and so is the one above each new folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The folder of a file.
#[must_use]
pub fn of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder (0700), and those above it that are missing, durably. One that is there stays as it
/// is.
///
/// # Errors
/// What the system says of making it or of syncing the folders above it.
pub fn create_private(folder: &Path) -> io::Result<()> {
    create_private_with(folder, &mut sync)
}

/// As [`create_private`], with another way to sync.
pub(crate) fn create_private_with(
    folder: &Path,
    sync: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let above = of(folder);
    let made = match builder.create(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && above != folder => {
            create_private_with(above, sync)?;
            builder.create(folder)
        }
        made => made,
    };
    match made {
        Ok(()) => sync(above),
        // It is there, whatever kept it from being made.
        Err(_) if folder.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

/// Makes sure that the names in a folder are on the disk, as far as the file system can tell.
///
/// # Errors
/// What the system says; not that the folder may not be read, nor that its file system cannot sync
/// folders.
#[cfg(unix)]
pub fn sync(folder: &Path) -> io::Result<()> {
    // To create in a folder takes no right to read it. SQLite passes over that, too.
    match File::open(folder).and_then(|opened| opened.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
            ) =>
        {
            tracing::debug!(%error, folder = %folder.display(), "a folder cannot be synced");
            Ok(())
        }
        done => done,
    }
}

/// There is no way to.
#[cfg(not(unix))]
pub fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// A file that this process has locked, until it is dropped.
///
/// To close a file is not enough: a process that another thread is just starting has it open as well, for
/// the moment until it runs its own program, and keeps the lock for as long.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Of a file whose [`File::try_lock`] or [`File::lock`] succeeded.
    #[must_use]
    pub const fn of(locked: File) -> Self {
        Self(locked)
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "a lock is given back by closing its file only");
        }
    }
}

/// A new file that only its owner may read and write (0600), whatever the umask; one that is there is
/// an error and stays as it is.
///
/// # Errors
/// What the system says.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::LockedFile;

    #[test]
    fn a_lock_ends_whoever_still_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = super::private_file(&path).unwrap();
        file.lock().unwrap();
        let locked = LockedFile::of(file);
        // Shares the open file, as a process does that is being started.
        let shared = locked.try_clone().unwrap();
        let other = File::open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(locked);
        other.try_lock().unwrap();
        drop(shared);
    }
}
