//! A disk that fails on request, under a SQLite that knows nothing of it.
//!
//! A SQLite VFS of this module becomes the process's default one and passes every call on to the
//! system's. For files below the folder of a [`Disk`] it can let a call fail, run out of space, and
//! write down what was written and synced, so that a loss of power can be played through later.
//! Files elsewhere are left alone, so tests may run side by side.

mod file;
mod record;
mod state;
mod vfs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use record::{Image, Record};
pub use state::{Call, Duration};

use state::State;

/// All files below one folder, for as long as this is kept.
pub struct Disk {
    state: Arc<State>,
}

impl Disk {
    /// Watches the files that SQLite opens below `folder` from now on.
    ///
    /// # Panics
    /// If the folder is not there.
    #[must_use]
    #[track_caller]
    pub fn over(folder: &Path) -> Self {
        // As SQLite names them: without links.
        let folder = folder
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let state = Arc::new(State::new(folder));
        vfs::watch(&state);
        Self { state }
    }

    /// Lets the `n`-th call from now on fail, from 0, and perhaps all after it.
    pub fn fail(&self, n: u64, duration: Duration) {
        self.state.fail(n, duration);
    }

    /// Lets all calls succeed again.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Calls that could have failed since the last [`fail`](Self::fail) or [`heal`](Self::heal).
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.calls()
    }

    /// The calls that failed since the last [`fail`](Self::fail), the first one first.
    #[must_use]
    pub fn failed(&self) -> Vec<(Call, PathBuf)> {
        self.state.failed()
    }

    /// How many bytes all files may have together from now on; none for as many as they like.
    pub fn limit(&self, bytes: Option<u64>) {
        self.state.limit(bytes);
    }

    /// Bytes that all files have together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state.used()
    }

    /// Begins to write down what is written.
    pub fn record(&self) {
        self.state.record();
    }

    /// Writes down that the program was told something, which it will remember by this number.
    pub fn mark(&self, number: u64) {
        self.state.mark(number);
    }

    /// What was written since [`record`](Self::record).
    #[must_use]
    pub fn recorded(&self) -> Record {
        self.state.recorded()
    }
}
