//! One idle connection that holds a read transaction, so that no other reader has to lock a file.
//!
//! SQLite counts the shared locks of one process in memory and asks the kernel only for the first
//! of them and after the last. Two thirds of a point read are those calls. While the anchor holds
//! the newest snapshot, every reader of that snapshot only counts. What a reader sees does not
//! depend on the anchor: a transaction always begins with the newest commit of any process. An
//! anchor on an older snapshot is merely of no use.
//!
//! It costs a few reads' time to move the anchor, so readers do that, and only after some reads
//! that it did not spare: under many writes and few reads it stays where it is. Nor may it hold
//! up the log: the writer drops it around checkpoints, the pool's keeper within 100 ms when
//! nobody reads, and while another process writes it is not used at all. A snapshot held
//! there would keep that process from starting its log over after a checkpoint, so that the log
//! would grow as long as we read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::Source;
use crate::error::{Error, ErrorKind};
use crate::sqlite::handle::Attached;
use crate::sqlite::raw_statement::RawStatement;
use crate::sqlite::transactional::Transactional;
use crate::sqlite::writer::SnapshotHolder;

/// Reads of one connection that the anchor did not spare, after which it is moved: about what the
/// move costs.
const READS_PER_MOVE: u32 = 4;

/// How often the keeper looks; with one look's delay an idle anchor is gone after 100 ms.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the anchor stays away after another process was seen to write.
const STAY_AWAY: Duration = Duration::from_secs(1);

/// In place of a commit's number: nothing is held.
const NOTHING: u64 = u64::MAX;

/// The anchor of one database.
pub(crate) struct Anchor {
    shared: Shared,
    state: Mutex<State>,
}

/// What every read looks at, apart from everything else.
#[repr(align(128))]
struct Shared {
    /// Commits of this process's writer.
    commits: AtomicU64,
    /// `commits` when the held snapshot was taken, or [`NOTHING`].
    held: AtomicU64,
    /// Between `release`, also by the thread of the checkpoints, and the writer's next `advance`.
    checkpoint: AtomicBool,
    /// Another process writes.
    away: AtomicBool,
}

struct State {
    connection: Option<AnchorConnection>,
    /// Another process has written; no anchor until then.
    away_until: Option<Instant>,
    /// Commits of this process, and the version of the database, when the anchor was moved last.
    last: Option<(u64, i64)>,
    /// The commits of this process when the version had changed without one.
    suspect: Option<u64>,
}

struct AnchorConnection {
    // Before the connection, which cannot be closed while it exists.
    version: RawStatement,
    connection: Transactional,
}

impl Anchor {
    pub(crate) fn new() -> Self {
        Self {
            shared: Shared {
                commits: AtomicU64::new(0),
                held: AtomicU64::new(NOTHING),
                checkpoint: AtomicBool::new(false),
                away: AtomicBool::new(false),
            },
            state: Mutex::new(State {
                connection: None,
                away_until: None,
                last: None,
                suspect: None,
            }),
        }
    }

    /// After a read: `unspared` counts the reads of one connection without the anchor's help.
    /// Moves the anchor when they are enough; true if it holds a snapshot that it did not before.
    #[inline]
    pub(super) fn after_read(&self, unspared: &mut u32, source: &Source) -> bool {
        if self.shared.held.load(Ordering::Relaxed) == self.shared.commits.load(Ordering::Relaxed) {
            return false;
        }
        *unspared += 1;
        if *unspared < READS_PER_MOVE {
            return false;
        }
        *unspared = 0;
        !self.shared.away.load(Ordering::Relaxed) && self.try_move(source)
    }

    /// The keeper's look: moves the anchor on if there were reads since the last look, else drops
    /// it. Returns when to look again, if there is something to look after.
    pub(super) fn look(&self, reads: bool, source: &Source) -> Option<Duration> {
        let mut state = self.state();
        if let Some(until) = state.away_until {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
            state.away_until = None;
            state.last = None;
            self.shared.away.store(false, Ordering::Relaxed);
        }
        if !self.is_held() {
            return None;
        }
        if state.suspect == Some(self.shared.commits.load(Ordering::Acquire)) {
            self.stay_away(&mut state);
            return Some(STAY_AWAY);
        }
        state.suspect = None;
        if reads {
            self.move_on(&mut state, source);
        } else {
            self.drop_snapshot(&mut state);
        }
        Some(LOOK_EVERY)
    }

    /// Whether a snapshot is held.
    pub(crate) fn is_held(&self) -> bool {
        self.shared.held.load(Ordering::Relaxed) != NOTHING
    }

    /// Closes the connection; the next move opens another.
    pub(super) fn close(&self) {
        let mut state = self.state();
        self.drop_snapshot(&mut state);
        state.connection = None;
    }

    #[cold]
    fn try_move(&self, source: &Source) -> bool {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is moving it already.
            Err(TryLockError::WouldBlock) => return false,
        };
        if self.shared.checkpoint.load(Ordering::Acquire) || state.away_until.is_some() {
            return false;
        }
        let before = self.is_held();
        self.move_on(&mut state, source);
        !before
    }

    /// Leaves the held snapshot, if any, and takes the newest.
    fn move_on(&self, state: &mut State, source: &Source) {
        // Before the snapshot: a commit in between makes the anchor look older than it is.
        let commits = self.shared.commits.load(Ordering::Acquire);
        match state.pin(source) {
            Ok(version) => {
                // The writer counts a moment after its commit is visible, so this proves nothing
                // yet; if the count is still the same at the keeper's next look, it does.
                if state
                    .last
                    .is_some_and(|(then, old)| then == commits && old != version)
                {
                    state.suspect = Some(commits);
                }
                state.last = Some((commits, version));
                self.shared.held.store(commits, Ordering::Relaxed);
            }
            Err(error) => {
                // Readers lock for themselves meanwhile; they report what is wrong, if it lasts.
                tracing::debug!(%error, "no anchor for the readers");
                self.shared.held.store(NOTHING, Ordering::Relaxed);
                state.connection = None;
                self.stay_away(state);
            }
        }
    }

    fn stay_away(&self, state: &mut State) {
        self.drop_snapshot(state);
        state.suspect = None;
        state.away_until = Instant::now().checked_add(STAY_AWAY);
        self.shared.away.store(true, Ordering::Relaxed);
    }

    fn drop_snapshot(&self, state: &mut State) {
        if self.shared.held.swap(NOTHING, Ordering::Relaxed) == NOTHING {
            return;
        }
        let ended = state.connection.as_mut().map(|c| c.connection.commit());
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "the anchor's transaction could not be ended");
            state.connection = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotHolder for Anchor {
    fn advance(&self) {
        self.shared.commits.fetch_add(1, Ordering::Release);
        // A commit beside a copy of the log lets readers anchor again, on snapshots as new as that
        // commit: the copy may stop there, and the writer's last checkpoint comes after it.
        if self.shared.checkpoint.load(Ordering::Relaxed) {
            self.shared.checkpoint.store(false, Ordering::Release);
        }
    }

    fn release(&self) {
        self.shared.checkpoint.store(true, Ordering::Release);
        // Whoever has the lock now is moving the anchor, which takes microseconds; whoever gets it
        // after this sees the flag.
        self.drop_snapshot(&mut self.state());
    }
}

impl State {
    /// Takes the newest snapshot and returns the version of the database in it.
    fn pin(&mut self, source: &Source) -> Result<i64, Error> {
        let connection = match &mut self.connection {
            Some(connection) => {
                if connection.connection.in_transaction() {
                    connection.connection.commit()?;
                }
                connection
            }
            empty => empty.insert(AnchorConnection::open(source)?),
        };
        connection.connection.begin()?;
        let version = connection.version.run()?;
        if !connection.connection.holds_snapshot() {
            return Err(Error::new(ErrorKind::Other, "the anchor holds no snapshot"));
        }
        Ok(version.unwrap_or_default())
    }
}

impl AnchorConnection {
    fn open(source: &Source) -> Result<Self, Error> {
        let attached = Attached {
            health: Some(Arc::clone(&source.health)),
            key: source.key.clone(),
            ..Attached::default()
        };
        let connection = source.file.open(|target| {
            Transactional::open((target, &source.url), attached, &source.setup, c"BEGIN")
        })?;
        Ok(Self {
            version: connection.prepare(c"PRAGMA data_version")?,
            connection,
        })
    }
}
