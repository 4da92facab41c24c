//! A copy of a SQLite file, for checks that read all of it: on the live file they would hold a
//! snapshot for as long as they take, and the write-ahead log would grow meanwhile.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use db_core::{Conn, Connection, OnlineCopy};
use tempfile::TempDir;

use super::super::query::{Trouble, size};
use super::super::{Space, Target};

/// Pages of one step: a few milliseconds of work.
const PAGES: u32 = 1_000;

/// What stays free on the disk of the copy.
const SPARE: u64 = 64 << 20;

/// The file of the copy, in a folder that only this user may enter.
const NAME: &str = "copy.db";

/// A copy, gone when it is dropped. That of an encrypted file has the same key.
pub(crate) struct Copy {
    /// Before the folder, which is removed.
    connection: Connection,
    _folder: TempDir,
}

impl Copy {
    /// Copies every page as it is, under one snapshot.
    pub(crate) fn make(target: &Target) -> Result<Self, Trouble> {
        let Some(source) = target.url.path() else {
            return Err(Trouble::Other("only a SQLite file is copied".to_owned()));
        };
        let folder = tempfile::Builder::new()
            .prefix("bitcraps-health-")
            .tempdir_in(&target.scratch)
            .map_err(|e| unwritable(&target.scratch, &e))?;
        ensure_room(target, source, folder.path())?;
        let path = folder.path().join(NAME);
        private(&path).map_err(|e| unwritable(&path, &e))?;
        let mut copy = OnlineCopy::begin(&target.url, &path, target.key(), &target.interrupt)?;
        while !copy.step(PAGES)?.finished {}
        copy.finish()?;
        Ok(Self {
            connection: Connection::open_immutable(&path, &target.interrupt, target.key())?,
            _folder: folder,
        })
    }

    /// Asks the copy.
    pub(crate) fn ask<T>(
        &mut self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        f(&mut self.connection.conn())
    }
}

/// A check must not fill the disk that it warns about.
fn ensure_room(target: &Target, source: &Path, folder: &Path) -> Result<(), Trouble> {
    let mut log = source.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let needed = length(source) + length(Path::new(&log)) + SPARE;
    let Space { free, .. } = (target.space)(folder).map_err(|e| unwritable(folder, &e))?;
    if free < needed {
        let (needed, free, place) = (size(needed), size(free), target.scratch.display());
        return Err(Trouble::Other(format!(
            "a copy needs {needed}, and {free} are free at {place}: set TMPDIR to another disk"
        )));
    }
    Ok(())
}

fn private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn unwritable(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Other(format!("{}: {error}", path.display()))
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy").finish_non_exhaustive()
    }
}
