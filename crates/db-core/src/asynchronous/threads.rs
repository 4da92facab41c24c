//! A bounded number of threads that run blocking calls for async callers, first come, first served.
//!
//! Not tokio's blocking pool: that one belongs to the whole program, has 512 threads, and a stopped
//! server would fill it. Here a database can hold up no more than its own threads.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::advice::MORE_MAY_WAIT;
use crate::error::{Error, ErrorKind};

/// A thread without work ends after this long.
const IDLE: Duration = Duration::from_secs(10);

/// A call that waits for a thread.
pub(super) trait Job: Send {
    /// Whether nobody waits for it any more; then it is not run.
    fn is_gone(&self) -> bool;
    /// Runs it. It must not panic.
    fn run(self: Box<Self>);
    /// Answers instead of running.
    fn refuse(self: Box<Self>, error: Error);
}

/// The threads, and the queue in front of them. Dropped, it refuses what has not begun.
pub(crate) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    limits: Limits,
}

/// How much there may be of it.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Threads.
    threads: usize,
    /// Calls that wait for a thread; further ones are refused.
    waiting: usize,
}

struct State {
    queue: VecDeque<Box<dyn Job>>,
    threads: usize,
    idle: usize,
    open: bool,
}

impl Threads {
    /// So many threads at most, and so many calls that may wait for one.
    pub(crate) fn new(threads: usize, waiting: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    queue: VecDeque::new(),
                    threads: 0,
                    idle: 0,
                    open: true,
                }),
                work: Condvar::new(),
                limits: Limits {
                    threads: threads.max(1),
                    waiting,
                },
            }),
        }
    }

    /// Queues a call. It is run, refused, or dropped because it is gone.
    pub(super) fn submit(&self, job: Box<dyn Job>) {
        let mut state = self.shared.lock();
        let refused = if !state.open {
            Some(Error::new(ErrorKind::Closed, "the database is closed"))
        } else if state.queue.len() >= self.shared.limits.waiting {
            // Whoever went away makes room before anyone is turned away.
            state.queue.retain(|waiting| !waiting.is_gone());
            (state.queue.len() >= self.shared.limits.waiting).then(|| {
                Error::new(
                    ErrorKind::Overloaded,
                    format!(
                        "refused: {} calls wait for a thread, and no more may",
                        state.queue.len()
                    ),
                )
                .with_hint(MORE_MAY_WAIT)
            })
        } else {
            None
        };
        if let Some(error) = refused {
            drop(state);
            return job.refuse(error);
        }
        state.queue.push_back(job);
        if state.idle >= state.queue.len() {
            self.shared.work.notify_one();
        } else if state.threads < self.shared.limits.threads {
            self.start(state);
        }
    }

    /// Calls that have not begun.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Threads that there are now.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.shared.lock().threads
    }

    /// Refuses what has not begun, and all that comes.
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        state.open = false;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.work.notify_all();
        for job in queue {
            job.refuse(Error::new(ErrorKind::Closed, "the database is closed"));
        }
    }

    fn start(&self, mut state: MutexGuard<'_, State>) {
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new()
            .name("db-async".to_owned())
            .spawn(move || shared.serve());
        let Err(error) = started else { return };
        let mut state = self.shared.lock();
        state.threads -= 1;
        tracing::warn!(%error, "cannot start a thread for async calls");
        if state.threads > 0 {
            return;
        }
        // Nobody would ever come for what waits.
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for job in queue {
            let message = format!("cannot start a thread: {error}");
            job.refuse(Error::new(ErrorKind::Other, message));
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                if !job.is_gone() {
                    job.run();
                }
                state = self.lock();
                continue;
            }
            if !state.open {
                break;
            }
            state.idle += 1;
            let (guard, waited) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}
