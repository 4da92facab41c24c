//! A thread beside a database that reports connections held too long.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Held;
use crate::{Error, ErrorKind};

/// It sleeps at least so long: a threshold of nothing is no reason to look all the time.
const LEAST: Duration = Duration::from_millis(10);

/// The thread, which ends when this is dropped.
pub(crate) struct Watcher(Mutex<Option<(Sender<()>, JoinHandle<()>)>>);

impl Watcher {
    /// Watches over these connections. One that is held for `threshold` is reported then.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(all: Vec<Arc<Held>>, threshold: Duration) -> Result<Self, Error> {
        let (end, ended) = mpsc::channel();
        // What it reports goes to whoever listens where the database is opened.
        let listener = tracing::dispatcher::get_default(Clone::clone);
        let watch = move || {
            // Of whatever is taken after a look, nothing is overdue before the threshold has passed.
            let mut next = threshold;
            while ended.recv_timeout(next.max(LEAST)) == Err(RecvTimeoutError::Timeout) {
                next = look(&all, threshold);
            }
        };
        let thread = thread::Builder::new()
            .name("db-watcher".to_owned())
            .spawn(move || tracing::dispatcher::with_default(&listener, watch))
            .map_err(|e| Error::new(ErrorKind::Other, format!("cannot start a thread: {e}")))?;
        Ok(Self(Mutex::new(Some((end, thread)))))
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((end, thread)) = running else { return };
        drop(end);
        // What it reports may let the last handle of the database go, and then this is that thread.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that watches over connections has panicked");
        }
    }
}

/// Reports what is overdue, and tells how soon something else can be.
pub(super) fn look(all: &[Arc<Held>], threshold: Duration) -> Duration {
    let looks = all.iter().map(|held| held.report(threshold));
    looks.min().unwrap_or(threshold)
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}
