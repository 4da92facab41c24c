//! One async call: queued, begun, answered, or given up by its caller.
//!
//! Two sides decide whether it runs, and exactly one of them wins: the thread that is about to run
//! it, and the caller who drops the future or whose deadline passes. So a caller that was told
//! "it did not run" can rely on it.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tracing::Span;

use super::threads::Job;
use crate::duration;
use crate::error::advice::LONGER_WAIT;
use crate::error::{Error, ErrorKind};
use crate::held::{Holder, longest};

/// A result, or the panic that came instead.
pub(super) type Answer<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Whether a call has begun, or never will.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU8);

impl Turn {
    /// Takes the right to run; false if the caller has given up.
    pub(super) fn begin(&self) -> bool {
        self.leave_waiting(BEGUN)
    }

    /// Gives up; false if it has begun.
    fn give_up(&self) -> bool {
        self.leave_waiting(GIVEN_UP)
    }

    fn leave_waiting(&self, next: u8) -> bool {
        self.0
            .compare_exchange(WAITING, next, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }
}

/// The caller's side. Dropped, it gives up.
pub(super) struct Call<T, E> {
    turn: Arc<Turn>,
    answer: oneshot::Receiver<Answer<T, E>>,
    patience: Duration,
}

/// The other side.
pub(super) struct Pending<T, E> {
    turn: Arc<Turn>,
    answer: oneshot::Sender<Answer<T, E>>,
}

/// Both sides of a new call, which is to begin within `patience`; once begun it is waited for.
pub(super) fn call<T, E>(patience: Duration) -> (Call<T, E>, Pending<T, E>) {
    let turn = Arc::new(Turn::default());
    let (sender, receiver) = oneshot::channel();
    let call = Call {
        turn: Arc::clone(&turn),
        answer: receiver,
        patience,
    };
    let pending = Pending {
        turn,
        answer: sender,
    };
    (call, pending)
}

impl<T, E: From<Error>> Call<T, E> {
    /// The answer. Whoever waits in vain is told who held up the call. Needs a tokio runtime with a
    /// timer.
    pub(super) async fn answer(mut self, holder: impl Fn() -> Option<Holder>) -> Result<T, E> {
        let mut timer = pin!(sleep(self.patience));
        poll_fn(|context| self.poll(context, timer.as_mut(), &holder)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        timer: Pin<&mut Sleep>,
        holder: &impl Fn() -> Option<Holder>,
    ) -> Poll<Result<T, E>> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(context) {
            return Poll::Ready(match answer {
                Ok(Ok(result)) => result,
                // On the caller's task, as if it had run there.
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) => Err(Error::new(ErrorKind::Closed, "the database is closed").into()),
            });
        }
        if timer.poll(context).is_pending() {
            return Poll::Pending;
        }
        if !self.turn.give_up() {
            return Poll::Pending;
        }
        let error = Error::new(
            ErrorKind::Timeout,
            format!(
                "it had not begun within {}{}",
                duration::show(self.patience),
                longest(holder())
            ),
        )
        .with_hint(LONGER_WAIT);
        Poll::Ready(Err(error.into()))
    }
}

impl<T, E> Drop for Call<T, E> {
    fn drop(&mut self) {
        self.turn.give_up();
    }
}

impl<T, E> Pending<T, E> {
    /// The right to run it, for whoever does.
    pub(super) fn turn(&self) -> Arc<Turn> {
        Arc::clone(&self.turn)
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.turn.is_given_up()
    }

    /// Answers, if anyone still waits.
    pub(super) fn send(self, answer: Answer<T, E>) {
        // The value goes back to nobody: its caller has left, and was told so.
        drop(self.answer.send(answer));
    }
}

/// A blocking closure on a thread of our own.
pub(super) struct Blocking<F, T, E> {
    closure: F,
    pending: Pending<T, E>,
    span: Span,
}

impl<F, T, E> Blocking<F, T, E> {
    /// In the span of the caller.
    pub(super) fn new(pending: Pending<T, E>, closure: F) -> Self {
        Self {
            closure,
            pending,
            span: Span::current(),
        }
    }
}

impl<F, T, E> Job for Blocking<F, T, E>
where
    F: FnOnce() -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn is_gone(&self) -> bool {
        self.pending.is_given_up()
    }

    fn run(self: Box<Self>) {
        let Self {
            closure,
            pending,
            span,
        } = *self;
        // What the closure owns is dropped by the unwinding, and nothing of ours is shared with it.
        let answer = catch_unwind(AssertUnwindSafe(|| span.in_scope(closure)));
        let sent = catch_unwind(AssertUnwindSafe(|| pending.send(answer)));
        if sent.is_err() {
            tracing::error!("dropping the result of an async call panicked");
        }
    }

    fn refuse(self: Box<Self>, error: Error) {
        let Self {
            closure, pending, ..
        } = *self;
        let refused = catch_unwind(AssertUnwindSafe(|| {
            drop(closure);
            pending.send(Ok(Err(error.into())));
        }));
        if refused.is_err() {
            tracing::error!("dropping an async call panicked");
        }
    }
}
