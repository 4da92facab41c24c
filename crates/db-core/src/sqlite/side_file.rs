//! Files beside a database, on which programs lock each other out.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Opens the file that is called like a SQLite database with `ending` behind it, to read and write,
/// and makes it if it is not there.
///
/// Whoever may write the database may open it, and nobody else: its mode, owner and group are those
/// of the database, as far as this program may set them, without the users who may only read. These
/// could hold up all writers with a lock. What the database allows may change later, so a file that
/// is there is brought up to date.
///
/// # Errors
/// What the system says; the database has to be there.
pub fn open_side_file(database: &Path, ending: &str) -> io::Result<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(PathBuf::from(path))?;
    share(&file, &fs::metadata(database)?)?;
    Ok(file)
}

/// Gives the file to those who may write the database. That it belongs to somebody else, who alone
/// may do that, is no error.
#[cfg(unix)]
fn share(file: &File, database: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let owners = |meta: &fs::Metadata| (meta.uid(), meta.gid());
    let mut own = file.metadata()?;
    if owners(&own) != owners(database) {
        let (owner, group) = owners(database);
        // Only root gives a file away; a member of the group may hand it to that.
        let given =
            fchown(file, Some(owner), Some(group)).or_else(|_| fchown(file, None, Some(group)));
        if given.is_ok() {
            own = file.metadata()?;
        }
    }
    let mut mode = writers(database.mode());
    if own.gid() != database.gid() {
        // Another group than the one that is meant.
        mode &= !0o070;
    }
    if own.mode() & 0o777 != mode
        && let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode))
        && error.kind() != io::ErrorKind::PermissionDenied
    {
        return Err(error);
    }
    Ok(())
}

#[cfg(not(unix))]
fn share(_file: &File, _database: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// The permissions of a file for those who may write one with these.
#[cfg(unix)]
const fn writers(mode: u32) -> u32 {
    let writers = mode & 0o222;
    writers | writers << 1
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn whoever_may_write_the_database_may_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        fs::write(&database, "").unwrap();
        let beside = folder.path().join("x.db-turn");
        for (mode, expected) in [
            (0o600, 0o600),
            (0o660, 0o660),
            (0o666, 0o666),
            (0o664, 0o660),
            (0o644, 0o600),
            (0o750, 0o600),
        ] {
            fs::set_permissions(&database, fs::Permissions::from_mode(mode)).unwrap();
            for is_new in [false, true] {
                if is_new {
                    fs::remove_file(&beside).unwrap();
                }
                let file = open_side_file(&database, "-turn").unwrap();
                let found = file.metadata().unwrap().mode() & 0o777;
                assert_eq!(found, expected, "{mode:o}: {found:o}, new: {is_new}");
            }
        }
    }
}
