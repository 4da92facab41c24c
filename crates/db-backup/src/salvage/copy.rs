//! A private copy of a database that nobody else has open.
//!
//! Closing a descriptor of a database file drops every POSIX lock that this process holds on it, so
//! the file is touched only when no connection of this process has it open, and no other process
//! either: the whole file is locked exclusively while it is copied, which is refused while any
//! connection to a file with a write-ahead log is open, or any transaction on one without.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use db_core::Interrupt;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::report::Unreadable;
use crate::Error;

const CHUNK: usize = 1 << 20;

/// What is given up where the disk gives nothing back: the unit in which systems read.
const BLOCK: usize = 4_096;

/// More parts than these are counted, and not named.
const MOST_PARTS: usize = 1_000;

/// Where Linux lists the open files of this process.
const OWN_FILES: &str = "/proc/self/fd";

/// A database with what lies beside it, copied.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) database: PathBuf,
    pub(super) log: Option<PathBuf>,
    pub(super) journal: Option<PathBuf>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) unreadable_bytes: u64,
}

/// Copies the database, its log and its journal into `folder`. What the disk does not give back is
/// zeros in the copy.
pub(super) fn take(database: &Path, folder: &Path, interrupt: &Interrupt) -> Result<Copy, Error> {
    refuse_own(database)?;
    let source = OpenOptions::new()
        .read(true)
        // An exclusive lock needs a descriptor that could write.
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(database)
        .map_err(|e| Error::io("open", database, e))?;
    match fcntl_lock(&source, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::AGAIN) => {
            return Err(Error::Locked {
                what: database.display().to_string(),
                holder: None,
            });
        }
        Err(e) => return Err(Error::io("lock", database, e.into())),
    }
    let mut copy = Copy {
        // The folder is beside the target, and the log belongs to the file behind the name.
        database: folder.join("damaged.db"),
        log: None,
        journal: None,
        unreadable: Vec::new(),
        unreadable_bytes: 0,
    };
    let to = copy.database.clone();
    copy.file(("database", &source), &to, interrupt)?;
    copy.log = copy.beside(("log", database, "-wal"), interrupt)?;
    copy.journal = copy.beside(("journal", database, "-journal"), interrupt)?;
    Ok(copy)
}

/// Refuses a file that this very process has open. Where the system does not tell, the caller's
/// promise has to do.
fn refuse_own(database: &Path) -> Result<(), Error> {
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let wanted = id(database).map_err(|e| Error::io("find", database, e))?;
    let Ok(open) = fs::read_dir(OWN_FILES) else {
        return Ok(());
    };
    for entry in open {
        let entry = entry.map_err(|e| Error::io("list", OWN_FILES, e))?;
        if id(&entry.path()).is_ok_and(|found| found == wanted) {
            return Err(Error::Locked {
                what: database.display().to_string(),
                holder: Some("this process".to_owned()),
            });
        }
    }
    Ok(())
}

impl Copy {
    fn beside(
        &mut self,
        (what, database, ending): (&'static str, &Path, &str),
        interrupt: &Interrupt,
    ) -> Result<Option<PathBuf>, Error> {
        let path = beside(database, ending);
        let source = match File::open(&path) {
            Ok(source) => source,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let to = beside(&self.database, ending);
        self.file((what, &source), &to, interrupt)?;
        Ok(Some(to))
    }

    fn file(
        &mut self,
        (what, source): (&'static str, &File),
        target: &Path,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let failed = |e| Error::io("copy to", target, e);
        let copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)
            .map_err(failed)?;
        let length = source.metadata().map_err(failed)?.len();
        let mut buffer = vec![0; CHUNK];
        let (mut at, mut by_blocks_to) = (0, 0);
        while at < length {
            if interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let size = if at < by_blocks_to { BLOCK } else { CHUNK };
            match source.read_at(&mut buffer[..size], at) {
                Ok(0) => break,
                Ok(count) => {
                    copy.write_all_at(&buffer[..count], at).map_err(failed)?;
                    at += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_of_disk(&e) && size > BLOCK => by_blocks_to = at + CHUNK as u64,
                Err(e) if is_of_disk(&e) => {
                    tracing::warn!(error = %e, what, at, "the disk does not give this back");
                    let next = (at + 1).next_multiple_of(BLOCK as u64).min(length);
                    self.lose(what, at, next - at);
                    at = next;
                }
                Err(e) => return Err(Error::io("read", what, e)),
            }
        }
        // What is missing at the end is zeros, too.
        copy.set_len(length).map_err(failed)
    }

    fn lose(&mut self, file: &'static str, from: u64, bytes: u64) {
        self.unreadable_bytes += bytes;
        let has_room = self.unreadable.len() < MOST_PARTS;
        match self.unreadable.last_mut() {
            Some(last) if last.file == file && last.from + last.bytes == from => {
                last.bytes += bytes;
            }
            _ if has_room => self.unreadable.push(Unreadable { file, from, bytes }),
            _ => {}
        }
    }
}

/// Whether the disk, or the file system's own check, refuses this part of the file.
fn is_of_disk(error: &io::Error) -> bool {
    let number = Errno::from_io_error(error);
    number.is_some_and(|number| {
        let is_data = number == Errno::IO || number == Errno::BADMSG;
        #[cfg(target_os = "linux")]
        let is_data = is_data || number == Errno::UCLEAN || number == Errno::NODATA;
        is_data
    })
}

/// The path with an ending behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
