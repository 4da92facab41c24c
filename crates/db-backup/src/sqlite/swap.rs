//! Putting a restored file in the place of a database, so that a kill at any point leaves the old one
//! or the new one, and the old one is kept.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Interrupt, folder};

use super::alone::Old;
use crate::error::Error;
use crate::room;
use crate::store::{
    Draft,
    draft::{rename_new, sync_folder},
};

/// What SQLite puts beside a file. A log that does not belong to it would be played into it.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

/// The names for old ones of one second.
const MOST_KEPT: u32 = 1_000;

/// Where a restored file goes, and what may stand there.
pub(super) struct Place<'a> {
    pub(super) target: &'a Path,
    pub(super) key: Option<&'a EncryptionKey>,
    /// Whether a database that is there may be replaced.
    pub(super) replace: bool,
    /// What the `application_id` of that one has to be, if it can be read.
    pub(super) application_id: Option<i32>,
    pub(super) now: DateTime<Utc>,
    /// What the old one is kept from, in the name that it gets.
    pub(super) kept_before: &'static str,
    /// Whether what cannot be given its place waits beside it, and is not thrown away.
    pub(super) waits: bool,
}

/// What stands between the name of a database and the time in that of one that waits for its place.
const WAITING: &str = ".restored-";

/// How times are written in names.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The place for which a file waits, told by its name.
pub(super) fn place_of(waiting: &Path) -> Option<PathBuf> {
    let name = waiting.file_name()?.to_str()?;
    let (target, time) = name.rsplit_once(WAITING)?;
    let time = time.split_once('-').map_or(time, |(time, _)| time);
    chrono::NaiveDateTime::parse_from_str(time, TIME).ok()?;
    (!target.is_empty()).then(|| waiting.with_file_name(target))
}

impl Place<'_> {
    /// Puts the draft in its place. Returns where the old database is kept, if there was one.
    /// [`Error::PlaceTaken`] if it waits.
    ///
    /// What was looked at before the backup was unpacked is looked at again, with the database locked:
    /// that may be hours ago.
    pub(super) fn swap(&self, draft: Draft) -> Result<Option<PathBuf>, Error> {
        // A link that leads nowhere is there, too.
        if fs::symlink_metadata(self.target).is_err() {
            return self.put_new(draft).map(|()| None);
        }
        if !self.replace {
            return Err(self.keep(draft, self.appeared()));
        }
        let before = id(self.target);
        // Dropped after `old`, whose locks would go with it.
        let mut read = None;
        let old = match Old::take(self.target, self.key) {
            Ok(old) => old,
            Err(error) => return Err(self.keep(draft, error)),
        };
        match self.replace(draft, &old, (before, &mut read)) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) => {
                if let Old::Sound(alone) = old {
                    alone.give_back();
                }
                Err(error)
            }
        }
    }

    /// What took hours to restore, and is proven, is not thrown away because its place cannot be taken, as when
    /// somebody has opened it in the last moment: it waits under a name of its own.
    fn keep(&self, draft: Draft, error: Error) -> Error {
        if !self.waits {
            return error;
        }
        let name = self.free_name(&format!("{WAITING}{}", self.now.format(TIME)));
        let kept = name.and_then(|name| draft.publish_as(&name).map(|()| name));
        let cure = match &error {
            Error::Locked { .. } => "stop who has it open",
            _ => "mend that",
        };
        match kept {
            Ok(name) => Error::PlaceTaken {
                error: Box::new(error),
                hint: format!(
                    "{cure}, then: bitcraps-db restore --finish '{}'; with --target elsewhere",
                    name.display().to_string().replace('\'', r"'\''")
                ),
                waits_as: name.display().to_string(),
            },
            Err(failed) => {
                tracing::warn!(error = %failed, "what was restored cannot be kept");
                error
            }
        }
    }

    /// Puts it where nothing is, and replaces nothing that comes there in this very moment.
    fn put_new(&self, mut draft: Draft) -> Result<(), Error> {
        let target = self.target;
        let aside = self.kept_name()?;
        let home = draft.home();
        let mut placed = false;
        let done = set_aside_beside(target, &aside)
            .and_then(|()| draft.place_as(target))
            .and_then(|()| {
                placed = true;
                sync_folder(target)
            })
            .and_then(|()| open(target, self.key));
        let Err(error) = done else {
            return Ok(());
        };
        if placed {
            log(match home {
                Some(home) => rename_new(target, &home),
                None => fs::remove_file(target),
            });
        }
        put_back_beside(target, &aside);
        match error {
            Error::Io { error, .. } if error.kind() == ErrorKind::AlreadyExists => {
                Err(self.keep(draft, self.appeared()))
            }
            error => Err(error),
        }
    }

    /// The old database stays locked by the caller meanwhile, and `read` open if it had to be read.
    fn replace(
        &self,
        draft: Draft,
        old: &Old,
        (before, read): (Option<(u64, u64)>, &mut Option<File>),
    ) -> Result<PathBuf, Error> {
        let target = self.target;
        let found = match old {
            Old::Sound(alone) => Some(alone.application_id()),
            Old::Broken => None,
        };
        let ready = refuse_foreign(target, found, self.application_id)
            .and_then(|()| take_owner(&draft, target))
            .and_then(|()| draft.sync())
            .and_then(|()| self.set_aside(before, read));
        let kept = match ready {
            Ok(kept) => kept,
            Err(error) => return Err(self.keep(draft, error)),
        };
        let home = draft.home();
        let put = draft.replace(target);
        let checked = put.and_then(|()| open(target, self.key));
        if let Err(error) = checked {
            go_back(target, home.as_deref());
            put_back(target, &kept, before);
            return Err(error);
        }
        Ok(kept)
    }

    /// Gives the old one a second name, and what lies beside it that one only. Where a file can have one name only it is
    /// a copy that gets it, so that there is a database in the place at each moment.
    fn set_aside(
        &self,
        before: Option<(u64, u64)>,
        read: &mut Option<File>,
    ) -> Result<PathBuf, Error> {
        let target = self.target;
        let kept = self.kept_name()?;
        match fs::hard_link(target, &kept) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::io("keep the old database as", &kept, e));
            }
            Err(_) => copy(target, &kept, read)?,
        }
        let found = match read {
            None => id(&kept),
            Some(file) => file.metadata().ok().as_ref().map(id_of),
        };
        let aside = sync_folder(target)
            .and_then(|()| {
                if before.is_none() || found == before {
                    return Ok(());
                }
                Err(Error::Locked {
                    what: target.display().to_string(),
                    holder: Some("somebody who put another file there".to_owned()),
                })
            })
            .and_then(|()| set_aside_beside(target, &kept));
        if let Err(error) = aside {
            put_back(target, &kept, found);
            return Err(error);
        }
        Ok(kept)
    }

    /// `<target>.before-<restore>-<time>`, which nothing has.
    fn kept_name(&self) -> Result<PathBuf, Error> {
        self.free_name(&format!(
            ".before-{}-{}",
            self.kept_before,
            self.now.format(TIME)
        ))
    }

    /// The name of the target with this ending, and with a number where that is taken.
    fn free_name(&self, ending: &str) -> Result<PathBuf, Error> {
        let target = self.target;
        let base = with_ending(target, ending);
        (1..MOST_KEPT)
            .map(|number| match number {
                1 => base.clone(),
                _ => with_ending(&base, &format!("-{number}")),
            })
            .find(|path| {
                fs::symlink_metadata(path).is_err()
                    && BESIDE.iter().all(|e| !with_ending(path, e).exists())
            })
            .ok_or_else(|| {
                Error::refused(
                    format!("{} was replaced too often", target.display()),
                    "remove what was kept beside it",
                )
            })
    }

    fn appeared(&self) -> Error {
        Error::refused(
            format!(
                "{} has appeared while the backup was unpacked",
                self.target.display()
            ),
            "name another --target, or confirm that it is to be replaced",
        )
    }
}

/// Refuses to replace the database of another application.
pub(super) fn refuse_foreign(
    target: &Path,
    found: Option<i32>,
    expected: Option<i32>,
) -> Result<(), Error> {
    match (found, expected) {
        (Some(found), Some(expected)) if found != expected => Err(Error::refused(
            format!(
                "{} belongs to another application: its application_id is {found}, the backup's {expected}",
                target.display()
            ),
            "name another --target, or move that file away",
        )),
        _ => Ok(()),
    }
}

/// Copies the old one, which nobody else can write meanwhile. It stays open: a file that is closed takes the locks of its
/// process along, also those of SQLite.
fn copy(target: &Path, kept: &Path, read: &mut Option<File>) -> Result<(), Error> {
    let failed = |e| Error::io("keep the old database as", kept, e);
    let old = read.insert(File::open(target).map_err(failed)?);
    let folder = folder::of(target);
    room::ensure(folder, old.metadata().map_err(failed)?.len())?;
    let stem = target.file_name().unwrap_or_default().to_string_lossy();
    let draft = Draft::new_in(folder, &format!("{stem}.before"))?;
    io::copy(old, &mut draft.file()).map_err(failed)?;
    take_owner(&draft, target)?;
    draft.publish_as(kept)
}

/// What was proven goes back to where it waited, if it has left it.
fn go_back(target: &Path, home: Option<&Path>) {
    if let Some(home) = home.filter(|home| fs::symlink_metadata(home).is_err()) {
        log(fs::hard_link(target, home).or_else(|_| rename_new(target, home)));
    }
}

/// The old one gets its name again, whatever has it now.
fn put_back(target: &Path, kept: &Path, old: Option<(u64, u64)>) {
    put_back_beside(target, kept);
    let is_there = old.is_some() && id(target) == old;
    log(if is_there {
        fs::remove_file(kept)
    } else {
        fs::rename(kept, target)
    });
}

/// So do the files beside it.
fn put_back_beside(target: &Path, kept: &Path) {
    for ending in BESIDE {
        let aside = with_ending(kept, ending);
        if aside.exists() {
            log(fs::rename(aside, with_ending(target, ending)));
        }
    }
}

fn log(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "what stood there could not be put back");
    }
}

/// Which file stands behind a name.
pub(super) fn id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().as_ref().map(id_of)
}

/// The number of its file system, and its own there.
fn id_of(meta: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

/// Moves away what SQLite left beside a file that is gone or cannot be read. There is nothing beside
/// one whose log was folded in.
fn set_aside_beside(target: &Path, kept: &Path) -> Result<(), Error> {
    let mut moved = false;
    for ending in BESIDE {
        let beside = with_ending(target, ending);
        match fs::rename(&beside, with_ending(kept, ending)) {
            Ok(()) => moved = true,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("set aside", &beside, e)),
        }
    }
    if moved {
        sync_folder(target)?;
    }
    Ok(())
}

/// Opens it once as everybody will.
fn open(target: &Path, key: Option<&EncryptionKey>) -> Result<(), Error> {
    let url = DatabaseUrl::SqliteFile(target.to_owned());
    Connection::open_encrypted(&url, Access::ReadOnly, &Interrupt::default(), key)
        .map(drop)
        .map_err(|e| Error::database("opening the restored database", e))
}

/// The new one belongs to whom the old one did, who could not open it otherwise.
fn take_owner(draft: &Draft, target: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e| Error::io("give the restored database to the owner of", target, e);
    let old = fs::metadata(target).map_err(failed)?;
    draft.give_to_owner_of(&old).map_err(failed)?;
    let mode = fs::Permissions::from_mode(old.permissions().mode() & 0o777);
    draft.file().set_permissions(mode).map_err(failed)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn place(target: &Path, waits: bool) -> Place<'_> {
        Place {
            target,
            key: None,
            replace: true,
            application_id: None,
            now: DateTime::<Utc>::UNIX_EPOCH,
            kept_before: "restore",
            waits,
        }
    }

    /// The place is taken in the last moment, after the files beside it were moved. What was proven is lost only where
    /// it waits elsewhere already.
    #[test]
    fn files_beside_a_place_that_is_taken_come_back() {
        for waits in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let target = root.path().join("new.db");
            let log = root.path().join("new.db-wal");
            fs::write(&target, "theirs").unwrap();
            fs::write(&log, "their log").unwrap();
            let draft = Draft::new_in(root.path(), "restore").unwrap();
            draft.file().write_all(b"ours").unwrap();
            let error = place(&target, waits).put_new(draft).unwrap_err();
            assert_eq!(fs::read(&target).unwrap(), b"theirs");
            assert_eq!(fs::read(&log).unwrap(), b"their log");
            let left = fs::read_dir(root.path()).unwrap().count();
            let refused = match error {
                Error::PlaceTaken {
                    error, waits_as, ..
                } => {
                    assert_eq!(fs::read(waits_as).unwrap(), b"ours");
                    assert_eq!((waits, left), (true, 3));
                    *error
                }
                error => {
                    assert_eq!((waits, left), (false, 2), "{error}");
                    error
                }
            };
            assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        }
    }

    /// Somebody has put another file there since the old one was looked at.
    #[test]
    fn another_file_in_the_place_of_the_old_one_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a.db");
        let old = root.path().join("old.db");
        fs::write(&target, "theirs").unwrap();
        fs::write(&old, "the old one").unwrap();
        let aside = place(&target, true).set_aside(id(&old), &mut None);
        assert!(matches!(aside, Err(Error::Locked { .. })), "{aside:?}");
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        place(&target, true)
            .set_aside(id(&target), &mut None)
            .unwrap();
    }

    /// What cannot be opened in its place does not stay there.
    #[test]
    fn what_cannot_be_opened_does_not_stay() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("new.db");
        let journal = root.path().join("new.db-journal");
        fs::write(&journal, "their journal").unwrap();
        let draft = Draft::new_in(root.path(), "restore").unwrap();
        draft.file().write_all(&[b'x'; 4_096]).unwrap();
        let error = place(&target, false).put_new(draft).unwrap_err();
        assert!(matches!(error, Error::Database { .. }), "{error}");
        assert!(!target.exists());
        assert_eq!(fs::read(&journal).unwrap(), b"their journal");
    }
}
