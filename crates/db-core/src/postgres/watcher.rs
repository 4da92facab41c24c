//! A thread beside the pools that reports connections held too long.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::borrows::Borrows;
use crate::{Error, ErrorKind};

/// How often it looks: what is overdue is reported within a second.
const LOOK_MOST: Duration = Duration::from_millis(500);

/// A threshold of nothing is no reason to look all the time.
const LOOK_LEAST: Duration = Duration::from_millis(10);

/// The thread, which ends when this is dropped.
pub(super) struct Watcher(Mutex<Option<(Sender<()>, JoinHandle<()>)>>);

impl Watcher {
    /// Watches over these pools.
    pub(super) fn start(pools: Vec<Arc<Borrows>>, threshold: Duration) -> Result<Self, Error> {
        let (end, ended) = mpsc::channel();
        let every = (threshold / 2).clamp(LOOK_LEAST, LOOK_MOST);
        // What it reports goes to whoever listens where the database is opened.
        let listener = tracing::dispatcher::get_default(Clone::clone);
        let look = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                for pool in &pools {
                    pool.report_overdue(threshold);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("db-watcher".to_owned())
            .spawn(move || tracing::dispatcher::with_default(&listener, look))
            .map_err(|e| Error::new(ErrorKind::Other, format!("cannot start a thread: {e}")))?;
        Ok(Self(Mutex::new(Some((end, thread)))))
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((end, thread)) = running else { return };
        drop(end);
        if thread.join().is_err() {
            tracing::error!("the thread that watches over connections has panicked");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}
