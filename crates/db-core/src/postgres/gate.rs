//! Who may use a connection next: first come, first served, and nobody waits in vain.
//!
//! r2d2 wakes whoever happens to run first: 256 threads on four connections starved 216 of them
//! past five seconds where a queue needs 1.3. So the waiting is done here. A permit goes from the
//! thread that gives it back straight to the one that has waited longest; nobody can step in
//! between. Who cannot be served within its deadline, as far as the recent holding times tell, is
//! refused at once instead of after the deadline: under overload the connections work on for
//! those who still listen.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::sync::{
    AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, Thread, current, park, wait,
};
use crate::error::advice::{MORE_CONNECTIONS, MORE_MAY_WAIT};
use crate::{Error, ErrorKind, duration};

/// A waiter is in the queue.
const WAITING: u8 = 0;
/// It was given a permit that it has not taken yet.
const GRANTED: u8 = 1;
/// It gave up; its place in the queue is empty.
const WITHDRAWN: u8 = 2;
/// The gate was closed while it waited.
const REFUSED: u8 = 3;

/// Empty places that a queue may hold before it is tidied up; with it, leaving costs O(1).
const EMPTY_PLACES: usize = 64;

/// A fair semaphore with deadlines.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

/// The right to use one connection; dropping it passes it on.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    since: Instant,
}

/// What a gate has seen, for gauges and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateStats {
    /// How many may pass at a time.
    pub permits: usize,
    /// How many have passed and not come back.
    pub in_use: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many gave up at their deadline.
    pub timeouts: u64,
    /// How many were refused because they could not have been served in time.
    pub shed: u64,
}

struct Shared {
    permits: usize,
    max_waiting: usize,
    state: Mutex<State>,
    drained: Condvar,
    timeouts: AtomicU64,
    shed: AtomicU64,
}

struct State {
    free: usize,
    queue: VecDeque<Arc<Waiter>>,
    /// Without the empty places.
    waiting: usize,
    pace: Pace,
    closed: bool,
}

struct Waiter {
    state: AtomicU8,
    thread: Thread,
}

impl Waiter {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }
}

/// What the gate says to somebody who comes.
enum Answer {
    Pass(Permit),
    Wait(Arc<Waiter>),
}

impl Gate {
    /// A gate for `permits` at a time with at most `max_waiting` in front of it.
    pub(crate) fn new(permits: usize, max_waiting: usize) -> Self {
        let state = State {
            free: permits,
            queue: VecDeque::new(),
            waiting: 0,
            pace: Pace::default(),
            closed: false,
        };
        let shared = Shared {
            permits,
            max_waiting,
            state: Mutex::new(state),
            drained: Condvar::new(),
            timeouts: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits for a permit on this thread, until `deadline` at the latest.
    ///
    /// # Errors
    /// `Overloaded` at once if the queue is too long, `Timeout` at the deadline, `Closed`.
    pub(crate) fn acquire(&self, deadline: Instant) -> Result<Permit, Error> {
        let waiter = match self.ask(deadline)? {
            Answer::Pass(permit) => return Ok(permit),
            Answer::Wait(waiter) => waiter,
        };
        loop {
            match waiter.state() {
                GRANTED => return Ok(self.permit()),
                REFUSED => return Err(closed()),
                _ => {}
            }
            // Another user of this thread's token may wake it early; the loop looks again.
            if park(Some(deadline)) {
                return self.give_up(&waiter);
            }
        }
    }

    /// Turns everybody away from now on, and those who wait.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting = 0;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for waiter in queue {
            if change(&waiter, WAITING, REFUSED) {
                waiter.thread.unpark();
            }
        }
    }

    /// Waits, after [`close`](Self::close), until all permits are back; false if `deadline` came
    /// first.
    pub(crate) fn wait_drained(&self, deadline: Instant) -> bool {
        let mut state = self.shared.lock();
        while state.free < self.shared.permits {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = wait(&self.shared.drained, state, Some(left));
        }
        true
    }

    /// Gauges and counters.
    pub(crate) fn stats(&self) -> GateStats {
        let state = self.shared.lock();
        GateStats {
            permits: self.shared.permits,
            in_use: self.shared.permits - state.free,
            waiting: state.waiting,
            timeouts: self.shared.timeouts.load(Ordering::Relaxed),
            shed: self.shared.shed.load(Ordering::Relaxed),
        }
    }

    fn ask(&self, deadline: Instant) -> Result<Answer, Error> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(closed());
        }
        // A free permit means an empty queue: whoever gives one back hands it to a waiter.
        if state.free > 0 {
            state.free -= 1;
            drop(state);
            return Ok(Answer::Pass(self.permit()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let foreseen = state.pace.wait(state.waiting + 1, self.shared.permits);
        if state.waiting >= self.shared.max_waiting || foreseen > left {
            let waiting = state.waiting;
            drop(state);
            self.shared.shed.fetch_add(1, Ordering::Relaxed);
            return Err(if waiting >= self.shared.max_waiting {
                full(waiting)
            } else {
                hopeless(waiting, foreseen, left)
            });
        }
        let waiter = Arc::new(Waiter {
            state: AtomicU8::new(WAITING),
            thread: current(),
        });
        state.tidy();
        state.queue.push_back(Arc::clone(&waiter));
        state.waiting += 1;
        Ok(Answer::Wait(waiter))
    }

    /// Leaves the queue at the deadline; a permit that came at this very moment is taken.
    fn give_up(&self, waiter: &Waiter) -> Result<Permit, Error> {
        match self.shared.withdraw(waiter) {
            GRANTED => Ok(self.permit()),
            REFUSED => Err(closed()),
            _ => {
                self.shared.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "none of {} connections became free in time",
                        self.shared.permits
                    ),
                )
                .with_hint(MORE_CONNECTIONS))
            }
        }
    }

    fn permit(&self) -> Permit {
        Permit {
            shared: Arc::clone(&self.shared),
            since: Instant::now(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a waiter out of the queue, unless it was answered; tells what its state was.
    fn withdraw(&self, waiter: &Waiter) -> u8 {
        let mut state = self.lock();
        if change(waiter, WAITING, WITHDRAWN) {
            state.waiting -= 1;
            return WAITING;
        }
        waiter.state()
    }

    /// Hands a permit to the one that has waited longest, or puts it back.
    fn pass_on(&self, held: Duration) {
        let mut state = self.lock();
        state.pace.record(held);
        while let Some(waiter) = state.queue.pop_front() {
            if change(&waiter, WAITING, GRANTED) {
                state.waiting -= 1;
                drop(state);
                waiter.thread.unpark();
                return;
            }
        }
        state.free += 1;
        // A notification is a system call, whether anybody waits or not.
        let all = state.closed && state.free == self.permits;
        drop(state);
        if all {
            self.drained.notify_all();
        }
    }
}

impl State {
    fn tidy(&mut self) {
        if self.queue.len() > 2 * self.waiting + EMPTY_PLACES {
            self.queue.retain(|waiter| waiter.state() == WAITING);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.pass_on(self.since.elapsed());
    }
}

/// Under the gate's lock only.
fn change(waiter: &Waiter, from: u8, to: u8) -> bool {
    waiter
        .state
        .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
        .is_ok()
}

/// No code of ours panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}

fn full(waiting: usize) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        format!("refused: {waiting} others wait for a connection, and no more may"),
    )
    .with_hint(MORE_MAY_WAIT)
}

/// It would wait in vain.
fn hopeless(waiting: usize, wait: Duration, left: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        format!(
            "refused: {waiting} others wait for a connection, which takes about {}, and this call \
             would wait {} at most",
            duration::show(wait),
            duration::show(left)
        ),
    )
    .with_hint(MORE_CONNECTIONS)
}
