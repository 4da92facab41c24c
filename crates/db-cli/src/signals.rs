//! Ctrl-C and SIGTERM: the first stops what is running and rolls it back, the second ends at once.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use db_core::Interrupt;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::Error;
use crate::exit::{self, Code};
use crate::output::Output;

/// How long after a signal the same one again is the same wish: GNU `timeout` signals a process and then
/// its group. Nobody presses Ctrl-C twice as fast.
const ONE_WISH: Duration = Duration::from_millis(200);

/// The first signal that arrived while something was running.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// What a signal meets.
static WORK: Mutex<Work> = Mutex::new(Work::None);

/// Where a signal that ends the program at once says so, if it does.
static SAYS_SO: OnceLock<Output> = OnceLock::new();

/// What a second signal has to say, where the engine does not undo everything by itself.
static LAST_WORDS: OnceLock<&str> = OnceLock::new();

/// What a signal meets.
enum Work {
    /// Nothing is running: a signal ends the program at once.
    None,
    /// The first signal stops it.
    Running(Interrupt),
    /// It has come to its end, and only has to be told. One signal is too late to stop anything, and must
    /// not take away the document that says what was done; it is kept for work that begins after all.
    Over { late: Option<i32> },
}

/// While this lives, a signal stops the run that it was made for.
pub(crate) struct Guard;

/// Lets the next signal stop what `interrupt` belongs to, once somebody listens for signals.
pub(crate) fn guard(interrupt: &Interrupt) -> Guard {
    let before = std::mem::replace(&mut *work(), Work::Running(interrupt.clone()));
    if let Work::Over { late: Some(signal) } = before {
        on_signal(signal);
    }
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

/// The same for what may end at any moment, since nothing of it is half done: the first signal ends the
/// program at once, and says so.
///
/// # Errors
/// As [`listen`].
pub(crate) fn listen_to_end(output: &Output) -> Result<(), Error> {
    SAYS_SO.get_or_init(|| output.clone());
    listen()
}

/// Says what the second signal leaves behind, and what to do about it.
pub(crate) fn last_words(words: &'static str) {
    LAST_WORDS.get_or_init(|| words);
}

/// Until this is dropped, a signal ends the program at once: nothing is running that could be lost.
pub(crate) struct Suspended(Work);

/// Lets a signal end the program at once, while a person is asked.
pub(crate) fn suspend() -> Suspended {
    Suspended(std::mem::replace(&mut *work(), Work::None))
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
        // What may end at any moment is not over with this look.
        *work() = if SAYS_SO.get().is_some() {
            Work::None
        } else {
            Work::Over { late: None }
        };
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        *work() = std::mem::replace(&mut self.0, Work::None);
    }
}

fn work() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
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
            let mut echoes = Echoes::default();
            for signal in signals.forever() {
                if !echoes.has(signal, Instant::now()) {
                    on_signal(signal);
                }
            }
        })?;
    *listening = true;
    Ok(())
}

/// Tells signals from their echoes.
#[derive(Default)]
struct Echoes {
    last: Option<(i32, Instant)>,
}

impl Echoes {
    /// Whether it says the same as the last one that was no echo.
    fn has(&mut self, signal: i32, at: Instant) -> bool {
        let is_one = self
            .last
            .is_some_and(|(last, then)| last == signal && at.duration_since(then) < ONE_WISH);
        if !is_one {
            self.last = Some((signal, at));
        }
        is_one
    }
}

fn on_signal(signal: i32) {
    let mut work = work();
    if let Work::Over { late: late @ None } = &mut *work {
        *late = Some(signal);
        return;
    }
    let first = RECEIVED
        .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    match &*work {
        Work::Running(interrupt) if first => ask(interrupt.clone()),
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
    // It is how a watch ends, and no error; with --json it is a line of JSON.
    if let Some(output) = SAYS_SO.get() {
        output.note("interrupted");
    }
    if let (true, Some(words)) = (RECEIVED.load(Ordering::SeqCst) != 0, LAST_WORDS.get()) {
        crate::output::to_stderr(words);
    }
    exit::leave(received().unwrap_or(Code::Interrupted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_signal_at_once_is_an_echo_and_a_later_or_another_one_is_not() {
        let begin = Instant::now();
        let mut echoes = Echoes::default();
        let mut has = |signal, ms| echoes.has(signal, begin + Duration::from_millis(ms));
        assert!(!has(SIGINT, 0));
        assert!(has(SIGINT, 0));
        assert!(has(SIGINT, 199));
        // Counted from the first: who goes on pressing is heard.
        assert!(!has(SIGINT, 200));
        assert!(!has(SIGTERM, 201));
        assert!(has(SIGTERM, 202));
    }
}
