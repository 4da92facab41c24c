//! Where files of an export may stand: not in the place of a database, and not beside drafts that
//! killed exports have left.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use db_core::folder::LockedFile;
use db_core::{DatabaseUrl, folder};

use crate::error::Error;

/// What the names of drafts begin with; letters and digits follow.
pub(super) const DRAFT: &str = ".bitcraps-export.";

/// What SQLite keeps beside a database, under its name with this at the end.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How the files of SQLite begin: a database, its write-ahead log in both byte orders, its journal.
/// <https://www.sqlite.org/fileformat2.html>
const HEADS: [&[u8]; 4] = [
    b"SQLite format 3\0",
    b"\x37\x7f\x06\x82",
    b"\x37\x7f\x06\x83",
    b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",
];

/// How often, and after how long, a folder is asked for again that another export is clearing.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The place that an export may take, held until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    source: Option<PathBuf>,
    held: Option<(PathBuf, Option<LockedFile>)>,
}

impl Room {
    /// For an export of this database.
    pub(super) fn beside(url: &DatabaseUrl) -> Self {
        Self {
            source: url.path().map(Path::to_owned),
            held: None,
        }
    }

    /// Refuses a file that is a database, the exported one before all, or belongs to one.
    pub(super) fn refuse_databases(&self, path: &Path) -> Result<(), Error> {
        let shown = path.display();
        let reason = if self.is_source(path) {
            format!("{shown} is the database that is exported, or belongs to it")
        } else if is_of_sqlite(path) {
            format!("{shown} is a SQLite database, or belongs to one")
        } else if let Some(database) =
            main_of(path).filter(|path| self.is_source(path) || is_of_sqlite(path))
        {
            format!("{shown} belongs to the database {}", database.display())
        } else {
            return Ok(());
        };
        let reason = format!("{reason}, which an export does not overwrite; name another file");
        Err(Error::Usage(reason))
    }

    /// Keeps others from taking this export's drafts in a folder for left over ones, and takes those
    /// away, if nobody else is writing there.
    pub(super) fn hold(&mut self, folder: &Path) {
        if self.held.as_ref().is_none_or(|(held, _)| held != folder) {
            self.held = Some((folder.to_owned(), hold(folder)));
        }
    }

    fn is_source(&self, path: &Path) -> bool {
        let Some(source) = &self.source else {
            return false;
        };
        // SQLite puts them beside the file itself, not beside a link to it.
        let file = fs::canonicalize(source).unwrap_or_else(|_| source.clone());
        let beside = BESIDE.iter().map(|end| {
            let mut name = OsString::from(&file);
            name.push(end);
            PathBuf::from(name)
        });
        is_same(path, &file) || beside.into_iter().any(|file| is_same(path, &file))
    }
}

/// Whether both names lead to one file, by links too.
fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(of_a), Ok(of_b)) => is_same_file((a, &of_a), (b, &of_b)),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same_file((_, a): (&Path, &Metadata), (_, b): (&Path, &Metadata)) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file((a, _): (&Path, &Metadata), (b, _): (&Path, &Metadata)) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The database to which a file of this name would belong.
fn main_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = BESIDE.iter().find_map(|end| name.strip_suffix(end))?;
    Some(path.with_file_name(name))
}

/// Not for a file that SQLite has open in this process: closing it here would drop its locks. The
/// exported one is known by [`Room::is_source`] before.
fn is_of_sqlite(path: &Path) -> bool {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path).is_ok_and(|about| about.is_file()) {
        return false;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && HEADS.iter().any(|known| head.starts_with(known))
}

/// Shares the folder with other exports. Without the right to read it, or where the file system has no
/// locks, it goes on without.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for a lock, which has no wait with an end"
)]
fn hold(folder: &Path) -> Option<LockedFile> {
    let held = File::open(folder).and_then(|opened| {
        // Every export shares the folder as long as it has a draft: alone in it, all drafts are of
        // killed ones.
        if opened.try_lock().is_ok() {
            let cleared = clear(folder);
            opened.unlock()?;
            cleared?;
        }
        for _ in 0..TRIES {
            if opened.try_lock_shared().is_ok() {
                return Ok(Some(LockedFile::of(opened)));
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Ok(None)
    });
    held.unwrap_or_else(|error| {
        tracing::debug!(%error, folder = %folder.display(), "a folder cannot be cleared");
        None
    })
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(DRAFT));
        let is_draft = rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric()));
        if is_draft && entry.file_type()?.is_file() {
            fs::remove_file(folder.join(&name))?;
        }
    }
    folder::sync(folder)
}
