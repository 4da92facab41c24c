//! A private file that is not yet what it will be.
//!
//! It is hidden, and locked by the process that writes it, so that one whose lock is free is a dead
//! process's and can be taken away.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What the name of each draft ends with; SQLite puts its own files beside it, with more behind.
const ENDING: &str = ".partial";
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Names are random; another one is tried so often.
const TRIES: u32 = 16;

/// A private file (0600), removed when it is dropped unless it was published or kept.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    /// Open for as long as the draft lives, for its lock.
    file: File,
    keep: bool,
}

impl Draft {
    /// Makes one in this folder, which is made (0700) if it is missing. `stem` tells what it is for.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new_in(folder: &Path, stem: &str) -> Result<Self, Error> {
        private_folder(folder)?;
        let mut random = fastrand::Rng::new();
        for _ in 0..TRIES {
            let path = folder.join(format!(".{stem}.{:016x}{ENDING}", random.u64(..)));
            let file = match private_file(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::io("create a file in", folder, e)),
            };
            // Between the two calls a sweep may have found it without a lock.
            if file.try_lock().is_ok() && is_there(&path, &file) {
                return Ok(Self {
                    path,
                    file,
                    keep: false,
                });
            }
        }
        let error = io::Error::new(ErrorKind::AlreadyExists, "no name is free");
        Err(Error::io("create a file in", folder, error))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its length.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn bytes(&self) -> Result<u64, Error> {
        let meta = self.file.metadata();
        Ok(meta.map_err(|e| Error::io("look at", &self.path, e))?.len())
    }

    /// Makes sure that its bytes are on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(|e| Error::io("sync", &self.path, e))
    }

    /// Gives it its name in the same folder, durably. One of that name is an error.
    ///
    /// # Errors
    /// [`Error::Io`]; it stays a draft then, and is removed.
    pub fn publish_as(mut self, path: &Path) -> Result<(), Error> {
        self.sync()?;
        rename_new(&self.path, path).map_err(|e| Error::io("write", path, e))?;
        self.keep = true;
        sync_folder(path)
    }

    /// Gives it another name in the same folder, durably, and leaves it open and locked there.
    ///
    /// # Errors
    /// [`Error::Io`]; it stays a draft then, and is removed.
    #[cfg(feature = "object-store")]
    pub(crate) fn keep_as(self, path: &Path) -> Result<File, Error> {
        let failed = |e| Error::io("keep", path, e);
        // The lock belongs to both handles.
        let file = self.file.try_clone().map_err(failed)?;
        self.replace(path)?;
        Ok(file)
    }

    /// Gives it its name in the same folder, durably. One of that name is replaced.
    ///
    /// # Errors
    /// [`Error::Io`]; it stays a draft then, and is removed.
    pub fn replace(mut self, path: &Path) -> Result<(), Error> {
        self.sync()?;
        fs::rename(&self.path, path).map_err(|e| Error::io("write", path, e))?;
        self.keep = true;
        sync_folder(path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        remove_with_side_files(&self.path);
    }
}

fn remove_with_side_files(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %path.display(), "a partial file cannot be removed");
    }
    for ending in BESIDE {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        // There is none as a rule.
        drop(fs::remove_file(beside));
    }
}

/// Takes drafts away whose makers are dead. Only their names and locks are looked at.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(draft) = draft_of(&path) else {
            continue;
        };
        if !entry.file_type().is_ok_and(|t| t.is_file()) {
            continue;
        }
        match File::open(&draft) {
            Ok(file) => {
                if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                    continue;
                }
                tracing::info!(file = %draft.display(), "removing what a dead process left");
                remove_with_side_files(&draft);
            }
            // Its draft is gone already.
            Err(e) if e.kind() == ErrorKind::NotFound => drop(fs::remove_file(&path)),
            Err(_) => {}
        }
    }
}

/// The draft that a file is, or belongs to.
fn draft_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let stem = BESIDE
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    // Other programs have hidden files that end so, but not with our random number.
    let (name, number) = stem.strip_suffix(ENDING)?.rsplit_once('.')?;
    let is_ours = number.len() == 16
        && number
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (name.starts_with('.') && is_ours).then(|| path.with_file_name(stem))
}

/// Whether the name still leads to this very file.
fn is_there(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => id(named) == id(open),
        _ => false,
    }
}

/// A new file of mode 0600, whatever the umask.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a folder of mode 0700, and those above it that are missing.
pub(crate) fn private_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    if folder.is_dir() {
        return Ok(());
    }
    builder
        .create(folder)
        .map_err(|e| Error::io("create the folder", folder, e))?;
    sync_folder(folder)
}

/// Renames, and fails if there is one of that name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes sure that the name of this file is on the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = folder_of(path);
    let failed = |e| Error::io("sync the folder", folder, e);
    match File::open(folder).map_err(failed)?.sync_all() {
        // Not every file system can.
        Err(e) if e.kind() != ErrorKind::InvalidInput => Err(failed(e)),
        _ => Ok(()),
    }
}
