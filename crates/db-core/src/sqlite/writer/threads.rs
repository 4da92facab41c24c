//! The writer's threads: one that serves, and one that takes over when the first is held up.
//!
//! The second is started when the first has to wait for another process for the first time. Then it
//! sleeps until the wait has lasted too long (see `turnstile`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::connection::SqliteBackend;
use super::executor::{Course, Executor, Served};
use super::turnstile::Line;

/// Those that were started.
pub(super) struct Threads {
    line: Option<Arc<Line>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Serves,
    Watches,
}

impl Threads {
    /// Starts the one that serves.
    pub(super) fn start(
        executor: &Arc<Executor<SqliteBackend>>,
        line: Option<Arc<Line>>,
    ) -> io::Result<Arc<Self>> {
        let threads = Arc::new(Self {
            line,
            handles: Mutex::default(),
        });
        threads.spawn(executor, Role::Serves)?;
        Ok(threads)
    }

    /// Waits for their end, after the executor's. One that still waits for another process is left
    /// to itself. False when one has failed.
    pub(super) fn join(&self) -> bool {
        let handles = std::mem::take(&mut *self.handles());
        if self.line.as_ref().is_some_and(|line| !line.over()) {
            return true;
        }
        // All of them, also after one that failed.
        let ended: Vec<_> = handles.into_iter().map(JoinHandle::join).collect();
        ended.iter().all(Result::is_ok)
    }

    /// Whether the caller is one of them.
    pub(super) fn are_current(&self) -> bool {
        let current = std::thread::current().id();
        self.handles()
            .iter()
            .any(|handle| handle.thread().id() == current)
    }

    fn handles(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(
        self: &Arc<Self>,
        executor: &Arc<Executor<SqliteBackend>>,
        role: Role,
    ) -> io::Result<()> {
        let (threads, executor) = (Arc::clone(self), Arc::clone(executor));
        let mut handles = self.handles();
        let thread = std::thread::Builder::new()
            .name("db-writer".to_owned())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| threads.run(&executor, role))).is_err() {
                    if let Some(line) = &threads.line {
                        line.over();
                    }
                    executor.abandon();
                    tracing::error!("the writer's thread failed; no more writes are taken");
                }
            })?;
        handles.push(thread);
        Ok(())
    }

    fn run(self: &Arc<Self>, executor: &Arc<Executor<SqliteBackend>>, mut role: Role) {
        let mut course = Course::default();
        loop {
            let Some(line) = &self.line else {
                // Nothing to wait for.
                executor.serve(&mut course);
                return;
            };
            match role {
                Role::Serves => match executor.serve(&mut course) {
                    Served::All => {
                        line.over();
                        return;
                    }
                    Served::Until(deadline) => {
                        let is_alone = self.handles().len() < 2;
                        if is_alone && let Err(error) = self.spawn(executor, Role::Watches) {
                            tracing::warn!(%error, "the wait for other processes has no limit: no thread");
                        }
                        if !line.queue(deadline) {
                            course = Course::default();
                            role = Role::Watches;
                        }
                    }
                },
                Role::Watches => {
                    if !line.watch() {
                        return;
                    }
                    role = Role::Serves;
                }
            }
        }
    }
}
