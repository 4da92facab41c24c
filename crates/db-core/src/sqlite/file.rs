//! The file behind a SQLite database: found, or created privately.
//!
//! The database file itself is never opened here: one `open` and `close` beside SQLite drops every
//! POSIX lock that this process holds on it (docs/adr/0003). `stat` is enough.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Access;
use crate::error::{Error, ErrorKind};
use crate::folder::{self, create_private_with, private_file};

/// Checks or creates the file, and returns the URI with which SQLite opens it.
pub(super) fn prepare(path: &Path, access: Access) -> Result<String, Error> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && dangling(path).is_some() => {
            Err(from_io(path, &e))
        }
        Ok(meta) if meta.is_dir() => Err(Error::new(
            ErrorKind::CannotOpen,
            format!("{} is a folder", path.display()),
        )
        .with_hint("name the database file in it")),
        Ok(_) => Ok(uri(path, access)),
        Err(e) if e.kind() == io::ErrorKind::NotFound && access == Access::Create => {
            create(path, &mut folder::sync).map_err(|e| from_io(path, &e))?;
            Ok(uri(path, access))
        }
        Err(e) => Err(from_io(path, &e)),
    }
}

/// The one file of an open database, whatever its name comes to mean later: a working directory
/// changes, a link is set to another file, a backup is moved into the place.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// Absolute, and through no link.
    path: PathBuf,
    id: FileId,
}

/// Which file stands behind a name: device and inode.
#[cfg(unix)]
type FileId = (u64, u64);
/// Which file stands behind a name is not told here.
#[cfg(not(unix))]
type FileId = ();

impl Pinned {
    /// The file behind this name, created if it is not there and may be.
    pub(super) fn open_file(path: &Path, access: Access) -> Result<Self, Error> {
        prepare(path, access)?;
        let path = path.canonicalize().map_err(|e| from_io(path, &e))?;
        let id = id(&path).map_err(|e| from_io(&path, &e))?;
        Ok(Self { path, id })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it once more, by the URI that `open` is given, and makes sure that it was this file.
    ///
    /// # Errors
    /// `CannotOpen` when another file, or none, has its name by now; what `open` says.
    pub(super) fn open<T>(&self, open: impl FnOnce(&str) -> Result<T, Error>) -> Result<T, Error> {
        self.check()?;
        let opened = open(&uri(&self.path, Access::ReadWrite))?;
        self.check()?;
        Ok(opened)
    }

    fn check(&self) -> Result<(), Error> {
        let shown = self.path.display();
        let what = match id(&self.path) {
            Ok(id) if id == self.id => return Ok(()),
            Ok(_) => "the file was replaced",
            Err(e) if e.kind() == io::ErrorKind::NotFound => "the file was taken away",
            Err(e) => return Err(from_io(&self.path, &e)),
        };
        Err(Error::new(
            ErrorKind::CannotOpen,
            format!("{shown}: {what} while the database was open"),
        )
        .with_hint("close the database before its file is moved or restored, and open it again"))
    }
}

fn id(path: &Path) -> io::Result<FileId> {
    let meta = fs::metadata(path)?;
    #[cfg(unix)]
    let id = {
        use std::os::unix::fs::MetadataExt;
        (meta.dev(), meta.ino())
    };
    #[cfg(not(unix))]
    let id = drop(meta);
    Ok(id)
}

/// Whether the system forbids reaching this path, or reading or writing what is there. A file that
/// cannot be opened for another reason (too many are open) is not forbidden.
pub(super) fn is_forbidden(path: &Path) -> bool {
    #[cfg(unix)]
    let asked = {
        use rustix::fs::{Access, access};
        access(path, Access::READ_OK | Access::WRITE_OK).map_err(io::Error::from)
    };
    #[cfg(not(unix))]
    let asked = fs::metadata(path);
    matches!(asked, Err(e) if e.kind() == io::ErrorKind::PermissionDenied)
}

/// The link on the way to this path that leads nowhere, and where it leads.
fn dangling(path: &Path) -> Option<(&Path, PathBuf)> {
    path.ancestors().find_map(|part| {
        let target = fs::read_link(part).ok()?;
        let leads = fs::metadata(part).map_err(|e| e.kind());
        (leads.err() == Some(io::ErrorKind::NotFound)).then_some((part, target))
    })
}

/// Creates an empty file of mode 0600 and the folders above it with mode 0700.
///
/// It is made under another name and then linked, so that no descriptor of the database's own
/// inode is ever closed while another thread may already hold SQLite's locks on it.
///
/// The folder of each new name is synced: a file is lost in a power cut, whatever was synced in it,
/// if its name is not on the disk. SQLite itself does that for the last folder only, and with
/// `synchronous = NORMAL` not before the first checkpoint.
fn create(path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder::of(path);
    create_private_with(folder, sync)?;
    let draft = folder.join(draft_name(path));
    drop(private_file(&draft)?);
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    unless_there(link_or(linked, || private_file(path).map(drop)))?;
    sync(folder)
}

/// A name that no other call has, in this process or another: two that shared a draft would take
/// it away from each other.
fn draft_name(path: &Path) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    // Process ids repeat, from one container to the next on a shared folder for example.
    let chance = RandomState::new().build_hasher().finish();
    format!(".{name}.{}.{call}.{chance:016x}", std::process::id())
}

/// The outcome of the link, or of `create` where the file system has no hard links (FAT, some
/// network drives), whatever error it says so with. Closing the descriptor that `create` opened
/// is a danger only to a thread that opened the file in the meantime, which nothing can avoid.
fn link_or(linked: io::Result<()>, create: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => create(),
        done => done,
    }
}

/// A file that another caller has made in the meantime is as good.
fn unless_there(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn from_io(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    if let Some((link, target)) = dangling(path) {
        let (link, target) = (link.display(), target.display());
        return Error::new(
            ErrorKind::CannotOpen,
            format!("{shown}: {link} is a link to {target}, and there is nothing of that name"),
        )
        .with_hint("put back what the link leads to, or remove the link");
    }
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(
            ErrorKind::DatabaseMissing,
            format!("there is no database file {shown}"),
        )
        .with_hint("check the path; `migrate` creates it, unless `create_if_missing` is off"),
        io::ErrorKind::PermissionDenied => Error::new(
            ErrorKind::PermissionDenied,
            format!("{shown}: permission denied"),
        )
        .with_hint("check the owner and mode of the file and its folder"),
        io::ErrorKind::ReadOnlyFilesystem => Error::new(
            ErrorKind::ReadOnly,
            format!("{shown}: the file system is read-only"),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
            ErrorKind::DiskFull,
            format!("{shown}: no space left on the device"),
        ),
        _ => Error::new(ErrorKind::Io, format!("{shown}: {error}")),
    }
}

/// A `file:` URI with the path percent-encoded, so that no character of it is taken for syntax.
fn uri(path: &Path, access: Access) -> String {
    let mode = match access {
        // A reader in WAL mode needs `-wal` and `-shm`. Opened with "ro" it makes them and leaves
        // them; opened with "rw" (and made `query_only` after) it takes them away again. Where they
        // are already, "ro" leaves a dead writer's log to the next writer.
        Access::ReadOnly if has_log(path) => "ro",
        // The file exists by now; SQLite must not make another one in its place.
        Access::ReadOnly | Access::ReadWrite | Access::Create => "rw",
    };
    let mut encoded = String::from("file:");
    let mut bytes = path.as_os_str().as_encoded_bytes();
    // After two slashes SQLite takes what follows for a host.
    while let [b'/', rest @ ..] = bytes
        && rest.first() == Some(&b'/')
    {
        bytes = rest;
    }
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                encoded.push(char::from(*byte));
            }
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                encoded.push('%');
                encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
                encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    format!("{encoded}?mode={mode}")
}

/// The URI of a file that nobody changes: SQLite takes no locks and makes no files beside it.
pub(super) fn immutable_uri(path: &Path) -> String {
    // The first mode that stands there counts.
    format!("{}&immutable=1", uri(path, Access::ReadOnly))
}

/// Whether there is a write-ahead log beside the file.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_in_front_are_one() {
        for path in ["/tmp/x.db", "//tmp/x.db", "///tmp/x.db"] {
            let uri = uri(Path::new(path), Access::ReadWrite);
            assert_eq!(uri, "file:/tmp/x.db?mode=rw");
        }
    }

    /// The names that are there when their folder is synced.
    #[test]
    fn every_folder_that_gets_a_new_name_is_synced() {
        let root = tempfile::tempdir().unwrap();
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        let path = root.path().join("a/b/new.db");
        let mut synced = Vec::new();
        let mut sync = |folder: &Path| {
            synced.push((folder.to_owned(), names(folder)));
            folder::sync(folder)
        };
        create(&path, &mut sync).unwrap();
        let expected = [("", "a"), ("a", "b"), ("a/b", "new.db")]
            .map(|(folder, name)| (root.path().join(folder), vec![name.to_owned()]));
        let tidied = |(folder, names): (PathBuf, _)| (folder.components().collect(), names);
        assert_eq!(synced, expected.map(tidied));

        let mut synced = Vec::new();
        let beside = root.path().join("a/b/other.db");
        create(&beside, &mut |folder| {
            synced.push(folder.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(synced, [root.path().join("a/b")]);
        let broken = root.path().join("c/new.db");
        let failed = create(&broken, &mut |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link.db");
        std::os::unix::fs::symlink("gone/real.db", &link).unwrap();
        let folder = root.path().join("data");
        std::os::unix::fs::symlink("/nowhere/at/all", &folder).unwrap();
        for (path, link, target) in [
            (link.clone(), &link, "gone/real.db"),
            (folder.join("x.db"), &folder, "/nowhere/at/all"),
        ] {
            for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
                let error = prepare(&path, access).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::CannotOpen);
                let said = format!("{} is a link to {target}, and", link.display());
                assert!(error.message().contains(&said), "{error}");
            }
            assert!(Pinned::open_file(&path, Access::Create).is_err());
        }
        // Nothing was made beside them.
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        // One that leads to a database is as good as that.
        fs::create_dir(root.path().join("gone")).unwrap();
        fs::write(root.path().join("gone/real.db"), "").unwrap();
        prepare(&link, Access::Create).unwrap();
    }

    #[test]
    fn without_hard_links_the_file_is_made_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.db");
        let unsupported = || Err(io::ErrorKind::Unsupported.into());
        let make = || private_file(&path).map(drop);
        unless_there(link_or(unsupported(), make)).unwrap();
        fs::write(&path, "something").unwrap();
        unless_there(link_or(unsupported(), make)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"something");
    }
}
