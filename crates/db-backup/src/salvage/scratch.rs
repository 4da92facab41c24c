//! The private folder beside the target in which a salvage works, and those of dead processes.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::Error;

const PREFIX: &str = ".salvage-";

/// Letters and digits behind it.
const RANDOM: usize = 6;

/// What the names in it begin with: a new database is made under a hidden one first. A folder with anything else in it
/// is none of ours.
const OWN: [&str; 3] = ["damaged.", "salvaged.db", ".salvaged.db."];

/// Another folder is made so often, if a sweep was faster.
const TRIES: u32 = 16;

/// A folder of mode 0700 that is gone when it is dropped; its lock says that somebody works in it.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one in `folder`, from which it first takes what dead processes left.
    pub(super) fn new_in(folder: &Path) -> Result<Self, Error> {
        sweep(folder);
        let failed = |e| Error::io("make a folder in", folder, e);
        for _ in 0..TRIES {
            let scratch = tempfile::Builder::new()
                .prefix(PREFIX)
                .rand_bytes(RANDOM)
                .tempdir_in(folder)
                .map_err(failed)?;
            let Ok(lock) = File::open(scratch.path()) else {
                continue;
            };
            // Between the two calls a sweep may have found it without a lock.
            if lock.try_lock().is_ok() && is_there(scratch.path(), &lock) {
                return Ok(Self {
                    folder: scratch,
                    _lock: lock,
                });
            }
        }
        Err(failed(std::io::ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn is_there(path: &Path, open: &File) -> bool {
    match (fs::symlink_metadata(path), open.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_named_so = random.is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if !is_named_so || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) || !holds_only_ours(&path) {
            continue;
        }
        tracing::info!(folder = %path.display(), "removing what a dead salvage left");
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(%error, folder = %path.display(), "it cannot be removed");
        }
    }
}

fn holds_only_ours(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.all(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let is_ours = |name: &str| OWN.iter().any(|own| name.starts_with(own));
            name.to_str().is_some_and(is_ours)
        })
    })
}
