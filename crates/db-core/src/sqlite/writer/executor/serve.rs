//! The writer's thread: when it sleeps, what it takes into a group, and how a group ends.

use std::time::Instant;

use super::super::backend::{Backend, BeginError, Chores, GroupReport, Turn};
use super::super::job::Ran;
use super::super::sync::wait;
use super::{Executor, Job, Owner, Phase, fault};
use crate::error::{Error, ErrorKind};

/// Groups of one, one after another, after which the writer's thread takes it that the load is
/// over. A lone caller is twice as fast on its own thread.
const SINGLES: u32 = 4;

/// The members of a transaction that is not answered yet. None is left without an answer, even if
/// the thread panics.
struct Group<C> {
    /// Each with the error that is its own.
    members: Vec<(Job<C>, Option<Error>)>,
    lent: usize,
}

impl<C> Group<C> {
    fn push(&mut self, job: Job<C>, own: Option<Error>) {
        self.lent += usize::from(matches!(job, Job::Lent(_)));
        self.members.push((job, own));
    }

    fn answer(&mut self, failure: Option<&Error>) {
        self.lent = 0;
        for (job, own) in self.members.drain(..) {
            job.finish(own.or_else(|| failure.cloned()));
        }
    }
}

impl<C> Drop for Group<C> {
    fn drop(&mut self) {
        let unknown = Error::new(
            ErrorKind::OutcomeUnknown,
            "the writer failed before it could tell",
        );
        self.answer(Some(&unknown));
    }
}

/// What a thread that serves knows from one call to the next.
#[derive(Debug, Default)]
pub(in super::super) struct Course {
    /// Groups of one in a row.
    singles: u32,
    /// When the one came for whom it had to wait for its turn.
    waited_for: Option<Instant>,
}

/// Why the writer's thread returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Served {
    /// All is done and closed.
    All,
    /// It has to wait for its turn until this moment, without the backend. After that, or with the
    /// turn, it is to go on serving, on whatever thread.
    Until(Instant),
}

impl<B: Backend> Executor<B> {
    /// The writer's thread, until the close or until it has to wait for its turn.
    pub(in super::super) fn serve(&self, course: &mut Course) -> Served {
        let mut group = Group {
            members: Vec::new(),
            lent: 0,
        };
        // A turn that has come is used or given back, also if nobody is queued any more.
        while course.waited_for.is_some() || self.await_work(&mut course.singles) {
            if let Err(until) = self.serve_group(&mut group, course) {
                return Served::Until(until);
            }
        }
        self.backend().close();
        self.bury();
        Served::All
    }

    /// Sleeps until there is something to do; false when there never will be.
    fn await_work(&self, singles: &mut u32) -> bool {
        let mut state = self.state();
        loop {
            let due = state.has_chores();
            let limit = match state.owner {
                Owner::Writer if !state.queue.is_empty() || due => return true,
                Owner::Writer if state.phase != Phase::Open => return false,
                Owner::Writer if *singles < SINGLES && !self.limits.linger.is_zero() => {
                    Some(self.limits.linger)
                }
                Owner::Writer => {
                    *singles = 0;
                    state.owner = Owner::Nobody;
                    continue;
                }
                Owner::Nobody if state.phase != Phase::Open || due => {
                    state.owner = Owner::Writer;
                    continue;
                }
                // What is due is passed on with the right to write, when the caller is done.
                Owner::Caller if due => None,
                Owner::Nobody | Owner::Caller => match state.chores {
                    Chores::At(time) => Some(time.saturating_duration_since(Instant::now())),
                    // The caller wakes this thread when it is done.
                    Chores::None | Chores::Now => None,
                },
            };
            let lingering = state.owner == Owner::Writer;
            state.asleep = true;
            let (woken, out) = wait(&self.work, state, limit);
            state = woken;
            state.asleep = false;
            if out && lingering {
                *singles = SINGLES;
            }
        }
    }

    /// One transaction for whoever is queued, and the work that comes after it. Counts the groups of
    /// one in a row. Does nothing if it had to wait for its turn, until the moment that it returns.
    fn serve_group(&self, group: &mut Group<B::Conn>, course: &mut Course) -> Result<(), Instant> {
        let Course {
            singles,
            waited_for,
        } = course;
        *singles += 1;
        let mut backend = self.backend();
        let oldest = self.state().queue.front().map(|first| first.since);
        let Some(oldest) = waited_for.take().or(oldest) else {
            self.do_chores(&mut *backend);
            // Whoever came meanwhile may have come alone: no load has been seen.
            *singles = SINGLES;
            return Ok(());
        };
        // The jobs stay in the queue meanwhile, where their callers can take them back.
        let patience = Turn::Wait(oldest + self.limits.busy_timeout);
        match backend.begin(patience) {
            Ok(()) => {}
            Err(BeginError::Queue(until)) => {
                *singles -= 1;
                *waited_for = Some(oldest);
                return Err(until);
            }
            Err(error) => {
                self.heed(&backend);
                self.begin_failed(error, oldest);
                return Ok(());
            }
        }
        let opened = Instant::now();
        let mut fault = None;
        while fault.is_none()
            && let Some(mut job) = self.next(group, opened)
        {
            let part = member(&mut *backend, &mut job);
            fault = part.fault;
            group.push(job, part.own);
        }
        let members = group.members.len();
        let start = Instant::now();
        let failure = if members == 0 || fault.is_some() {
            backend.rollback();
            fault
        } else {
            backend.commit().err()
        };
        let report = GroupReport {
            members,
            inline: false,
            open: opened.elapsed(),
            commit: start.elapsed(),
            committed: failure.is_none(),
        };
        self.heed(&backend);
        if members > 1 {
            *singles = 0;
        }
        // With work left to do the right is kept: who took it would wait for the connection, and
        // forget its deadline.
        let has_chores = backend.chores().are_due();
        let kept = has_chores || *singles < SINGLES || !self.give_back(singles);
        group.answer(failure.as_ref());
        if members > 0 {
            backend.answered(&report);
        }
        if kept {
            self.do_chores(&mut *backend);
        } else {
            self.plan(backend.chores());
        }
        Ok(())
    }

    /// Gives the right to write back if nobody is queued. Before the answer: the only caller would
    /// come again at once, and queue behind a thread that has nothing to do. False if it is kept.
    fn give_back(&self, singles: &mut u32) -> bool {
        let mut state = self.state();
        let given = state.queue.is_empty() && state.phase == Phase::Open;
        if given {
            state.owner = Owner::Nobody;
            *singles = 0;
        }
        given
    }

    /// The next job that anybody still waits for, unless the group is full or old.
    fn next(&self, group: &Group<B::Conn>, opened: Instant) -> Option<Job<B::Conn>> {
        if !group.members.is_empty() && opened.elapsed() >= self.limits.group_age {
            return None;
        }
        loop {
            let mut state = self.state();
            let full = group.members.len() >= self.limits.group_size_async
                || matches!(state.queue.front()?.job, Job::Lent(_))
                    && group.lent >= self.limits.group_size;
            if full {
                return None;
            }
            let job = state.queue.pop_front()?.job;
            drop(state);
            if !job.is_abandoned() {
                return Some(job);
            }
        }
    }

    /// Tells those whom it concerns that no transaction could be opened, for whoever came `for_whom`.
    fn begin_failed(&self, error: BeginError, for_whom: Instant) {
        let mut state = self.state();
        let (failed, error) = match error {
            BeginError::Failed(error) if error.kind() != ErrorKind::Busy => {
                (std::mem::take(&mut state.queue), error)
            }
            busy => {
                let error = match busy {
                    BeginError::Failed(error) => error,
                    BeginError::Contended | BeginError::Queue(_) => {
                        Error::new(ErrorKind::Busy, "database is locked")
                    }
                };
                // Those who came later have patience left, also if the one for whom it was tried
                // has gone meanwhile.
                let timeout = self.limits.busy_timeout;
                let queue = std::mem::take(&mut state.queue);
                let (failed, left) = queue.into_iter().partition(|queued| {
                    queued.since <= for_whom || queued.since.elapsed() >= timeout
                });
                state.queue = left;
                (failed, error)
            }
        };
        drop(state);
        for queued in failed {
            queued.job.finish(Some(error.clone()));
        }
    }

    fn do_chores(&self, backend: &mut B) {
        // Before it is asked: what it is reminded of later may not be in its answer.
        self.state().reminded = false;
        if backend.chores().are_due() {
            backend.do_chores();
        }
        self.plan(backend.chores());
    }
}

/// What went wrong with a member's part.
struct Part {
    /// The member's own error, if it is not the closure's.
    own: Option<Error>,
    /// The whole group's.
    fault: Option<Error>,
}

/// Runs one member of a group, under its own savepoint if another has a part in the transaction.
fn member<B: Backend>(backend: &mut B, job: &mut Job<B::Conn>) -> Part {
    let shared = |fault| Part { own: None, fault };
    if let Err(fault) = backend.savepoint() {
        return shared(Some(fault));
    }
    let ran = job.run(backend.conn());
    if let Some(fault) = fault(backend) {
        return shared(Some(fault));
    }
    if ran != Ran::Well {
        return shared(backend.rollback_to().err());
    }
    // Asked of each, because at COMMIT nobody knows whose fault it is.
    let own = backend.unsatisfied();
    let done = match own {
        // Also where the transaction cannot be begun anew, its fault is the member's own.
        Some(_) => backend.rollback_to(),
        None => backend.release(),
    };
    Part {
        own,
        fault: done.err(),
    }
}
