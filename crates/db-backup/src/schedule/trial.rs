//! A trial restore beside the rounds, in a thread of its own: it may take hours, and backups fall due meanwhile.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use db_core::Interrupt;

use super::{Timer, Trial};
use crate::error::Error;

/// How one ended: well, with an error, or with the words of a panic.
pub(super) type Outcome = Result<Result<(), Error>, String>;

/// One that has begun.
#[derive(Debug)]
pub(super) struct Running {
    thread: JoinHandle<Outcome>,
    has_ended: Arc<AtomicBool>,
}

impl Running {
    /// Begins one. It wakes the timer at its end.
    pub(super) fn start(
        trial: Trial,
        interrupt: &Interrupt,
        timer: &Arc<dyn Timer>,
    ) -> Result<Self, Error> {
        let (interrupt, timer) = (interrupt.clone(), Arc::clone(timer));
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let thread = std::thread::Builder::new()
            .name("trial restore".to_owned())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| trial(&interrupt)));
                ended.store(true, Ordering::SeqCst);
                timer.wake();
                outcome.map_err(|panic| words(&*panic))
            })
            .map_err(|e| Error::io("start", "a thread", e))?;
        Ok(Self { thread, has_ended })
    }

    /// Whether its outcome is there.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Waits for its end.
    pub(super) fn wait(self) -> Outcome {
        self.thread
            .join()
            .unwrap_or_else(|panic| Err(words(&*panic)))
    }
}

/// What a panic said.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}
