//! Room on a disk, asked for before it is filled.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use crate::error::Error;

/// So much of a file system stays free, at the least and at the most: others write to it, too, and a
/// database that comes back needs room for its log.
const RESERVE: (u64, u64) = (1 << 20, 256 << 20);

/// Of what is free, the part that stays so.
const RESERVE_PART: u64 = 20;

/// What may be taken of so many free bytes.
fn usable(free: u64) -> u64 {
    let (least, most) = RESERVE;
    free.saturating_sub((free / RESERVE_PART).clamp(least, most))
}

/// Refuses to unpack so many bytes into a folder that has no room for them. How large a backup gets is
/// known: `decode` stops at the length that the manifest says, whatever a stream grows to. No ratio is
/// too high for a database of empty pages, so none is asked for.
pub(crate) fn ensure(folder: &Path, bytes: u64) -> Result<(), Error> {
    // Where it is not known, writing will tell.
    let Ok(space) = statvfs(folder) else {
        return Ok(());
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let usable = usable(free);
    if usable >= bytes {
        return Ok(());
    }
    let text = format!("{bytes} bytes are needed, and {usable} of {free} free ones may be used");
    let error = io::Error::new(io::ErrorKind::StorageFull, text);
    Err(Error::io("unpack into", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_room_is_not_taken() {
        const MIB: u64 = 1 << 20;
        assert_eq!(usable(0), 0);
        assert_eq!(usable(MIB), 0);
        assert_eq!(usable(10 * MIB), 9 * MIB);
        assert_eq!(usable(100 * MIB), 95 * MIB);
        assert_eq!(usable(1 << 40), (1 << 40) - 256 * MIB);
        let folder = tempfile::tempdir().unwrap();
        let space = statvfs(folder.path()).unwrap();
        let free = space.f_bavail * space.f_frsize;
        ensure(folder.path(), free / 2).unwrap();
        let error = ensure(folder.path(), free - MIB / 2).unwrap_err();
        assert!(
            matches!(&error, Error::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull),
            "{error}"
        );
    }
}
