//! One run at a time on a database, across processes and machines.
//!
//! Look, lock, look again (docs/adr/0005): nothing is locked when there is nothing to do, and what
//! was seen before the lock was taken is read again under it. Both engines' locks are released by
//! the operating system or the server when the holder dies, so nothing is ever left locked.

mod postgres;
mod sqlite;

use std::time::{Duration, Instant};

use db_core::folder::LockedFile;
use db_core::{Conn, Interrupt};

use crate::error::Error;
use crate::ledger::Ledger;

/// The first pause between two tries; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause between two tries: how late a waiting run may notice that it can go on.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a pause goes on without a look at the interrupt.
const SLICE: Duration = Duration::from_millis(20);

/// The held lock. Dropping it releases it on SQLite; on PostgreSQL call [`Held::release`].
#[derive(Debug)]
pub(crate) enum Held {
    Sqlite {
        #[expect(dead_code, reason = "the open file is the lock")]
        file: Option<LockedFile>,
    },
    Postgres(postgres::AdvisoryLock),
}

impl Held {
    /// Releases the lock. A connection that broke has released it already.
    pub(crate) fn release(self, conn: &mut Conn<'_>) {
        if let (Self::Postgres(lock), Conn::Postgres(c)) = (self, conn) {
            lock.release(c);
        }
    }
}

/// How long to wait for another run, and how to stop waiting.
pub(crate) struct Patience<'p> {
    pub(crate) wait: Duration,
    pub(crate) interrupt: Option<&'p Interrupt>,
    /// Called with the holder's description, once for each lock, when it turns out that there is a wait.
    pub(crate) on_wait: &'p mut dyn FnMut(&str),
}

/// Takes the lock, waiting for another run as long as `patience` says.
pub(crate) fn acquire(
    ledger: &Ledger,
    conn: &mut Conn<'_>,
    patience: &mut Patience<'_>,
) -> Result<Held, Error> {
    match conn.reborrow() {
        Conn::Sqlite(c) => sqlite::acquire(c, patience).map(|file| Held::Sqlite { file }),
        Conn::Postgres(c) => postgres::acquire(c, ledger.schema(), patience).map(Held::Postgres),
    }
}

/// What one try gave.
enum Try<T> {
    Got(T),
    /// Someone else holds it.
    Held(String),
}

/// Tries until it works, the patience is at an end, or the interrupt is set.
fn poll<T>(
    patience: &mut Patience<'_>,
    mut attempt: impl FnMut() -> Result<Try<T>, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let holder = match attempt()? {
            Try::Got(lock) => return Ok(lock),
            Try::Held(holder) => holder,
        };
        let waited = started.elapsed();
        if waited >= patience.wait {
            return Err(Error::Locked {
                holder,
                waited: patience.wait,
            });
        }
        if !told {
            (patience.on_wait)(&holder);
            told = true;
        }
        sleep(
            pause.min(patience.wait.saturating_sub(waited)),
            patience.interrupt,
        )?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Pauses, but ends at once with an error when the interrupt is set.
pub(crate) fn sleep(pause: Duration, interrupt: Option<&Interrupt>) -> Result<(), Error> {
    let until = Instant::now() + pause;
    loop {
        if interrupt.is_some_and(Interrupt::is_set) {
            return Err(Error::Interrupted { report: None });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "neither flock nor pg_try_advisory_lock can be waited for with a deadline"
        )]
        std::thread::sleep(left.min(SLICE));
    }
}
