//! The async door: the same database, for callers that may not block.
//!
//! Writes to a SQLite file wait in the writer's own queue, without a thread. Everything else runs
//! on as many threads as the database has connections, which are this database's own.

mod call;
mod threads;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{DatabaseFailure, Error, ErrorKind};
use crate::failure;
use crate::metrics::Operation;
use crate::nesting::Use;
use crate::retry::RetryPolicy;
use crate::sqlite::{Answer, Reply, Writer};
use crate::{Conn, Database, TransactionOptions};

use call::{Blocking, Call, Pending, call};
pub(crate) use threads::Threads;

/// A [`Database`] for async code on tokio. Clones share it.
///
/// A future does nothing before it is first polled. Dropped before its closure has begun, it has
/// done nothing and never will; dropped after, the closure runs to its end, and a write is
/// committed or rolled back as a whole.
///
/// ```
/// use db_core::{AsyncDatabase, Database, DatabaseConfig, Error};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let database = Database::open(&DatabaseConfig::new("sqlite::memory:"))?;
/// let database = AsyncDatabase::new(database);
/// database
///     .write(|conn| Ok::<_, Error>(conn.batch_execute("CREATE TABLE dice (face INTEGER)")?))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncDatabase {
    database: Database,
}

impl AsyncDatabase {
    /// The async door of an open database. All doors of one database share its threads.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// The database behind it, whose calls block.
    #[must_use]
    pub const fn blocking(&self) -> &Database {
        &self.database
    }

    /// [`Database::read`].
    ///
    /// # Errors
    /// As there; `Timeout` when it has not begun within the `connection_timeout`.
    ///
    /// # Panics
    /// With the closure's panic, or without a tokio runtime that has a timer.
    #[track_caller]
    pub fn read<T, E>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let place = Location::caller();
        let database = self.database.clone();
        self.on_a_thread(Use::Read, move |begin| {
            database.read_at(place, &TransactionOptions::default(), |conn| {
                begin()?;
                f(conn)
            })
        })
    }

    /// [`Database::write`].
    ///
    /// # Errors
    /// As there; `Timeout` when it has not begun within the `connection_timeout`.
    ///
    /// # Panics
    /// With the closure's panic, or without a tokio runtime that has a timer.
    #[track_caller]
    pub fn write<T, E>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_at(Location::caller(), f)
    }

    async fn write_at<T, E>(
        &self,
        place: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let Some(writer) = self.database.queue() else {
            let database = self.database.clone();
            return self
                .on_a_thread(Use::Write, move |begin| {
                    database.write_at(place, &TransactionOptions::default(), |conn| {
                        begin()?;
                        f(conn)
                    })
                })
                .await;
        };
        let queued = async {
            let (call, pending) = self.call();
            let turn = pending.turn();
            writer.submit(
                place,
                move |conn| {
                    if !turn.begin() {
                        return Err(given_up().into());
                    }
                    failure::of_caller(|| f(&mut Conn::Sqlite(conn)))
                },
                pending,
            );
            self.count();
            let answer = call.answer(|| self.database.oldest(Use::Write)).await;
            self.count();
            answer
        };
        self.database.measured_async(Operation::Write, queued).await
    }

    /// [`Database::write_with_retry`]; between attempts no thread waits.
    ///
    /// # Errors
    /// Those of the last attempt.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_with_retry<T, E>(
        &self,
        policy: &RetryPolicy,
        f: impl FnMut(&mut Conn<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + DatabaseFailure + Send + 'static,
    {
        self.write_again(Location::caller(), policy, f)
    }

    async fn write_again<T, E>(
        &self,
        place: &'static Location<'static>,
        policy: &RetryPolicy,
        f: impl FnMut(&mut Conn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + DatabaseFailure + Send + 'static,
    {
        let f = Arc::new(Mutex::new(f));
        let mut attempts = policy.begin(self.database.budget());
        loop {
            let attempt = Arc::clone(&f);
            let result = self
                .write_at(place, move |conn| {
                    let mut f = attempt.lock().unwrap_or_else(PoisonError::into_inner);
                    (*f)(conn)
                })
                .await;
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let pause = error
                .database_error()
                .and_then(|reported| attempts.after(reported));
            let Some(pause) = pause else {
                return Err(error);
            };
            self.database.metrics().retried();
            tokio::time::sleep(pause).await;
        }
    }

    /// [`Database::close`]. Calls that have not begun are refused, but for writes to a SQLite file:
    /// those are done, as far as `patience` allows.
    ///
    /// # Errors
    /// As there.
    pub async fn close(&self, patience: Duration) -> Result<(), Error> {
        self.database.threads().close();
        let database = self.database.clone();
        // A thread of its own: those of the calls take no more.
        let (sender, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("db-close".to_owned())
            .spawn(move || sender.send(database.close(patience)))
            .map_err(|e| Error::new(ErrorKind::Other, format!("cannot start a thread: {e}")))?;
        ended
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Other, "closing has panicked")))
    }

    /// Runs a blocking call on a thread; it is given the right to begin, or the error that its
    /// caller has gone.
    async fn on_a_thread<T, E>(
        &self,
        what: Use,
        run: impl FnOnce(&(dyn Fn() -> Result<(), Error> + Sync)) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (call, pending) = self.call();
        let turn = pending.turn();
        let job = Blocking::new(pending, move || {
            run(&|| {
                if turn.begin() {
                    Ok(())
                } else {
                    Err(given_up())
                }
            })
        });
        self.database.threads().submit(Box::new(job));
        self.count();
        let answer = call.answer(|| self.database.oldest(what)).await;
        self.count();
        answer
    }

    fn call<T, E>(&self) -> (Call<T, E>, Pending<T, E>) {
        call(self.database.limits().patience)
    }

    /// Tells how many calls have not begun.
    fn count(&self) {
        self.database.metrics().async_pending(|| {
            let queued = self.database.queue().map_or(0, Writer::pending);
            queued + self.database.threads().waiting()
        });
    }
}

impl fmt::Debug for AsyncDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncDatabase")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl<T: Send, E: Send> Reply<T, E> for Pending<T, E> {
    fn is_gone(&self) -> bool {
        self.is_given_up()
    }

    fn send(self, answer: Answer<T, E>) {
        Self::send(self, answer);
    }
}

/// For nobody: the caller has left.
fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the caller has given up")
}

#[cfg(test)]
mod tests;
