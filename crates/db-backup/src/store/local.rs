//! A folder of this machine.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use db_core::folder::{self, LockedFile};

use super::draft::{self, Draft};
use super::{Lock, Store, StoredFile, WriteMode};
use crate::error::Error;
use crate::name::{self, FileName};

/// The file whose lock keeps creating and pruning apart; it holds who has it.
const LOCK: &str = ".lock";

/// What is read of a lock file to name its holder.
const LONGEST_HOLDER: u64 = 200;

/// A folder. It is made (0700) when something is first written.
#[derive(Debug, Clone)]
pub struct LocalStore {
    folder: PathBuf,
}

impl LocalStore {
    /// The store in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The path of a name, if it stays inside.
    fn path(&self, file: &str) -> Result<PathBuf, Error> {
        if name::is_safe(file) {
            Ok(self.folder.join(file))
        } else {
            Err(Error::damaged(file, "it is no name of a stored file"))
        }
    }
}

/// What root notes of a look at another user's backup has to be read by who owns that.
fn give_to_owner_of(record: &Draft, manifest: &Path) {
    let given = fs::metadata(manifest).and_then(|manifest| record.give_to_owner_of(&manifest));
    if let Err(error) = given {
        tracing::debug!(%error, manifest = %manifest.display(), "a record stays its writer's");
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.folder.display().to_string()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        self.list_starting("")
    }

    fn list_starting(&self, with: &str) -> Result<Vec<StoredFile>, Error> {
        let failed = |e| Error::io("read the folder", &self.folder, e);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !name.starts_with(with) {
                continue;
            }
            // A link may lead to a backup on another disk.
            let meta = match fs::metadata(entry.path()) {
                Ok(meta) if meta.is_file() && name::is_safe(&name) => meta,
                Ok(_) => continue,
                // A link to a disk that is away is there, and cannot be read. What cannot be looked at
                // must not pass for missing.
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    match fs::symlink_metadata(entry.path()) {
                        Ok(link) => link,
                        Err(_) => continue,
                    }
                }
                Err(e) => return Err(failed(e)),
            };
            files.push(StoredFile {
                name,
                bytes: meta.len(),
                modified: meta.modified().ok().map(Into::into),
            });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn read(&self, file: &str) -> Result<Box<dyn Read + Send>, Error> {
        let path = self.path(file)?;
        let failed = |e| Error::io("read", &path, e);
        let not_found = || Error::NotFound {
            name: file.to_owned(),
            place: self.location(),
        };
        match fs::metadata(&path) {
            // Opening a pipe would wait for ever.
            Ok(meta) if !meta.is_file() => Err(not_found()),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(not_found()),
            Err(e) => Err(failed(e)),
            Ok(_) => Ok(Box::new(File::open(&path).map_err(failed)?)),
        }
    }

    fn publish(
        &self,
        file: Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let bytes = file.bytes()?;
        file.publish_as(&path)?;
        progress(bytes)
    }

    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error> {
        let path = self.path(name)?;
        let draft = self.draft()?;
        draft
            .file()
            .write_all(bytes)
            .map_err(|e| Error::io("write", &path, e))?;
        if let Some(record @ (FileName::Verification(_) | FileName::Failure(_))) =
            FileName::parse(name)
        {
            let manifest = self.path(&record.backup().manifest())?;
            give_to_owner_of(&draft, &manifest);
        }
        match mode {
            WriteMode::Create => draft.publish_as(&path),
            WriteMode::Replace => draft.replace(&path),
        }
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => draft::sync_folder(&path),
        }
    }

    fn settle(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name)?;
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|e| Error::io("sync", &path, e))?;
        draft::sync_folder(&path)
    }

    fn require(&self) -> Result<(), Error> {
        match fs::metadata(&self.folder) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(Error::usage(
                format!("{} is no folder", self.folder.display()),
                "name the folder of the backups",
            )),
            Err(e) => Err(Error::io("look at the folder", &self.folder, e)),
        }
    }

    fn draft(&self) -> Result<Draft, Error> {
        Draft::new_in(&self.folder, "backup")
    }

    fn lock(&self, why: &str) -> Result<Lock, Error> {
        draft::private_folder(&self.folder)?;
        let path = self.folder.join(LOCK);
        let failed = |e| Error::io("lock", &path, e);
        let file = match folder::private_file(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => File::options()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(failed)?,
            made => made.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without it the error is only less helpful.
                drop((&file).take(LONGEST_HOLDER).read_to_string(&mut holder));
                let holder = holder.trim();
                return Err(Error::Locked {
                    what: self.location(),
                    holder: (!holder.is_empty()).then(|| holder.to_owned()),
                });
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let file = LockedFile::of(file);
        let holder = format!("{why} (process {})\n", std::process::id());
        let noted = file
            .set_len(0)
            .and_then(|()| (&*file).seek(SeekFrom::Start(0)))
            .and_then(|_| (&*file).write_all(holder.as_bytes()));
        if let Err(error) = noted {
            tracing::debug!(%error, "the holder of a lock cannot be noted");
        }
        draft::sweep(&self.folder);
        Ok(Lock::new(file))
    }
}
