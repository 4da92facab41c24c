//! How several processes take turns at writing one file.
//!
//! SQLite's own lock is polled: under load one process waits for seconds while others pass it. Two
//! locked side files make a queue of it. Whoever wants to write locks `<file>-next`, where all wait
//! but one, then `<file>-turn`, where that one waits, and then lets go of `-next`. The kernel
//! releases both when a process dies. They are locked by `flock`, hold nothing, and stay: to remove
//! one would split the queue. The database file itself is never opened (docs/adr/0003).
//!
//! Programs that know nothing of it still meet SQLite's lock. Two hosts on one network drive are
//! not in one queue either, and SQLite in WAL mode does not work there at all.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::sqlite::open_side_file;

/// One process's place at the turnstile of a database file.
#[derive(Debug)]
pub(super) struct Turnstile {
    next: File,
    turn: File,
    inside: bool,
}

impl Turnstile {
    /// Opens the side files of a database file that is there, and makes them for those who may write
    /// it. All must find the same two files: `database` leads through no link.
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        Ok(Self {
            next: open_side_file(database, "-next")?,
            turn: open_side_file(database, "-turn")?,
            inside: false,
        })
    }

    /// Waits for the turn, as long as it takes: for ever behind a process that was stopped in it.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        if self.inside {
            return Ok(());
        }
        patiently(|| self.next.lock())?;
        let locked = patiently(|| self.turn.lock());
        self.next.unlock()?;
        locked?;
        self.inside = true;
        Ok(())
    }

    /// Takes the turn if it is free and nobody waits for it.
    pub(super) fn try_enter(&mut self) -> io::Result<bool> {
        if self.inside {
            return Ok(true);
        }
        if !free(self.next.try_lock())? {
            return Ok(false);
        }
        let locked = free(self.turn.try_lock());
        self.next.unlock()?;
        self.inside = locked?;
        Ok(self.inside)
    }

    /// Lets the next one in.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if self.inside {
            self.inside = false;
            self.turn.unlock()?;
        }
        Ok(())
    }
}

/// Again after a signal.
fn patiently(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn free(locked: Result<(), TryLockError>) -> io::Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(folder: &Path) -> (Turnstile, Turnstile) {
        let database = folder.join("x.db");
        std::fs::write(&database, "").unwrap();
        let link = folder.join("link.db");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&database, &link).unwrap();
        #[cfg(not(unix))]
        let link = database.clone();
        (
            Turnstile::open(&database).unwrap(),
            Turnstile::open(&link.canonicalize().unwrap()).unwrap(),
        )
    }

    #[test]
    fn one_is_inside_and_a_waiting_one_is_not_passed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = pair(folder.path());
        let mut c = Turnstile::open(&folder.path().join("x.db")).unwrap();
        assert!(a.try_enter().unwrap());
        assert!(!b.try_enter().unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                b.enter().unwrap();
                b.leave().unwrap();
            });
            // Once `-next` is taken, b waits for the turn.
            while free(c.next.try_lock()).unwrap() {
                c.next.unlock().unwrap();
                std::thread::yield_now();
            }
            a.leave().unwrap();
            waiting.join().unwrap();
        });
        assert!(c.try_enter().unwrap());
        c.leave().unwrap();
        c.leave().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_side_files_are_private_and_empty() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let turnstiles = pair(folder.path());
        for name in ["x.db-next", "x.db-turn"] {
            let meta = folder.path().join(name).metadata().unwrap();
            assert_eq!((meta.mode() & 0o777, meta.len()), (0o600, 0), "{name}");
        }
        drop(turnstiles);
    }
}
