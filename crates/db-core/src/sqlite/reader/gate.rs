//! Who may use which of a fixed number of slots: first come, first served.
//!
//! The gate knows nothing of connections. A free slot is taken by one compare-and-swap, the
//! thread's own slot of last time first, so that a connection's memory stays in one processor's
//! cache. Who finds none waits in line, and a slot that is given back goes to the first in line
//! without becoming free in between, so nobody overtakes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sync::{AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, fence, lock, wait};

/// A free slot whose connection is open.
const FREE_OPEN: u8 = 0;
/// A free slot without a connection.
const FREE_EMPTY: u8 = 1;
const TAKEN: u8 = 2;

/// Added to [`Gate::busy`] when the gate closes, so that the fast path is left at once.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Hands out slots, in order of arrival.
pub(in crate::sqlite) struct Gate {
    slots: Box<[Padded<AtomicU8>]>,
    /// How many wait, plus [`CLOSED`]. Zero lets a caller try the slots without the lock.
    busy: Padded<AtomicUsize>,
    line: Mutex<Line>,
    /// Told of every slot that becomes free after the closing.
    freed: Condvar,
    /// Callers that had to line up, ever.
    waits: AtomicU64,
}

#[derive(Default)]
struct Line {
    waiters: VecDeque<Arc<Waiter>>,
    closed: bool,
}

struct Waiter {
    turn: Mutex<Turn>,
    called: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waiting,
    Granted(usize),
    Closed,
}

/// Why no slot was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum Refusal {
    /// None became free in time.
    Timeout,
    /// The gate is closed.
    Closed,
}

/// Two cache lines: x86 fetches them in pairs.
#[repr(align(128))]
struct Padded<T>(T);

impl Gate {
    pub(in crate::sqlite) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots)
                .map(|_| Padded(AtomicU8::new(FREE_EMPTY)))
                .collect(),
            busy: Padded(AtomicUsize::new(0)),
            line: Mutex::new(Line::default()),
            freed: Condvar::new(),
            waits: AtomicU64::new(0),
        }
    }

    /// A slot for the caller alone until [`release`](Self::release), at the latest after
    /// `patience`. Slot `preferred` is looked at first.
    pub(in crate::sqlite) fn acquire(
        &self,
        preferred: usize,
        patience: Duration,
    ) -> Result<usize, Refusal> {
        if self.busy.0.load(Ordering::Relaxed) == 0
            && let Some(slot) = self.take_any(preferred)
        {
            return Ok(slot);
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.wait_in_line(preferred, patience)
    }

    /// How many callers have found no free slot, ever.
    pub(in crate::sqlite) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Gives a slot back; `open` says whether a connection stands in it.
    pub(in crate::sqlite) fn release(&self, slot: usize, open: bool) {
        if self.busy.0.load(Ordering::Relaxed) > 0 {
            self.hand_over(slot, open);
            return;
        }
        self.slots[slot].0.store(free(open), Ordering::Release);
        // Either this load sees who has just lined up, or their look at the slots sees this one.
        fence(Ordering::SeqCst);
        if self.busy.0.load(Ordering::Relaxed) > 0 {
            self.serve();
        }
    }

    /// Takes this very slot if it is free, has a connection, and nobody waits.
    pub(in crate::sqlite) fn take_open(&self, slot: usize) -> bool {
        self.busy.0.load(Ordering::Relaxed) == 0 && self.take(slot, FREE_OPEN)
    }

    /// How many callers wait.
    pub(in crate::sqlite) fn waiting(&self) -> usize {
        self.busy.0.load(Ordering::Relaxed) & !CLOSED
    }

    /// How many slots are in use.
    pub(in crate::sqlite) fn taken(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.0.load(Ordering::Relaxed) == TAKEN)
            .count()
    }

    /// How many slots hold a connection or are in use.
    pub(in crate::sqlite) fn open(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.0.load(Ordering::Relaxed) != FREE_EMPTY)
            .count()
    }

    /// Refuses everybody who waits or comes later. Slots in use stay so until their release.
    ///
    /// Who came before, and has not taken a free slot yet, may still take it, even after
    /// [`drained`](Self::drained): to look for the close a second time would cost every caller a
    /// fence. So what stands behind the slots must be closed as well, and drained once more.
    pub(in crate::sqlite) fn close(&self) {
        let mut line = lock(&self.line);
        if line.closed {
            return;
        }
        line.closed = true;
        let refused = std::mem::take(&mut line.waiters);
        // Nobody counts as waiting any more; a store would lose no one, because all changes of
        // the number are made under this lock.
        self.busy.0.store(CLOSED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        drop(line);
        for waiter in refused {
            waiter.call(Turn::Closed);
        }
    }

    /// Waits, after [`close`](Self::close), until no slot is in use; false if `patience` ends.
    pub(in crate::sqlite) fn drained(&self, patience: Duration) -> bool {
        let end = Instant::now().checked_add(patience);
        let mut line = lock(&self.line);
        while self.taken() > 0 {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            line = wait(&self.freed, line, left).0;
        }
        // What was done behind the slots is seen from here on.
        fence(Ordering::Acquire);
        true
    }

    fn take(&self, slot: usize, from: u8) -> bool {
        let state = &self.slots[slot].0;
        state.load(Ordering::Relaxed) == from
            && state
                .compare_exchange(from, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Any free slot; one with an open connection before one without.
    fn take_any(&self, preferred: usize) -> Option<usize> {
        let count = self.slots.len();
        let first = preferred % count;
        if self.take(first, FREE_OPEN) {
            return Some(first);
        }
        [FREE_OPEN, FREE_EMPTY]
            .iter()
            .find_map(|from| (0..count).find(|slot| self.take(*slot, *from)))
    }

    #[cold]
    fn wait_in_line(&self, preferred: usize, patience: Duration) -> Result<usize, Refusal> {
        let waiter = Arc::new(Waiter {
            turn: Mutex::new(Turn::Waiting),
            called: Condvar::new(),
        });
        {
            let mut line = lock(&self.line);
            if line.closed {
                return Err(Refusal::Closed);
            }
            let first = line.waiters.is_empty();
            line.waiters.push_back(Arc::clone(&waiter));
            self.busy.0.fetch_add(1, Ordering::Relaxed);
            // The other half of the fence in `release`.
            fence(Ordering::SeqCst);
            if first && let Some(slot) = self.take_any(preferred) {
                line.waiters.pop_back();
                self.busy.0.fetch_sub(1, Ordering::Relaxed);
                return Ok(slot);
            }
        }
        match waiter.wait(Some(patience)) {
            Turn::Granted(slot) => return Ok(slot),
            Turn::Closed => return Err(Refusal::Closed),
            Turn::Waiting => {}
        }
        let mut line = lock(&self.line);
        if let Some(place) = line.waiters.iter().position(|w| Arc::ptr_eq(w, &waiter)) {
            line.waiters.remove(place);
            self.busy.0.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Timeout);
        }
        drop(line);
        // Somebody has taken the waiter out of the line and is about to call it.
        match waiter.wait(None) {
            Turn::Granted(slot) => Ok(slot),
            Turn::Waiting | Turn::Closed => Err(Refusal::Closed),
        }
    }

    /// Gives a slot to the first in line, or frees it.
    #[cold]
    fn hand_over(&self, slot: usize, open: bool) {
        let next = {
            let mut line = lock(&self.line);
            let Some(next) = line.waiters.pop_front() else {
                // Whoever lines up from here on holds the lock after us and sees the slot.
                self.slots[slot].0.store(free(open), Ordering::Release);
                if line.closed {
                    self.freed.notify_all();
                }
                return;
            };
            self.busy.0.fetch_sub(1, Ordering::Relaxed);
            next
        };
        next.call(Turn::Granted(slot));
    }

    /// Gives free slots to those in line, as long as there are both.
    #[cold]
    fn serve(&self) {
        loop {
            let (next, slot) = {
                let mut line = lock(&self.line);
                if line.closed {
                    self.freed.notify_all();
                }
                if line.waiters.is_empty() {
                    return;
                }
                let Some(slot) = self.take_any(0) else {
                    return;
                };
                let Some(next) = line.waiters.pop_front() else {
                    return;
                };
                self.busy.0.fetch_sub(1, Ordering::Relaxed);
                (next, slot)
            };
            next.call(Turn::Granted(slot));
        }
    }
}

impl Waiter {
    fn call(&self, turn: Turn) {
        *lock(&self.turn) = turn;
        self.called.notify_one();
    }

    /// Waits for the call; [`Turn::Waiting`] means that `patience` ended first.
    fn wait(&self, patience: Option<Duration>) -> Turn {
        // A patience beyond what the clock can hold is for ever.
        let end = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut turn = lock(&self.turn);
        while *turn == Turn::Waiting {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            turn = wait(&self.called, turn, left).0;
        }
        *turn
    }
}

const fn free(open: bool) -> u8 {
    if open { FREE_OPEN } else { FREE_EMPTY }
}
