//! Stopping what a connection is doing, from another thread or a signal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::DatabaseUrl;

/// A handle that makes the running statement end with [`crate::ErrorKind::Cancelled`].
///
/// It stays set until [`Interrupt::clear`], so that the statement after it ends as well.
#[derive(Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    /// Whether somebody has seen the flag, and is on the way out.
    noticed: Arc<AtomicBool>,
    backend: Option<Backend>,
}

/// A PostgreSQL backend process, and how to reach its server a second time.
#[derive(Clone)]
struct Backend {
    url: DatabaseUrl,
    pid: i32,
}

impl Interrupt {
    pub(crate) fn for_backend(url: DatabaseUrl, pid: i32) -> Self {
        Self {
            flag: Arc::default(),
            noticed: Arc::default(),
            backend: Some(Backend { url, pid }),
        }
    }

    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// Asks for the stop. On PostgreSQL this opens a second connection, because libpq's own cancel
    /// needs the first one's handle, which Diesel keeps to itself; it returns when the running
    /// statement has ended, or after some seconds in which none was running.
    ///
    /// # Errors
    /// On PostgreSQL, when the server cannot be asked; the flag is set all the same.
    pub fn interrupt(&self) -> Result<(), crate::Error> {
        self.flag.store(true, Ordering::SeqCst);
        match &self.backend {
            Some(backend) => crate::postgres::cancel(&backend.url, backend.pid, || {
                self.noticed.load(Ordering::SeqCst)
            }),
            None => Ok(()),
        }
    }

    /// Whether a stop was asked for. Whoever asks is taken to begin nothing more if it was.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let set = self.flag.load(Ordering::SeqCst);
        if set {
            self.noticed.store(true, Ordering::SeqCst);
        }
        set
    }

    /// Forgets the request.
    pub fn clear(&self) {
        self.flag.store(false, Ordering::SeqCst);
        self.noticed.store(false, Ordering::SeqCst);
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt")
            .field("set", &self.flag)
            .finish_non_exhaustive()
    }
}
