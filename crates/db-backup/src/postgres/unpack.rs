//! Unpacks the tar of a base backup: files and folders only, inside the folder only, bounded.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::account::Account;
use crate::error::Error;

/// Files and folders in one archive: a server of a hundred thousand tables has fewer.
const MOST_ENTRIES: u64 = 20_000_000;

/// Bytes of a name: PostgreSQL's own paths are far below.
const MOST_NAME: usize = 1024;

/// Folders in a path.
const MOST_DEPTH: usize = 16;

/// Unpacks `archive`, at most `most` bytes of files, into the empty folder `into`; everything belongs
/// to `account` and is private to it. Returns the bytes of files.
///
/// The reader is read to its end, so that whoever counts or hashes what passes sees all of it.
pub(super) fn unpack(
    archive: impl Read,
    into: &Path,
    account: Account,
    most: u64,
) -> Result<u64, Error> {
    unpack_but(archive, (into, account), most, &mut |_, _| Ok(false))
}

/// Whether a file, of which the path in the folder is told, was taken, so that it is not written.
pub(super) type Taker<'t> = dyn FnMut(&Path, &mut dyn Read) -> Result<bool, Error> + 't;

/// The same, but for the files that somebody takes.
pub(super) fn unpack_but(
    mut archive: impl Read,
    (into, account): (&Path, Account),
    most: u64,
    taker: &mut Taker<'_>,
) -> Result<u64, Error> {
    let bytes = unpack_entries(&mut archive, (into, account), most, taker)?;
    std::io::copy(&mut archive, &mut std::io::sink()).map_err(|e| unreadable(&e))?;
    Ok(bytes)
}

fn unpack_entries(
    archive: &mut impl Read,
    (into, account): (&Path, Account),
    most: u64,
    taker: &mut Taker<'_>,
) -> Result<u64, Error> {
    let mut archive = Archive::new(archive);
    let mut total: u64 = 0;
    let mut count: u64 = 0;
    for entry in archive.entries().map_err(|e| unreadable(&e))? {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        count += 1;
        if count > MOST_ENTRIES {
            return Err(hostile(format!("it has more than {MOST_ENTRIES} entries")));
        }
        let inside = checked(&entry.path_bytes())?;
        let path = into.join(&inside);
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(&path, into, account)?,
            EntryType::Regular => {
                let size = entry.size();
                total = total.saturating_add(size);
                if total > most {
                    return Err(hostile(format!("it unpacks to more than {most} bytes")));
                }
                if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
                    return Err(hostile(format!(
                        "a file stands in a folder {} that is none",
                        parent.display()
                    )));
                }
                if !taker(&inside, &mut entry)? {
                    write_file(&mut entry, &path, size, account)?;
                }
            }
            // PostgreSQL writes links for tablespaces only, and such backups are not made.
            other => {
                return Err(hostile(format!(
                    "{} is neither a file nor a folder ({other:?})",
                    path.display()
                )));
            }
        }
    }
    Ok(total)
}

/// A path that stays inside: no root, no parent, no odd bytes.
fn checked(bytes: &[u8]) -> Result<PathBuf, Error> {
    let refuse = || {
        hostile(format!(
            "the name {:?} leads outside",
            String::from_utf8_lossy(bytes)
        ))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| refuse())?;
    if text.is_empty() || text.len() > MOST_NAME || text.chars().any(char::is_control) {
        return Err(refuse());
    }
    let mut clean = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(refuse());
            }
        }
    }
    if clean.components().count() > MOST_DEPTH {
        return Err(refuse());
    }
    Ok(clean)
}

fn make_folder(path: &Path, into: &Path, account: Account) -> Result<(), Error> {
    // `./` is the folder itself.
    if path == into {
        return Ok(());
    }
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound => hostile(format!(
            "the folder {} comes twice, or before its parent",
            path.display()
        )),
        _ => Error::io("make", path, e),
    })?;
    account.give(path)
}

fn write_file(
    entry: &mut impl Read,
    path: &Path,
    size: u64,
    account: Account,
) -> Result<(), Error> {
    let cannot = |e| Error::io("write", path, e);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => hostile(format!("{} comes twice", path.display())),
            _ => cannot(e),
        })?;
    let written = std::io::copy(entry, &mut file).map_err(cannot)?;
    if written != size {
        return Err(hostile(format!("{} is cut short", path.display())));
    }
    drop(file);
    account.give(path)
}

pub(super) fn unreadable(error: &std::io::Error) -> Error {
    hostile(format!("it cannot be read as tar: {error}"))
}

pub(super) fn hostile(what: String) -> Error {
    Error::damaged("the archive of the base backup", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one entry, with a name that no well-behaved writer would take.
    fn archive(name: &[u8], kind: EntryType, size: u64, link: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o777);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([b'x'; 512]);
        bytes.extend([0; 1024]);
        bytes
    }

    fn try_unpack(bytes: &[u8], most: u64) -> (tempfile::TempDir, Result<u64, Error>) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("in");
        std::fs::create_dir(&into).unwrap();
        let result = unpack(bytes, &into, Account::Own, most);
        (folder, result)
    }

    #[test]
    fn nothing_leads_outside() {
        for (name, kind) in [
            (&b"../evil"[..], EntryType::Regular),
            (b"/tmp/evil", EntryType::Regular),
            (b"a/../../evil", EntryType::Regular),
            (b"base/evil", EntryType::Regular),
            (b"new\nline", EntryType::Regular),
            (b"link", EntryType::Symlink),
            (b"link", EntryType::Link),
            (b"pipe", EntryType::Fifo),
            (b"device", EntryType::Char),
            (b"../evil", EntryType::Directory),
        ] {
            let (folder, result) = try_unpack(&archive(name, kind, 5, b"/etc/passwd"), 1 << 20);
            assert!(
                matches!(result, Err(Error::Damaged { .. })),
                "{name:?} {result:?}"
            );
            assert_eq!(folder.path().read_dir().unwrap().count(), 1);
            assert_eq!(folder.path().join("in").read_dir().unwrap().count(), 0);
        }
    }

    #[test]
    fn sizes_are_bounded_and_files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let plain = archive(b"./file", EntryType::Regular, 512, b"");
        let (folder, result) = try_unpack(&plain, 512);
        assert_eq!(result.unwrap(), 512);
        let mode = folder
            .path()
            .join("in/file")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_folder, result) = try_unpack(&plain, 511);
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("more than 511 bytes")
        );
        let (_folder, result) = try_unpack(&plain[..700], 512);
        assert!(result.is_err());
        let huge = archive(b"file", EntryType::Regular, u64::from(u32::MAX), b"");
        assert!(try_unpack(&huge, 1 << 20).1.is_err());
        let mut twice = plain[..1024].to_vec();
        twice.extend(&plain);
        assert!(
            try_unpack(&twice, 4096)
                .1
                .unwrap_err()
                .to_string()
                .contains("comes twice")
        );
    }
}
