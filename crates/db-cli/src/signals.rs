//! Ctrl-C and SIGTERM: the first stops what is running and rolls it back, the second ends at once.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db_core::Interrupt;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::Error;
use crate::exit::{self, Code};

/// The first signal that arrived while something was running.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// What the first signal stops. While nothing is set, a signal ends the program at once.
static RUNNING: Mutex<Option<Interrupt>> = Mutex::new(None);

/// While this lives, a signal stops the run that it was made for.
pub(crate) struct Guard;

/// Lets the next signal stop what `interrupt` belongs to, once somebody listens for signals.
pub(crate) fn guard(interrupt: &Interrupt) -> Guard {
    *running() = Some(interrupt.clone());
    Guard
}

/// Listens for signals. Until then one ends the program at once, which is what it should do while
/// nothing has begun; a program that finds nothing to do then needs no second thread.
///
/// # Errors
/// If the system refuses a signal handler.
pub(crate) fn listen() -> Result<(), Error> {
    start_thread().map_err(|error| Error::Io {
        place: "signal handlers".to_owned(),
        error,
    })
}

/// Until this is dropped, a signal ends the program at once: nothing is running that could be lost.
pub(crate) struct Suspended(Option<Interrupt>);

/// Lets a signal end the program at once, while a person is asked.
pub(crate) fn suspend() -> Suspended {
    Suspended(running().take())
}

/// The code for the signal that arrived, if one did.
pub(crate) fn received() -> Option<Code> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        SIGTERM => Some(Code::Terminated),
        _ => Some(Code::Interrupted),
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *running() = None;
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        *running() = self.0.take();
    }
}

fn running() -> MutexGuard<'static, Option<Interrupt>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the listening thread, once.
fn start_thread() -> std::io::Result<()> {
    static LISTENING: Mutex<bool> = Mutex::new(false);
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    if *listening {
        return Ok(());
    }
    // A file over its limit is an error like a full disk, not the end of the program.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                on_signal(signal);
            }
        })?;
    *listening = true;
    Ok(())
}

fn on_signal(signal: i32) {
    let first = RECEIVED
        .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    let interrupt = running().clone();
    match (first, interrupt) {
        (true, Some(interrupt)) => ask(interrupt),
        _ => end_now(),
    }
}

/// Asks for the stop, on a thread of its own: a server may be slow to answer, and the second signal
/// must not wait for it.
fn ask(interrupt: Interrupt) {
    let asking = move || {
        // If the server cannot be asked, the flag is set all the same, and the run ends with its
        // next statement.
        if let Err(error) = interrupt.interrupt() {
            tracing::warn!(%error, "the server could not be asked to stop");
        }
    };
    let name = "interrupt".to_owned();
    if let Err(error) = std::thread::Builder::new().name(name).spawn(asking) {
        tracing::error!(%error, "no thread to ask for the stop");
        end_now();
    }
}

/// A second signal means now; both engines undo what was not committed.
fn end_now() -> ! {
    exit::leave(received().unwrap_or(Code::Interrupted))
}
