//! Writes that wait without a thread: the async door's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::backend::BoxedJob;
use super::job::{Ran, attempt, resolve};
use crate::error::Error;

pub(crate) use super::job::Answer;

/// Where the answer to a submitted write goes.
pub(crate) trait Reply<T, E>: Send {
    /// Whether nobody waits for it any more. Such a write is not begun.
    fn is_gone(&self) -> bool;
    /// Takes the answer, after the COMMIT that holds the write: its result, or the panic that
    /// ended it. Called on the writer's thread, so it must be quick.
    fn send(self, answer: Answer<T, E>);
}

/// A closure, and where its answer goes.
pub(super) struct Submitted<F, T, E, R> {
    closure: Option<F>,
    answer: Option<Answer<T, E>>,
    reply: R,
}

impl<F, T, E, R> Submitted<F, T, E, R> {
    pub(super) const fn new(closure: F, reply: R) -> Self {
        Self {
            closure: Some(closure),
            answer: None,
            reply,
        }
    }
}

impl<C, F, T, E, R> BoxedJob<C> for Submitted<F, T, E, R>
where
    F: FnOnce(&mut C) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
    R: Reply<T, E>,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_gone()
    }

    fn run(&mut self, conn: &mut C) -> Ran {
        let Some(closure) = self.closure.take() else {
            return Ran::Badly;
        };
        let (ran, answer) = attempt(closure, conn);
        self.answer = Some(answer);
        ran
    }

    fn finish(self: Box<Self>, failure: Option<Error>) {
        let Self {
            closure,
            answer,
            reply,
        } = *self;
        // Conversions and drops of the caller's types must not take the writer's thread down.
        let sent = catch_unwind(AssertUnwindSafe(|| {
            drop(closure);
            reply.send(resolve(answer, failure));
        }));
        if sent.is_err() {
            tracing::error!("answering a submitted write panicked");
        }
    }
}
