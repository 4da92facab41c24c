//! Closures that one thread lends to another, without a copy on the heap.
//!
//! A caller's closure borrows from the caller's stack, so it cannot be moved to the writer's
//! thread as `'static`. It is lent instead: [`lend`] puts closure and answer on the caller's
//! stack, hands out a [`JobRef`] to them, and does not return, nor unwind, before that reference
//! has been used up. No safe crate has this shape with an answer that comes later than the run.
//!
//! Everything rests on one rule, which this module keeps by itself, whatever its callers do: *a
//! `JobRef` exists once, and the last thing it does to the job is to set `done`*. It is not `Clone`;
//! `finish` consumes it, and its `Drop` finishes too; one that is leaked makes the caller wait for
//! ever, which is sound. So while `done` is not set the job is alive, and after it is set nobody
//! looks at it but the caller.
#![expect(
    unsafe_code,
    reason = "lifetimes that the compiler cannot see; every block states why it is sound"
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::sync::{AtomicBool, Ordering, Thread, UnsafeCell, current, park};
use crate::error::{Error, ErrorKind};

/// What a closure came to: its result, or the panic that ended it.
pub(crate) type Answer<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

/// Whether a closure's work is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// It returned `Ok`.
    Well,
    /// It returned an error or panicked.
    Badly,
}

/// Runs a closure and keeps what it came to.
pub(super) fn attempt<C, T, E>(
    closure: impl FnOnce(&mut C) -> Result<T, E>,
    conn: &mut C,
) -> (Ran, Answer<T, E>) {
    let answer = catch_unwind(AssertUnwindSafe(|| closure(conn)));
    let ran = match &answer {
        Ok(Ok(_)) => Ran::Well,
        Ok(Err(_)) | Err(_) => Ran::Badly,
    };
    (ran, answer)
}

/// What the caller hears: its own error or panic before the group's failure, and success only
/// where there was none.
pub(super) fn resolve<T, E: From<Error>>(
    answer: Option<Answer<T, E>>,
    failure: Option<Error>,
) -> Answer<T, E> {
    match (answer, failure) {
        (Some(own @ (Err(_) | Ok(Err(_)))), _) | (Some(own), None) => own,
        (_, Some(failure)) => Ok(Err(failure.into())),
        (None, None) => Ok(Err(lost().into())),
    }
}

/// Of a job that nobody ran or answered; a fault in this program.
fn lost() -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "the writer lost this write without an answer",
    )
}

struct Slot<F, T, E> {
    closure: Option<F>,
    answer: Option<Answer<T, E>>,
    failure: Option<Error>,
}

/// A closure on its caller's stack, and room for what comes of it.
struct StackJob<F, T, E> {
    /// Touched by the holder of the `JobRef` until `done` is set, and by the caller after.
    slot: UnsafeCell<Slot<F, T, E>>,
    done: AtomicBool,
    caller: Thread,
}

/// The one reference to a lent closure that takes `&mut C`.
pub(super) struct JobRef<C> {
    job: *const (),
    run: unsafe fn(*const (), &mut C) -> Ran,
    finish: unsafe fn(*const (), Option<Error>),
    finished: bool,
}

// SAFETY: what is behind `job` is used by one thread at a time: by the holder of this one
// reference, then, after `done`, by the caller. `lend`, the only maker, asks that closure, result
// and error are `Send`; `Error` and `Thread` are.
unsafe impl<C> Send for JobRef<C> {}

/// Tells jobs apart, without access to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobId(usize);

impl<C> JobRef<C> {
    pub(super) fn id(&self) -> JobId {
        JobId(self.job.addr())
    }

    /// Runs the closure; its answer waits for [`JobRef::finish`].
    pub(super) fn run(&mut self, conn: &mut C) -> Ran {
        // SAFETY: `self` exists, so `done` is not set and the job is alive on its caller's stack.
        unsafe { (self.run)(self.job, conn) }
    }

    /// Lets the caller go, with this failure unless it has one of its own.
    pub(super) fn finish(mut self, failure: Option<Error>) {
        self.end(failure);
    }

    fn end(&mut self, failure: Option<Error>) {
        if !self.finished {
            self.finished = true;
            // SAFETY: as in `run`; `finished` makes sure that this is the last use.
            unsafe { (self.finish)(self.job, failure) };
        }
    }
}

impl<C> Drop for JobRef<C> {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Some(lost()));
        }
    }
}

/// `JobRef::run` for one type of closure.
///
/// # Safety
/// `job` is a `StackJob<F, T, E>` whose `done` is not set, and the caller holds its `JobRef`.
unsafe fn run_erased<C, F, T, E>(job: *const (), conn: &mut C) -> Ran
where
    F: FnOnce(&mut C) -> Result<T, E>,
{
    // SAFETY: alive by the contract. A shared reference is all that anyone has until `done`.
    let job = unsafe { &*job.cast::<StackJob<F, T, E>>() };
    // SAFETY: the slot is the `JobRef` holder's alone until `done`.
    let closure = job.slot.with_mut(|slot| unsafe { (*slot).closure.take() });
    let Some(closure) = closure else {
        return Ran::Badly;
    };
    let (ran, answer) = attempt(closure, conn);
    // SAFETY: as above.
    job.slot
        .with_mut(|slot| unsafe { (*slot).answer = Some(answer) });
    ran
}

/// `JobRef::finish` for one type of closure.
///
/// # Safety
/// As for `run_erased`, and nobody uses `job` afterwards.
unsafe fn finish_erased<F, T, E>(job: *const (), failure: Option<Error>) {
    let job = job.cast::<StackJob<F, T, E>>();
    // SAFETY: alive by the contract. The handle is cloned because the caller may be gone, and the
    // job with it, between the store below and the wake-up.
    let caller = unsafe { (*job).caller.clone() };
    // SAFETY: alive by the contract, before the store below.
    let slot = unsafe { &(*job).slot };
    // SAFETY: the slot is the `JobRef` holder's alone until `done`.
    slot.with_mut(|slot| unsafe { (*slot).failure = failure });
    // SAFETY: alive until the store itself. It is made through a reference to the atomic alone,
    // which the language lets dangle as soon as the store has happened. `Release` orders all of
    // the above before it.
    unsafe { (*job).done.store(true, Ordering::Release) };
    caller.unpark();
}

/// Waits for `done`, on the way out of an unwinding stack as well.
struct Waiting<'a>(&'a AtomicBool);

impl Waiting<'_> {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        while !self.is_over() {
            park(None);
        }
    }
}

/// Lends `closure` to whoever gets the [`JobRef`] that `hand_over` is given, and returns when that
/// has been used up. When the deadline passes first, `take_back` is called once; it may find the
/// job where it was put and finish it, or leave it to the one who is running it.
pub(super) fn lend<C, F, T, E>(
    closure: F,
    deadline: Option<Instant>,
    hand_over: impl FnOnce(JobRef<C>),
    take_back: impl FnOnce(JobId),
) -> Answer<T, E>
where
    F: FnOnce(&mut C) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    let job = StackJob {
        slot: UnsafeCell::new(Slot {
            closure: Some(closure),
            answer: None,
            failure: None,
        }),
        done: AtomicBool::new(false),
        caller: current(),
    };
    {
        // From here to the end of this block the job must not move or go: the guard's drop holds
        // this thread, panic or not, until `done`.
        let waiting = Waiting(&job.done);
        let reference = JobRef {
            job: (&raw const job).cast(),
            run: run_erased::<C, F, T, E>,
            finish: finish_erased::<F, T, E>,
            finished: false,
        };
        let id = reference.id();
        hand_over(reference);
        let mut take_back = Some(take_back);
        while !waiting.is_over() {
            let left = if take_back.is_some() { deadline } else { None };
            if park(left)
                && let Some(take_back) = take_back.take()
            {
                take_back(id);
            }
        }
    }
    let slot = job.slot.into_inner();
    resolve(slot.answer, slot.failure)
}
