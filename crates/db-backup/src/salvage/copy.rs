//! A private copy of a database that nobody else has open.
//!
//! Closing a descriptor of a database file drops every POSIX lock that this process holds on it, so
//! the file is touched only when no connection of this process has it open, and no other process
//! either: the whole file is locked exclusively while it is copied, which is refused while any
//! connection to a file with a write-ahead log is open, or any transaction on one without.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use db_core::Interrupt;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::Error;

const CHUNK: usize = 1 << 20;

/// Where Linux lists the open files of this process.
const OWN_FILES: &str = "/proc/self/fd";

/// A database and its log, copied.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) database: PathBuf,
    pub(super) log: Option<PathBuf>,
}

/// Copies the database and its log into `folder`.
pub(super) fn take(database: &Path, folder: &Path, interrupt: &Interrupt) -> Result<Copy, Error> {
    refuse_own(database)?;
    let mut source = OpenOptions::new()
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
    // The folder is beside the target, and the log belongs to the file behind the name.
    let copied = folder.join("damaged.db");
    copy(&mut source, &copied, interrupt)?;
    let log_path = beside(database, "-wal");
    let log = match File::open(&log_path) {
        Ok(mut log) => {
            let copied = folder.join("damaged.db-wal");
            copy(&mut log, &copied, interrupt)?;
            Some(copied)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("open", &log_path, e)),
    };
    Ok(Copy {
        database: copied,
        log,
    })
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

fn copy(source: &mut File, target: &Path, interrupt: &Interrupt) -> Result<(), Error> {
    let failed = |e| Error::io("copy to", target, e);
    source.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(failed)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => copy.write_all(&buffer[..count]).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// The path with an ending behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
