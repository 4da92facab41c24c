//! A file that is to take the place of another one, in a private folder beside it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use db_core::{DatabaseUrl, EncryptionKey, folder};

use super::{alone, restore, swap};
use crate::error::Error;
use crate::store::Draft;

/// Whether a file is there and holds something.
pub(crate) fn is_taken(path: &Path) -> Result<bool, Error> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.len() > 0),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Whether a replacement could begin.
pub(crate) fn check(target: &Path) -> Result<(), Error> {
    alone::refuse_if_open(&restore::real(target)?)
}

/// The folder in which it grows.
#[derive(Debug)]
pub(crate) struct Beside {
    target: PathBuf,
    folder: PathBuf,
    url: DatabaseUrl,
    key: Option<EncryptionKey>,
    now: DateTime<Utc>,
    /// Locked for as long as it is open, so that what a dead process has left is known for it.
    _lock: File,
}

impl Beside {
    pub(crate) fn begin(
        target: &Path,
        key: Option<&EncryptionKey>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        // Through a link to the file itself: a rename would take the link's place.
        let target = restore::real(target)?;
        alone::refuse_if_open(&target)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let folder = target.with_file_name(format!(".{name}.replacing"));
        let failed = |doing| {
            let folder = folder.clone();
            move |e| Error::io(doing, &folder, e)
        };
        folder::create_private(&folder).map_err(failed("create"))?;
        let lock = open_lock(&folder.join("lock")).map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    what: target.display().to_string(),
                    holder: Some("another process that replaces it".to_owned()),
                });
            }
            Err(TryLockError::Error(e)) => return Err(failed("lock")(e)),
        }
        clear(&folder).map_err(failed("clear"))?;
        Ok(Self {
            url: DatabaseUrl::SqliteFile(folder.join("database.db")),
            key: key.cloned(),
            target,
            folder,
            now,
            _lock: lock,
        })
    }

    pub(crate) const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    pub(crate) fn take_place(self) -> Result<String, Error> {
        let stem = self.target.file_name().unwrap_or_default();
        let stem = format!("{}.replace", stem.to_string_lossy());
        let file = self.folder.join("database.db");
        let draft = Draft::of(&file, folder::of(&self.target), &stem)?;
        let place = swap::Place {
            target: &self.target,
            key: self.key.as_ref(),
            replace: true,
            application_id: None,
            now: self.now,
            kept_before: "copy",
            waits: false,
        };
        let kept = place.swap(draft)?;
        Ok(kept.unwrap_or_default().display().to_string())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a folder stays");
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    match folder::private_file(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => File::options().write(true).open(path),
        opened => opened,
    }
}

/// Takes away what a dead process has left.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == "lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
