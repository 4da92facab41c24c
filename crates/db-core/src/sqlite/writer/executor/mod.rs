//! Who may use the one writing connection, and whose closures share a COMMIT.
//!
//! A lone caller runs its closure on its own thread, without savepoint or hand-off. While somebody
//! writes, others queue, and the writer's thread runs their closures in one transaction, each behind
//! the first under a savepoint, and answers them after its COMMIT. It keeps the right to write as long as there
//! is a queue, and a moment longer, then gives it back.
//!
//! Here is what callers do, and the right to write; what the writer's thread does is in `serve`.
//! Neither knows SQL or SQLite: `tests/model/writer` runs them on a mock through the interleavings
//! of their threads.

mod serve;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::backend::{
    Backend, BeginError, BoxedJob, Chores, GroupReport, Transaction, Turn, Waiting,
};
use super::job::{Answer, JobId, JobRef, Ran, attempt, lend, resolve};
use super::sync::{Condvar, Mutex, MutexGuard, wait};
use crate::duration;
use crate::error::advice::{LONGER_WAIT, MORE_MAY_WAIT};
use crate::error::{Error, ErrorKind};
use crate::held::{Held, longest};

pub(super) use serve::{Course, Served};

/// Bounds of the executor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most closures of waiting threads in a group.
    pub(super) group_size: usize,
    /// The most closures in a group.
    pub(super) group_size_async: usize,
    /// How long a group takes in further closures.
    pub(super) group_age: Duration,
    /// The most closures in the queue.
    pub(super) max_pending: usize,
    /// How long a queued closure waits for programs that do not queue.
    pub(super) busy_timeout: Duration,
    /// How long the writer's thread waits for more before it gives the right to write back.
    pub(super) linger: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody; the next caller may take it.
    Nobody,
    /// A caller, on its own thread.
    Caller,
    /// The writer's thread.
    Writer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No new work; what is queued is done.
    Closing,
    Closed,
}

enum Job<C> {
    Lent(JobRef<C>),
    Boxed(Box<dyn BoxedJob<C>>),
}

impl<C> Job<C> {
    fn run(&mut self, conn: &mut C) -> Ran {
        match self {
            Self::Lent(job) => job.run(conn),
            Self::Boxed(job) => job.run(conn),
        }
    }

    fn finish(self, failure: Option<Error>) {
        match self {
            Self::Lent(job) => job.finish(failure),
            Self::Boxed(job) => job.finish(failure),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Lent(_) => false,
            Self::Boxed(job) => job.is_abandoned(),
        }
    }
}

struct Queued<C> {
    job: Job<C>,
    since: Instant,
}

struct State<C> {
    queue: VecDeque<Queued<C>>,
    owner: Owner,
    phase: Phase,
    /// Why nothing is written any more.
    refused: Option<Error>,
    chores: Chores,
    /// Whether the backend is to be asked for its chores, whatever it said last.
    reminded: bool,
    /// Whether the writer's thread sleeps on `work`.
    asleep: bool,
}

impl<C> State<C> {
    fn has_chores(&self) -> bool {
        self.reminded || self.chores.are_due()
    }

    fn admit(&self, limits: &Limits) -> Result<(), Error> {
        if self.phase != Phase::Open {
            return Err(closed());
        }
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        if self.queue.len() >= limits.max_pending {
            let waiting = self.queue.len();
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("refused: {waiting} writes wait for their turn, and no more may"),
            )
            .with_hint(MORE_MAY_WAIT));
        }
        Ok(())
    }
}

/// The right to write, held by a caller; its drop passes it on.
struct Ownership<'a, B: Backend>(&'a Executor<B>);

impl<B: Backend> Drop for Ownership<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.queue.is_empty() && !state.has_chores() && state.phase == Phase::Open {
            state.owner = Owner::Nobody;
        } else {
            state.owner = Owner::Writer;
            self.0.wake(&mut state);
        }
    }
}

/// The hybrid group-commit writer over any [`Backend`].
pub(super) struct Executor<B: Backend> {
    state: Mutex<State<B::Conn>>,
    /// The writer's thread waits here for work.
    work: Condvar,
    /// `close` waits here for the end.
    end: Condvar,
    /// Locked by the owner; for a moment also by the writer's thread, which counts and plans after
    /// it has given the right back.
    backend: Mutex<B>,
    /// Without the backend, which is locked while it waits.
    waiting: Option<Arc<dyn Waiting>>,
    limits: Limits,
    /// Whose closure runs.
    held: Arc<Held>,
}

impl<B: Backend> Executor<B> {
    pub(super) fn new(backend: B, limits: Limits, held: Arc<Held>) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                owner: Owner::Nobody,
                phase: Phase::Open,
                refused: None,
                chores: Chores::None,
                reminded: false,
                asleep: false,
            }),
            work: Condvar::new(),
            end: Condvar::new(),
            waiting: backend.waiting(),
            backend: Mutex::new(backend),
            limits,
            held,
        }
    }

    /// Runs `closure` in a transaction and returns once that is committed, or rolled back. The
    /// deadline is for the wait until it runs.
    pub(super) fn run<F, T, E>(&self, deadline: Option<Instant>, closure: F) -> Answer<T, E>
    where
        F: FnOnce(&mut B::Conn) -> Result<T, E> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        let mut state = self.state();
        if let Err(refused) = state.admit(&self.limits) {
            return Ok(Err(refused.into()));
        }
        if state.owner != Owner::Nobody {
            return lend(
                closure,
                deadline,
                move |job| {
                    state.queue.push_back(queued(Job::Lent(job)));
                    self.wake(&mut state);
                },
                |id| self.withdraw(id),
            );
        }
        state.owner = Owner::Caller;
        drop(state);
        let ownership = Ownership(self);
        match self.alone(closure) {
            Ok(answer) => answer,
            Err((closure, since)) => lend(
                closure,
                deadline,
                move |job| {
                    // It came before those that have queued since.
                    let job = Job::Lent(job);
                    self.state().queue.push_front(Queued { job, since });
                    drop(ownership);
                },
                |id| self.withdraw(id),
            ),
        }
    }

    /// Queues a write that answers for itself.
    pub(super) fn submit(&self, job: Box<dyn BoxedJob<B::Conn>>) {
        let mut state = self.state();
        if let Err(refused) = state.admit(&self.limits) {
            drop(state);
            job.finish(Some(refused));
            return;
        }
        state.queue.push_back(queued(Job::Boxed(job)));
        if state.owner == Owner::Nobody {
            state.owner = Owner::Writer;
        }
        self.wake(&mut state);
    }

    /// Lets no more work in, waits for what is there, and closes the backend. When the deadline
    /// passes first, what is queued is refused, and what runs goes on without us.
    ///
    /// # Errors
    /// `Timeout`.
    pub(super) fn close(&self, deadline: Option<Instant>) -> Result<(), Error> {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        self.wake(&mut state);
        self.end_idle_wait(&state);
        while state.phase != Phase::Closed {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let refused = std::mem::take(&mut state.queue);
                drop(state);
                // Whoever has come by now and has to queue yet, waits no longer either.
                self.end_wait();
                for queued in refused {
                    queued.job.finish(Some(closed()));
                }
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "a write or a checkpoint was still running, or a write waited for another \
                         process, when the time to close was over{}",
                        longest(self.held.oldest())
                    ),
                ));
            }
            (state, _) = wait(&self.end, state, left);
        }
        Ok(())
    }

    /// Refuses all further writes.
    pub(super) fn refuse(&self, reason: Error) {
        self.state().refused.get_or_insert(reason);
    }

    /// The backend has chores by now, and nobody asks it: its own threads tell.
    pub(super) fn remind(&self) {
        let mut state = self.state();
        state.reminded = true;
        self.wake(&mut state);
    }

    /// Writes in the queue.
    pub(super) fn pending(&self) -> usize {
        self.state().queue.len()
    }

    /// When the writer's thread failed: no more writes, and what it had opened or kept is given back, to
    /// other processes too.
    pub(super) fn abandon(&self) {
        self.bury();
        self.backend().rollback();
    }

    /// After the last write, or when the writer's thread failed.
    pub(super) fn bury(&self) {
        let mut state = self.state();
        state.phase = Phase::Closed;
        let left = std::mem::take(&mut state.queue);
        self.end.notify_all();
        drop(state);
        for queued in left {
            queued.job.finish(Some(closed()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State<B::Conn>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backend(&self) -> MutexGuard<'_, B> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, state: &mut State<B::Conn>) {
        // A notification is a system call, whether anybody sleeps or not.
        if state.asleep {
            state.asleep = false;
            self.work.notify_one();
        }
    }

    /// A caller whose time is over takes its closure back, if nobody has begun it.
    fn withdraw(&self, id: JobId) {
        let mut state = self.state();
        let place = state
            .queue
            .iter()
            .position(|queued| matches!(&queued.job, Job::Lent(job) if job.id() == id));
        let found = place.and_then(|place| state.queue.remove(place));
        self.end_idle_wait(&state);
        drop(state);
        if let Some(queued) = found {
            queued.job.finish(Some(self.too_late(queued.since)));
        }
    }

    /// The error of a caller that came `since` and waits no longer.
    fn too_late(&self, since: Instant) -> Error {
        let message = format!(
            "no turn to write within {}{}",
            duration::show(since.elapsed()),
            longest(self.held.oldest())
        );
        let obstacle = self.waiting.as_ref().and_then(|waiting| waiting.obstacle());
        let Some(obstacle) = obstacle else {
            return Error::new(ErrorKind::Timeout, message).with_hint(LONGER_WAIT);
        };
        // With its hint.
        Error::new(ErrorKind::Timeout, format!("{message}; {obstacle}"))
    }

    /// Ends the wait for a turn that nobody will use: nobody is queued, and nobody can be any more.
    fn end_idle_wait(&self, state: &State<B::Conn>) {
        // A caller that has the right to write may still have to queue.
        let none_comes = state.phase == Phase::Closing && state.owner == Owner::Writer;
        if none_comes && state.queue.iter().all(|queued| queued.job.is_abandoned()) {
            self.end_wait();
        }
    }

    fn end_wait(&self) {
        if let Some(waiting) = &self.waiting {
            waiting.end();
        }
    }

    /// Runs `closure` here and now, or gives it back if somebody else has to be waited for, with the
    /// time when it came.
    fn alone<F, T, E>(&self, closure: F) -> Result<Answer<T, E>, (F, Instant)>
    where
        F: FnOnce(&mut B::Conn) -> Result<T, E>,
        E: From<Error>,
    {
        let opened = Instant::now();
        let mut backend = self.backend();
        match backend.begin(Turn::IfFree) {
            Err(BeginError::Contended | BeginError::Queue(_)) => return Err((closure, opened)),
            Err(BeginError::Failed(failure)) => {
                self.heed(&backend);
                return Ok(Ok(Err(failure.into())));
            }
            Ok(()) => {}
        }
        let (ran, answer) = attempt(closure, backend.conn());
        let mut commit = Duration::ZERO;
        let failure = match fault(&mut *backend) {
            None if ran == Ran::Well => {
                let start = Instant::now();
                let failure = backend.commit().err();
                commit = start.elapsed();
                failure
            }
            fault => {
                backend.rollback();
                fault
            }
        };
        self.heed(&backend);
        backend.answered(&GroupReport {
            members: 1,
            inline: true,
            open: opened.elapsed(),
            commit,
            committed: failure.is_none() && ran == Ran::Well,
        });
        self.plan(backend.chores());
        Ok(resolve(Some(answer), failure))
    }

    fn plan(&self, chores: Chores) {
        let mut state = self.state();
        // The writer's thread may sleep until another time, or for good.
        if matches!(chores, Chores::At(_)) && state.chores != chores {
            self.wake(&mut state);
        }
        state.chores = chores;
    }

    /// Refuses further writes if damage was seen.
    fn heed(&self, backend: &B) {
        if let Some(damage) = backend.damage() {
            self.refuse(damage);
        }
    }
}

/// Why the transaction cannot go on after a closure had the connection.
fn fault<B: Backend>(backend: &mut B) -> Option<Error> {
    if let Some(damage) = backend.damage() {
        return Some(damage);
    }
    match backend.transaction() {
        Ok(Transaction::Intact) => None,
        Err(lost) => Some(lost),
        Ok(Transaction::Ended) => Some(
            Error::new(
                ErrorKind::TransactionEnded,
                "the transaction was ended before its COMMIT, and rolled back",
            )
            .with_hint(
                "a statement with OR ROLLBACK, RAISE(ROLLBACK), COMMIT or ROLLBACK in one of the \
                 writes that shared it; use ABORT, and return an error instead",
            ),
        ),
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}

fn queued<C>(job: Job<C>) -> Queued<C> {
    Queued {
        job,
        since: Instant::now(),
    }
}
