//! A closure between BEGIN and COMMIT, or a single statement without them.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::PgConnection;

use super::connect::millis;
use super::session::{Commit, Seen, Session};
use super::signs::Signs;
use crate::error::advice::SAVEPOINT;
use crate::{Conn, Error, ErrorKind, IsolationLevel, TransactionOptions};

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// How transactions begin on this database.
#[derive(Debug)]
pub(super) struct Beginning {
    isolation: IsolationLevel,
    /// Behind a pooler the session cannot hold the limits, so each transaction sets its own.
    suffix: String,
}

impl Beginning {
    pub(super) fn new(isolation: IsolationLevel, local_limits: &[(&'static str, u64)]) -> Self {
        let mut suffix = String::new();
        for (name, limit) in local_limits {
            // Writing to a String cannot fail.
            let _infallible = write!(suffix, "; SET LOCAL {name} = {limit}");
        }
        Self { isolation, suffix }
    }

    /// The isolation that a transaction gets.
    pub(super) fn isolation(
        &self,
        purpose: Purpose,
        options: &TransactionOptions,
    ) -> IsolationLevel {
        options.isolation.unwrap_or(match purpose {
            Purpose::Read => IsolationLevel::RepeatableRead,
            Purpose::Write => self.isolation,
        })
    }

    /// The text that begins it; its settings travel in the same message.
    pub(super) fn sql(&self, purpose: Purpose, options: &TransactionOptions) -> Cow<'static, str> {
        use IsolationLevel::{ReadCommitted, RepeatableRead, Serializable};
        let text = match (self.isolation(purpose, options), purpose) {
            (ReadCommitted, Purpose::Read) => "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
            (RepeatableRead, Purpose::Read) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Serializable, Purpose::Read) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
            (ReadCommitted, Purpose::Write) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            (RepeatableRead, Purpose::Write) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
            (Serializable, Purpose::Write) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
        };
        if !options.deferrable && options.statement_timeout.is_none() && self.suffix.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut sql = text.to_owned();
        if options.deferrable {
            sql.push_str(" DEFERRABLE");
        }
        sql.push_str(&self.suffix);
        if let Some(limit) = options.statement_timeout {
            // Writing to a String cannot fail.
            let _infallible = write!(sql, "; SET LOCAL statement_timeout = {}", millis(limit));
        }
        Cow::Owned(sql)
    }
}

/// What a closure came to: its result, or the panic that ended it.
pub(super) type Outcome<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

/// Runs a closure in the transaction that the session has open, and ends it. `before_commit` has
/// the connection before that, if the transaction can be committed, and says how; where it fails, it
/// is not.
///
/// # Errors
/// The closure's own; what ended or broke the transaction; `OutcomeUnknown` if a COMMIT was sent
/// and its answer is missing.
pub(super) fn run<T, E>(
    session: &mut Session,
    purpose: Purpose,
    isolation: IsolationLevel,
    f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    before_commit: impl FnOnce(&mut PgConnection, Seen) -> Result<Commit, Error>,
) -> (Outcome<T, E>, Seen)
where
    E: From<Error>,
{
    session.start_watching();
    let result = catch_unwind(AssertUnwindSafe(|| {
        f(&mut Conn::Postgres(&mut session.conn))
    }));
    let seen = session.stop_watching();
    let result = match result {
        Ok(Ok(value)) => {
            let ended = check(session, purpose, seen)
                .and_then(|()| {
                    before_commit(&mut session.conn, seen).inspect_err(|_| abandon(session))
                })
                .and_then(|how| commit(session, how, purpose, isolation));
            Ok(ended.map(|()| value).map_err(E::from))
        }
        Ok(Err(error)) => {
            let has_ended = has_ended(session, seen);
            abandon(session);
            Ok(Err(match purpose {
                // Whoever runs it again for this error would do twice what may be committed.
                Purpose::Write if has_ended => E::from(ended(purpose)),
                _ => error,
            }))
        }
        Err(panic) => {
            abandon(session);
            session.forget();
            if seen.signs.has(Signs::SPOILS) {
                session.condemn();
            }
            return (Err(panic), seen);
        }
    };
    if seen.signs.has(Signs::SPOILS) {
        session.condemn();
    } else if !seen.plain {
        session.forget();
    }
    (result, seen)
}

/// Runs a closure of one statement, which is its own transaction.
///
/// # Errors
/// The closure's own; `Statement` if there was more than one, which do not share a snapshot, or one
/// that begins or ends a transaction.
pub(super) fn run_single<T, E>(
    session: &mut Session,
    f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
) -> (Outcome<T, E>, Seen)
where
    E: From<Error>,
{
    session.start_watching();
    let result = catch_unwind(AssertUnwindSafe(|| {
        f(&mut Conn::Postgres(&mut session.conn))
    }));
    let seen = session.stop_watching();
    // Diesel does not see a transaction that was begun by SQL as text.
    let has_begun = seen.signs.has(Signs::BEGINS.and(Signs::ENDS));
    if has_begun || seen.signs.has(Signs::SPOILS) || !matches!(session.depth(), Ok(0)) {
        session.condemn();
    } else if seen.plain {
        session.owe_reset();
    } else {
        session.forget();
    }
    let result = match result {
        Ok(Ok(_)) if has_begun => Err(E::from(Error::new(
            ErrorKind::Statement,
            "a read of one statement began or ended a transaction; use `read` or `write`",
        ))),
        Ok(Ok(_)) if seen.statements > 1 => Err(E::from(Error::new(
            ErrorKind::Statement,
            format!(
                "a read of one statement sent {}: they may have seen different states; \
                 use `read`",
                seen.statements
            ),
        ))),
        Ok(result) => {
            session.touch();
            result
        }
        Err(panic) => return (Err(panic), seen),
    };
    (Ok(result), seen)
}

/// Makes sure that the transaction is still the one that was opened, and can be committed; if not,
/// it is undone.
fn check(session: &mut Session, purpose: Purpose, seen: Seen) -> Result<(), Error> {
    if has_ended(session, seen) {
        abandon(session);
        return Err(ended(purpose));
    }
    match session.depth() {
        Ok(0 | 1) => {}
        Ok(depth) => {
            session.condemn();
            return Err(Error::new(
                ErrorKind::Statement,
                format!(
                    "the closure left {} savepoints open: rolled back",
                    depth - 1
                ),
            ));
        }
        Err(_) => {
            session.condemn();
            return Err(Error::new(
                ErrorKind::ConnectionLost,
                "the connection broke during the transaction, which was rolled back",
            ));
        }
    }
    if seen.failed && !session.is_alive() {
        abandon(session);
        return Err(Error::new(
            ErrorKind::Statement,
            "a statement failed and the closure went on: the transaction was rolled back",
        )
        .with_hint(SAVEPOINT));
    }
    Ok(())
}

/// Whether the closure ended the transaction that was opened for it; it may have begun another one.
fn has_ended(session: &mut Session, seen: Seen) -> bool {
    seen.signs.has(Signs::ENDS) || matches!(session.depth(), Ok(0))
}

/// Commits.
fn commit(
    session: &mut Session,
    how: Commit,
    purpose: Purpose,
    isolation: IsolationLevel,
) -> Result<(), Error> {
    let Err(error) = session.commit(how) else {
        return Ok(());
    };
    if purpose == Purpose::Read && isolation != IsolationLevel::Serializable {
        // What was read is complete; the session is another matter.
        session.condemn();
        return Ok(());
    }
    Err(match error.kind() {
        // The message holds the reset as well: a request to cancel may have met that one.
        ErrorKind::ConnectionLost
        | ErrorKind::Cancelled
        | ErrorKind::StatementTimeout
        | ErrorKind::OutOfMemory => {
            session.condemn();
            unknown(purpose, error)
        }
        // Nothing but a COMMIT fails with these.
        ErrorKind::Constraint | ErrorKind::Serialization | ErrorKind::Deadlock => error,
        // It may have been what follows the COMMIT. What fails there does so again.
        _ if session.can_reset() => error,
        _ => unknown(purpose, error),
    })
}

fn unknown(purpose: Purpose, error: Error) -> Error {
    match purpose {
        Purpose::Read => error,
        Purpose::Write => error.into_unknown(),
    }
}

/// Rolls back after an error or a panic.
fn abandon(session: &mut Session) {
    match session.depth() {
        // The closure or the server ended it.
        Ok(0) => session.forget(),
        Ok(_) => session.roll_back(),
        Err(_) => session.condemn(),
    }
}

fn ended(purpose: Purpose) -> Error {
    match purpose {
        Purpose::Read => Error::new(
            ErrorKind::Statement,
            "the closure ended its own transaction, so its statements may have seen different \
             states",
        ),
        Purpose::Write => Error::new(
            ErrorKind::OutcomeUnknown,
            "the closure ended its own transaction: what it did before may be committed",
        )
        .with_hint("a closure sends no COMMIT, ROLLBACK or the like; it returns Ok or an error"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_transaction_says_what_it_is() {
        let plain = Beginning::new(IsolationLevel::ReadCommitted, &[]);
        let none = TransactionOptions::default();
        assert_eq!(
            plain.sql(Purpose::Read, &none),
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        );
        assert_eq!(
            plain.sql(Purpose::Write, &none),
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        );
        let pooled = Beginning::new(IsolationLevel::ReadCommitted, &[("lock_timeout", 5)]);
        let options = none
            .isolation(IsolationLevel::Serializable)
            .deferrable()
            .statement_timeout(Duration::from_secs(1));
        assert_eq!(
            pooled.sql(Purpose::Read, &options),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; \
             SET LOCAL lock_timeout = 5; SET LOCAL statement_timeout = 1000"
        );
    }
}
