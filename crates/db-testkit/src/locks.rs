//! The locks of this process, as the kernel knows them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where SQLite keeps the locks that are shared: 510 bytes after the byte at 1 GiB + 2.
const SHARED_FIRST: u64 = 0x4000_0002;

/// Whether this process holds SQLite's shared lock on a database file.
///
/// Nobody holds one on a file that is not there. Every connection to a database with a log holds it, from its
/// first statement to its end, and one `open` and `close` of the file past SQLite drops it. Asked of the descriptors that are open: what `fdinfo`
/// tells of one is told in one moment, while `/proc/locks` is read in pieces, and a lock that moves because other
/// tests lock and unlock may be in none of them.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn holds_shared_lock(path: &Path) -> bool {
    let Some(file) = identity(path) else {
        return false;
    };
    let open = fs::read_dir("/proc/self/fd").unwrap_or_else(|error| panic!("/proc: {error}"));
    open.flatten()
        .filter(|descriptor| identity(&descriptor.path()) == Some(file))
        .any(|descriptor| {
            has_shared_lock(&Path::new("/proc/self/fdinfo").join(descriptor.file_name()))
        })
}

/// Device and inode; the file is not opened for them.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn has_shared_lock(fdinfo: &Path) -> bool {
    match fs::read_to_string(fdinfo) {
        Ok(text) => text.lines().any(is_shared_lock),
        // Closed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{}: {error}", fdinfo.display()),
    }
}

/// `lock: 1: POSIX  ADVISORY  READ 4711 fe:00:1234 1073741826 1073742335`
fn is_shared_lock(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["lock:", _, "POSIX", _, "READ", _, _, first, ..] = words[..] else {
        return false;
    };
    first.parse() == Ok(SHARED_FIRST)
}
