//! A private file that is not yet what it will be.
//!
//! It is hidden, and locked by the process that writes it, so that one whose lock is free is a dead
//! process's and can be taken away.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use db_core::folder::{self, private_file};

use crate::error::Error;

/// What the name of each draft ends with; SQLite puts its own files beside it, with more behind.
const ENDING: &str = ".partial";
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Bytes that the disk is told of at once.
const BATCH: u64 = 16 << 20;

/// Names are random; another one is tried so often.
const TRIES: u32 = 16;

/// A private file (0600), removed when it is dropped unless it was published or kept, or had a name before.
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

    /// Takes over a finished file of the same file system, which nobody has open.
    pub(crate) fn of(file: &Path, folder: &Path, stem: &str) -> Result<Self, Error> {
        let mut draft = Self::new_in(folder, stem)?;
        draft.file = locked(file)?;
        fs::rename(file, &draft.path).map_err(|e| Error::io("take over", file, e))?;
        Ok(draft)
    }

    /// Takes over a finished file, which keeps its name until it is given another one: whoever is killed leaves it
    /// there, and nobody removes it.
    pub(crate) fn standing(file: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: file.to_owned(),
            file: locked(file)?,
            keep: true,
        })
    }

    /// Where it goes back to from a place in which it cannot stay; none if it is thrown away then.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.keep.then(|| self.path.clone())
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

    /// Writes to it from its beginning, and has the disk begin before the end.
    pub(crate) fn writer(&self) -> DraftWriter<'_> {
        DraftWriter {
            file: &self.file,
            written: 0,
            begun: 0,
        }
    }

    /// Its length.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn bytes(&self) -> Result<u64, Error> {
        let meta = self.file.metadata();
        Ok(meta.map_err(|e| Error::io("look at", &self.path, e))?.len())
    }

    /// Gives it to the owner of this file, who could not open it otherwise.
    pub(crate) fn give_to_owner_of(&self, other: &fs::Metadata) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = self.file.metadata()?;
        if (other.uid(), other.gid()) == (own.uid(), own.gid()) {
            return Ok(());
        }
        fchown(&self.file, Some(other.uid()), Some(other.gid()))
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
    /// [`Error::Io`]; it stays a draft then, and is removed, unless it was the folder that could not be
    /// synced: it is there then, and a loss of power may take it away.
    pub fn publish_as(mut self, path: &Path) -> Result<(), Error> {
        self.place_as(path)?;
        sync_folder(path)
    }

    /// The same, without making sure that the name is on the disk. When this fails, it is not there, and a draft still.
    pub(crate) fn place_as(&mut self, path: &Path) -> Result<(), Error> {
        self.sync()?;
        rename_new(&self.path, path).map_err(|e| Error::io("write", path, e))?;
        self.keep = true;
        Ok(())
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

/// Writes to a draft. A gigabyte that the disk hears of only at the [`Draft::sync`] at the end keeps
/// everybody waiting then.
#[derive(Debug)]
pub(crate) struct DraftWriter<'a> {
    file: &'a File,
    written: u64,
    /// Bytes that the disk was told of.
    begun: u64,
}

impl Write for DraftWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.written += written as u64;
        if self.written - self.begun >= BATCH {
            begin_to_write(self.file, self.begun, self.written - self.begun);
            self.begun = self.written;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Has the system write a part of a file without waiting for it, and forget it sooner than what the
/// database reads: on Linux both are what this advice does.
fn begin_to_write(file: &File, from: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Advice, fadvise};
        // Advice only: what matters is synced.
        let _taken = fadvise(
            file,
            from,
            std::num::NonZeroU64::new(bytes),
            Advice::DontNeed,
        );
    }
    #[cfg(not(target_os = "linux"))]
    let _: (&File, u64, u64) = (file, from, bytes);
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

/// Makes a folder of mode 0700, and those above it that are missing, durably.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    folder::create_private(path).map_err(|e| Error::io("create the folder", path, e))
}

/// Renames, and fails if there is one of that name.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
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
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(e),
        Err(_) => return rename_unless_there(from, to),
    }
    // It has its name; the other one is a draft's, which the next sweep takes away.
    if let Err(error) = fs::remove_file(from) {
        tracing::warn!(%error, file = %from.display(), "a partial file cannot be removed");
    }
    Ok(())
}

/// The same where a file has one name only, as on some file systems in user space: who comes between the look and the
/// rename is not seen.
fn rename_unless_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Err(e) if e.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(e) => Err(e),
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Makes sure that the name of this file is on the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let parent = folder::of(path);
    folder::sync(parent).map_err(|e| Error::io("sync the folder", parent, e))
}

/// A file that is taken over, with the lock of a draft.
fn locked(file: &Path) -> Result<File, Error> {
    let failed = |e| Error::io("take over", file, e);
    let taken = File::options().read(true).write(true).open(file);
    let taken = taken.map_err(failed)?;
    match taken.try_lock() {
        Ok(()) => Ok(taken),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            what: file.display().to_string(),
            holder: None,
        }),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
