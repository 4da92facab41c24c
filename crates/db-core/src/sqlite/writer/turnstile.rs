//! How several processes take turns at writing one file.
//!
//! SQLite's own lock is polled: under load one process waits for seconds while others pass it. Two
//! locked side files make a queue of it. Whoever wants to write locks `<file>-next`, where all wait
//! but one, then `<file>-turn`, where that one waits, and then lets go of `-next`. The kernel
//! releases both when a process dies. They are locked by `flock`, hold nothing, and stay: to remove
//! one would split the queue. The database file itself is never opened (docs/adr/0003).
//!
//! `flock` has no deadline, and behind a process that was stopped in its turn it has no end. The
//! writer's thread waits there itself, since to be told by another thread costs up to a third of the
//! rate. A second thread watches it: when the time is over it takes over the writer's work, and the
//! first one, which cannot be called back, keeps the place, for the next time or for nobody.
//!
//! Programs that know nothing of it still meet SQLite's lock. Two hosts on one network drive are
//! not in one queue either, and SQLite in WAL mode does not work there at all.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::backend::Waiting;
use crate::error::{Error, ErrorKind};
use crate::sqlite::open_side_file;
use crate::wait::wait;

/// One process's place at the turnstile of a database file.
#[derive(Debug)]
pub(super) struct Turnstile {
    doors: Arc<Doors>,
    line: Arc<Line>,
    inside: bool,
}

/// The side files. Their locks belong to all threads of the writer together: what one has locked
/// another can unlock.
#[derive(Debug)]
struct Doors {
    next: File,
    turn: File,
}

/// Where the writer's two threads agree on who waits.
#[derive(Debug)]
pub(super) struct Line {
    database: PathBuf,
    doors: Weak<Doors>,
    state: Mutex<State>,
    /// The watching thread waits here.
    watched: Condvar,
    /// Who has taken over waits here for the turn.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    place: Place,
    /// How long the thread in the queue is waited for. None if there is none, or another one has
    /// taken over.
    until: Option<Instant>,
    /// When the watching thread wakes by itself.
    wakes: Option<Instant>,
    /// Whether who has taken over waits for the turn.
    is_wanted: bool,
    /// Whether nobody may wait any more.
    is_ended: bool,
    /// Whether there is nothing to watch any more.
    is_over: bool,
}

/// How far in the queue.
#[derive(Debug, Default)]
enum Place {
    /// Not in it; the locks are the writer's.
    #[default]
    Nowhere,
    /// A thread waits for `-next`, or is about to.
    AtNext,
    /// A thread holds `-next` and waits for `-turn`, or is about to.
    AtTurn,
    /// `-turn` is held for the writer, or could not be had.
    Arrived(io::Result<()>),
}

/// What came of the wish to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Inside,
    /// The caller's thread has to wait, by [`Line::queue`], and try again.
    Queue,
    /// Not in time.
    Late,
}

impl Turnstile {
    /// Opens the side files of a database file that is there, and makes them for those who may write
    /// it. All must find the same two files: `database` leads through no link.
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        let doors = Arc::new(Doors {
            next: open_side_file(database, "-next")?,
            turn: open_side_file(database, "-turn")?,
        });
        let line = Line {
            database: database.to_owned(),
            doors: Arc::downgrade(&doors),
            state: Mutex::default(),
            watched: Condvar::new(),
            arrived: Condvar::new(),
        };
        Ok(Self {
            doors,
            line: Arc::new(line),
            inside: false,
        })
    }

    /// Where the wait can be made, ended and asked about.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Takes the turn, or a place in the queue. Waits only where another thread has kept the place,
    /// until the deadline.
    pub(super) fn enter(&mut self, deadline: Instant) -> io::Result<Entry> {
        if self.inside {
            return Ok(Entry::Inside);
        }
        let mut state = self.line.state();
        if matches!(state.place, Place::Nowhere) {
            let is_next = free(self.doors.next.try_lock())?;
            if is_next && free(self.doors.turn.try_lock())? {
                self.doors.next.unlock()?;
                self.inside = true;
                return Ok(Entry::Inside);
            }
            if state.is_ended {
                if is_next {
                    self.doors.next.unlock()?;
                }
                return Ok(Entry::Late);
            }
            state.place = if is_next {
                Place::AtTurn
            } else {
                Place::AtNext
            };
            return Ok(Entry::Queue);
        }
        state.is_wanted = true;
        while !state.is_ended && !matches!(state.place, Place::Arrived(_)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = wait(&self.line.arrived, state, Some(left));
        }
        state.is_wanted = false;
        match std::mem::take(&mut state.place) {
            Place::Arrived(arrived) => {
                arrived?;
                self.inside = true;
                Ok(Entry::Inside)
            }
            kept => {
                state.place = kept;
                Ok(Entry::Late)
            }
        }
    }

    /// Takes the turn if it is free and nobody waits for it.
    pub(super) fn try_enter(&mut self) -> io::Result<bool> {
        if self.inside {
            return Ok(true);
        }
        // Locked to the end: without a place no other thread uses the files.
        let state = self.line.state();
        if !matches!(state.place, Place::Nowhere) || !free(self.doors.next.try_lock())? {
            return Ok(false);
        }
        let locked = free(self.doors.turn.try_lock());
        self.doors.next.unlock()?;
        self.inside = locked?;
        Ok(self.inside)
    }

    /// Whether it has the turn.
    pub(super) const fn is_inside(&self) -> bool {
        self.inside
    }

    /// Lets the next one in, also where the turn has come but was not taken yet.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        let mut state = self.line.state();
        if matches!(state.place, Place::Arrived(_)) {
            state.place = Place::Nowhere;
            self.inside = true;
        }
        if self.inside {
            self.inside = false;
            self.doors.turn.unlock()?;
        }
        Ok(())
    }
}

impl Drop for Turnstile {
    /// Never waits for the queue. A thread that is in it has the files, and with them the place,
    /// until it gets through or the process ends.
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!(%error, "a turn to write could not be given back before its file was closed");
        }
    }
}

impl Line {
    /// Waits for the turn in the place that [`Turnstile::enter`] has taken, for as long as it takes.
    /// False when that was too long, and another thread has taken over, by [`watch`](Self::watch).
    pub(super) fn queue(&self, until: Instant) -> bool {
        let Some(doors) = self.doors.upgrade() else {
            return true;
        };
        let mut state = self.state();
        let holds_next = matches!(state.place, Place::AtTurn);
        state.until = Some(until);
        // Most times end later than the one that is watched.
        let is_heard = !state.is_ended && state.wakes.is_some_and(|wakes| wakes <= until);
        drop(state);
        if !is_heard {
            self.watched.notify_one();
        }
        let arrived = doors.queue(self, holds_next);
        let mut state = self.state();
        if state.until.take().is_some() {
            state.place = Place::Arrived(arrived);
            return true;
        }
        state.place = match arrived {
            Ok(()) if !state.is_wanted => match doors.turn.unlock() {
                Ok(()) => Place::Nowhere,
                Err(error) => Place::Arrived(Err(error)),
            },
            arrived => Place::Arrived(arrived),
        };
        drop(state);
        self.arrived.notify_one();
        false
    }

    /// Sleeps until the thread in the queue is too late: true, and the caller has to take over. False
    /// after [`over`](Self::over).
    pub(super) fn watch(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.is_over {
                return false;
            }
            let now = Instant::now();
            let left = state
                .until
                .map(|until| until.saturating_duration_since(now));
            if left.is_some_and(|left| state.is_ended || left.is_zero()) {
                state.until = None;
                return true;
            }
            state.wakes = state.until;
            (state, _) = wait(&self.watched, state, left);
            state.wakes = None;
        }
    }

    /// Ends [`watch`](Self::watch). True if no thread is in the queue, so that all come to their end.
    pub(super) fn over(&self) -> bool {
        let mut state = self.state();
        state.is_over = true;
        let is_empty = !matches!(state.place, Place::AtNext | Place::AtTurn);
        drop(state);
        self.watched.notify_all();
        is_empty
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doors {
    /// Waits for the turn, as long as it takes.
    fn queue(&self, line: &Line, holds_next: bool) -> io::Result<()> {
        if !holds_next {
            patiently(|| self.next.lock())?;
            line.state().place = Place::AtTurn;
        }
        let locked = patiently(|| self.turn.lock());
        self.next.unlock()?;
        locked
    }
}

impl Waiting for Line {
    fn end(&self) {
        self.state().is_ended = true;
        self.watched.notify_one();
        self.arrived.notify_one();
    }

    fn obstacle(&self) -> Option<Error> {
        let (ending, who) = match self.state().place {
            Place::AtNext => (
                "-next",
                "another process is next to write, and has not begun",
            ),
            Place::AtTurn => ("-turn", "another process has the turn to write"),
            Place::Nowhere | Place::Arrived(_) => return None,
        };
        let message = format!(
            "{who}: it holds the lock of {}{ending}",
            self.database.display()
        );
        Some(Error::new(ErrorKind::Busy, message).with_hint(
            "find that process (`lslocks`); one that was stopped holds up all others until it \
             goes on or is ended",
        ))
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
    use std::thread::JoinHandle;
    use std::time::Duration;

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

    /// Long enough that a test which meets it has failed.
    const LONG: Duration = Duration::from_mins(1);

    fn long() -> Instant {
        Instant::now() + LONG
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    impl Turnstile {
        fn place(&self) -> &'static str {
            match self.line.state().place {
                Place::Nowhere => "nowhere",
                Place::AtNext => "at next",
                Place::AtTurn => "at turn",
                Place::Arrived(_) => "arrived",
            }
        }
    }

    fn until(mut condition: impl FnMut() -> bool) {
        let end = long();
        while !condition() {
            assert!(Instant::now() < end, "it never comes to that");
            std::thread::yield_now();
        }
    }

    /// Waits in the queue on a thread of its own, as the writer's does.
    fn queue(turnstile: &mut Turnstile, until: Instant) -> JoinHandle<bool> {
        assert_eq!(turnstile.enter(until).unwrap(), Entry::Queue);
        let line = turnstile.line();
        std::thread::spawn(move || line.queue(until))
    }

    /// Leaves its place in the queue to a thread that nobody waits for any more.
    fn be_late(turnstile: &mut Turnstile) -> JoinHandle<bool> {
        let until = soon();
        let thread = queue(turnstile, until);
        assert!(turnstile.line.watch());
        assert!(Instant::now() >= until);
        thread
    }

    #[test]
    fn one_is_inside_and_a_waiting_one_is_not_passed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = pair(folder.path());
        let mut c = Turnstile::open(&folder.path().join("x.db")).unwrap();
        assert!(a.try_enter().unwrap());
        assert!(!b.try_enter().unwrap());
        let waiting = queue(&mut b, long());
        assert_eq!(b.place(), "at turn");
        assert!(!free(c.doors.next.try_lock()).unwrap());
        a.leave().unwrap();
        assert!(waiting.join().unwrap());
        assert!(!c.try_enter().unwrap());
        assert_eq!(b.enter(soon()).unwrap(), Entry::Inside);
        b.leave().unwrap();
        assert!(c.try_enter().unwrap());
        let waiting = queue(&mut b, long());
        c.leave().unwrap();
        c.leave().unwrap();
        assert!(waiting.join().unwrap());
        // A turn that has come can be left without being taken.
        assert!(!c.try_enter().unwrap());
        b.leave().unwrap();
        assert!(c.try_enter().unwrap());
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_its_place_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = pair(folder.path());
        let mut c = Turnstile::open(&folder.path().join("x.db")).unwrap();
        assert!(a.try_enter().unwrap());
        let first = be_late(&mut b);
        assert_eq!(b.place(), "at turn");
        let error = b.line.obstacle().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("x.db-turn"), "{error}");
        // Behind b, which has -next.
        let second = be_late(&mut c);
        assert_eq!(c.place(), "at next");
        let error = c.line.obstacle().unwrap().to_string();
        assert!(error.contains("x.db-next"), "{error}");
        // A place is no turn, nor is it lost by a second try.
        assert!(!b.try_enter().unwrap());
        assert_eq!(b.enter(soon()).unwrap(), Entry::Late);
        assert_eq!(b.place(), "at turn");
        let line = b.line();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| b.enter(long()).unwrap());
            until(|| line.state().is_wanted);
            a.leave().unwrap();
            assert_eq!(waiting.join().unwrap(), Entry::Inside);
        });
        assert!(!first.join().unwrap());
        assert!(line.obstacle().is_none());
        // Now c is next, but nobody wants its turn.
        until(|| c.place() == "at turn");
        b.leave().unwrap();
        assert!(!second.join().unwrap());
        assert_eq!(c.place(), "nowhere");
        for turnstile in [&mut a, &mut b, &mut c] {
            assert!(turnstile.try_enter().unwrap());
            turnstile.leave().unwrap();
        }
    }

    #[test]
    fn the_end_of_the_wait_is_heard_before_it_and_in_it() {
        for ended_before in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (mut a, mut b) = pair(folder.path());
            assert!(a.try_enter().unwrap());
            let line = b.line();
            let waiting = if ended_before {
                assert_eq!(b.enter(long()).unwrap(), Entry::Queue);
                line.end();
                let queued = b.line();
                std::thread::spawn(move || queued.queue(long()))
            } else {
                let waiting = queue(&mut b, long());
                let ends = b.line();
                let watching = std::thread::spawn(move || ends.watch());
                until(|| line.state().wakes.is_some());
                line.end();
                assert!(watching.join().unwrap());
                waiting
            };
            if ended_before {
                until(|| line.state().until.is_some());
                assert!(line.watch());
            }
            assert_eq!(b.enter(long()).unwrap(), Entry::Late);
            a.leave().unwrap();
            assert!(!waiting.join().unwrap());
            // Who need not wait is let in all the same; who has to takes no place.
            assert_eq!(b.enter(long()).unwrap(), Entry::Inside);
            b.leave().unwrap();
            assert!(a.try_enter().unwrap());
            assert_eq!(b.enter(long()).unwrap(), Entry::Late);
            assert_eq!(b.place(), "nowhere");
        }
    }

    #[test]
    fn a_turnstile_that_is_dropped_in_the_queue_keeps_its_place_until_it_comes_through() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = pair(folder.path());
        assert!(a.try_enter().unwrap());
        let waiting = be_late(&mut b);
        let (doors, line) = (Arc::downgrade(&b.doors), b.line());
        assert!(!line.over());
        drop(b);
        assert!(!line.watch());
        assert!(doors.upgrade().is_some(), "its place was not kept");
        a.leave().unwrap();
        assert!(!waiting.join().unwrap());
        assert!(doors.upgrade().is_none());
        assert!(a.try_enter().unwrap());
        a.leave().unwrap();
        // One that is dropped in its turn gives it back.
        let mut b = Turnstile::open(&folder.path().join("x.db")).unwrap();
        assert!(b.try_enter().unwrap());
        drop(b);
        assert!(a.try_enter().unwrap());
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
