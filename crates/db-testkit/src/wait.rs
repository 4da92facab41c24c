//! Waiting for what another process or a server does in its own time.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks until there is something, and returns that.
///
/// # Panics
/// If there is nothing after two minutes. `what` says what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::park_timeout(PAUSE);
    }
}

/// Looks until it is so.
///
/// # Panics
/// As [`wait_for`].
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// What `work` returns, which is done in a thread of its own: one that hangs fails the test, and does not keep it.
///
/// # Panics
/// If it has not ended after two minutes, or panics. `what` says whose end was waited for.
#[track_caller]
pub fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(work()));
    match told.recv_timeout(LONG) {
        Ok(done) => done,
        Err(error) => panic!("waited in vain for the end of {what}: {error}"),
    }
}
