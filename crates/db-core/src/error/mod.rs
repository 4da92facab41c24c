//! The one place where an engine's complaint becomes a kind of error.
//!
//! Diesel hides most codes (every SQLite error but a constraint, and half of PostgreSQL's, arrive
//! as `Unknown` with text), so SQLite is classified by the extended code that
//! [`crate::sqlite`] records beside each failed statement, and PostgreSQL by Diesel's kind and a
//! table of texts in `postgres.rs`. Nobody else in this workspace looks at error texts.

pub(crate) mod advice;
mod inside;
mod mask;
mod postgres;
mod sqlite;
mod sqlstate;
mod violation;

use std::fmt;
use std::num::NonZeroI32;

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::{DatabaseUrl, Engine, UrlError};

pub(crate) use sqlstate::Report;
pub use violation::{ConstraintKind, ConstraintMap, ConstraintRow, Violation};

/// What kind of trouble a database reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another connection holds the lock; trying again may work.
    Busy,
    /// A read transaction wanted to write, but its snapshot is stale; run it again from the start.
    BusySnapshot,
    /// Concurrent transactions conflict; run it again from the start.
    Serialization,
    /// The engine broke a deadlock by ending this transaction.
    Deadlock,
    /// `lock_timeout` or `NOWAIT`.
    LockTimeout,
    /// `statement_timeout`.
    StatementTimeout,
    /// Interrupted on request.
    Cancelled,
    /// A UNIQUE, foreign-key, CHECK, NOT NULL or exclusion constraint.
    Constraint,
    /// No row where one was expected.
    NotFound,
    /// The database or transaction is read-only.
    ReadOnly,
    /// The operating system or the server's role forbids it.
    PermissionDenied,
    /// No space left, or a size limit reached.
    DiskFull,
    /// Reading or writing the file failed.
    Io,
    /// The file is damaged.
    Corrupt,
    /// The file is no SQLite database.
    NotADatabase,
    /// The key does not open the file, or the file is not encrypted at all.
    WrongKey,
    /// The file looks encrypted and there is no key, or none could be had.
    KeyMissing,
    /// The file cannot be opened.
    CannotOpen,
    /// No such file, or no such database on the server.
    DatabaseMissing,
    /// Wrong user, password or `pg_hba.conf` entry.
    Authentication,
    /// The server has no free connection slot.
    TooManyConnections,
    /// The server cannot be reached.
    Unavailable,
    /// The connection broke while in use.
    ConnectionLost,
    /// The SQLite library is one that is known to corrupt databases.
    UnsafeEngine,
    /// The statement is wrong: syntax, or a name that does not exist.
    Statement,
    /// A table, index or other object of this name is there already.
    AlreadyExists,
    /// A value cannot be stored or computed: too long, out of range, no number, a division by zero.
    InvalidValue,
    /// An earlier statement failed, and PostgreSQL refuses all others until the transaction ends; or a
    /// part of a write [failed half way](crate::condemn), and its closure went on.
    TransactionAborted,
    /// Memory ran out.
    OutOfMemory,
    /// No connection, or no turn to write, was free in time.
    Timeout,
    /// Refused at once, because too many wait already.
    Overloaded,
    /// The database was closed.
    Closed,
    /// A call inside another one of the same database and thread, which could wait for itself.
    Nested,
    /// The connection broke while COMMIT was under way: it is committed, or it is not. Never run
    /// again without a look.
    OutcomeUnknown,
    /// Someone ended the transaction that this one shared with others; nothing of it is stored. Run
    /// it again from the start.
    TransactionEnded,
    /// A setting that cannot be.
    Configuration,
    /// Everything else.
    Other,
}

/// An error that a database reported, classified.
#[derive(Debug, Clone)]
pub struct Error {
    pub(crate) kind: ErrorKind,
    message: String,
    detail: Option<Box<str>>,
    /// Whether the message lacks its values, and the detail begins with the whole of it.
    masked: bool,
    hint: Option<Box<str>>,
    context: Option<Box<Context>>,
    sqlite_code: Option<NonZeroI32>,
    position: Option<Position>,
    violation: Option<Box<Violation>>,
}

/// What a server was doing, one pointer wide: every result of every crate has room for an error.
#[derive(Debug, Clone)]
struct Context(Box<str>);

/// Where in a statement's text the engine saw the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Bytes from the start of the statement, from 0 (SQLite).
    Byte(usize),
    /// Characters from the start of the statement, from 0 (PostgreSQL).
    Char(usize),
}

impl Position {
    /// The byte offset in `statement`, at most its length.
    #[must_use]
    pub fn byte_in(self, statement: &str) -> usize {
        match self {
            Self::Byte(at) => at.min(statement.len()),
            Self::Char(at) => statement
                .char_indices()
                .nth(at)
                .map_or(statement.len(), |(byte, _)| byte),
        }
    }
}

impl Error {
    /// An error of this kind with this message.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: None,
            masked: false,
            hint: None,
            context: None,
            sqlite_code: None,
            position: None,
            violation: None,
        }
    }

    /// The same error with a sentence on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// The same error with more to its message.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// An error that SQLite reported to this crate itself, by its extended result code.
    pub(crate) fn from_sqlite_code(code: i32, message: &str) -> Self {
        sqlite::from_code(code, message)
    }

    /// An error that PostgreSQL reported to this crate itself.
    pub(crate) fn from_report(report: Report) -> Self {
        sqlstate::classify(report)
    }

    /// Moves a message that holds values into the detail, and leaves it without them.
    fn mask_by(&mut self, mask: impl FnOnce(&str) -> Option<String>) {
        if let Some(masked) = mask(&self.message) {
            self.masked = true;
            self.detail = Some(std::mem::replace(&mut self.message, masked).into());
        }
    }

    /// Classifies an error of a running connection.
    ///
    /// On SQLite, call it on the thread that ran the statement, before the next one runs.
    #[must_use]
    pub fn classify(engine: Engine, error: &DieselError) -> Self {
        Self::classify_by(error, Some(engine))
    }

    fn classify_by(error: &DieselError, engine: Option<Engine>) -> Self {
        let classified = Self::classified(error, engine);
        crate::failure::note(classified.kind);
        classified.advised()
    }

    /// An error whose engine is not known is SQLite's if this thread recorded a code for its very
    /// message, or if it has one of SQLite's fixed texts; else it is PostgreSQL's.
    fn classified(error: &DieselError, engine: Option<Engine>) -> Self {
        let message = error.to_string();
        match error {
            DieselError::NotFound => Self::new(ErrorKind::NotFound, message),
            DieselError::DatabaseError(kind, information) => {
                let mut classified = match engine {
                    Some(Engine::Sqlite) => sqlite::classify(*kind, &message),
                    Some(Engine::Postgres) => postgres::classify(*kind, information.as_ref()),
                    None => sqlite::recognise(*kind, &message)
                        .unwrap_or_else(|| postgres::classify(*kind, information.as_ref())),
                };
                if let Some(at) = information.statement_position() {
                    let from_zero = usize::try_from(at).unwrap_or(1).saturating_sub(1);
                    classified.position = Some(Position::Char(from_zero));
                }
                if let Some(detail) = information.details() {
                    classified.detail = Some(match classified.detail {
                        Some(whole) => format!("{whole}: {detail}").into(),
                        None => detail.into(),
                    });
                }
                if let Some(hint) = information.hint() {
                    classified.hint = Some(hint.into());
                }
                classified
            }
            DieselError::BrokenTransactionManager => Self::new(ErrorKind::ConnectionLost, message),
            DieselError::RollbackErrorOnCommit {
                commit_error,
                rollback_error: _,
            } => Self::classified(commit_error, engine),
            DieselError::DeserializationError(_) | DieselError::SerializationError(_) => {
                let mut error = Self::new(ErrorKind::Other, message);
                error.mask_by(mask::conversion);
                error
            }
            _ => Self::new(ErrorKind::Other, message),
        }
    }

    /// Classifies a connection to `url` that could not be made; nothing shows its password.
    #[must_use]
    pub fn classify_connect(error: &ConnectionError, url: &DatabaseUrl) -> Self {
        let text = error.to_string();
        let safe = crate::url::redact(&crate::url::scrub(&text, &url.secrets()));
        match (url.engine(), error) {
            (Engine::Postgres, _) => {
                postgres::classify_connect(&text, &safe, &url.without_pacing().to_string())
            }
            (Engine::Sqlite, ConnectionError::CouldntSetupConfiguration(inner)) => {
                Self::classify(Engine::Sqlite, inner)
            }
            (Engine::Sqlite, _) => Self::new(
                sqlite::kind_of_connect(&text),
                format!("cannot open {url}: {safe}"),
            ),
        }
    }

    /// What kind of trouble it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The engine's own words, without a password, and without the values that it is known to
    /// quote. What an application lets its own database say (`RAISE`), and a name that was bound as
    /// a value, is in it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Which row, key or object it is about, where PostgreSQL says so (its DETAIL); before that the
    /// whole message, if it holds values.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What happened, with its detail and without what to do.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.detail {
            Some(whole) if self.masked => whole.to_string(),
            Some(detail) => format!("{}: {detail}", self.message),
            None => self.message.clone(),
        }
    }

    /// What happened, with its detail and what to do: for those who may see the data.
    #[must_use]
    pub fn in_full(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.told()),
            None => self.told(),
        }
    }

    /// What the server was doing, where it said so and this crate asked: of a COPY the table, line,
    /// column and value (its CONTEXT). It holds values, as the detail does.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_ref().map(|context| &*context.0)
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// SQLite's extended result code, where it was recorded.
    #[must_use]
    pub const fn sqlite_code(&self) -> Option<i32> {
        match self.sqlite_code {
            Some(code) => Some(code.get()),
            None => None,
        }
    }

    /// Where in the statement the fault is, where the engine says so.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The constraint that a row broke, as far as the engine says; see
    /// [`constraint`](Self::constraint).
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_deref()
    }

    /// The constraint that a row broke, with what `map` knows of it. On SQLite a foreign key stays
    /// without a name: look for the parent row inside the same write.
    #[must_use]
    pub fn constraint(&self, map: &ConstraintMap) -> Option<Violation> {
        self.violation().map(|violation| map.complete(violation))
    }

    /// Whether running the whole transaction again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Busy
                | ErrorKind::BusySnapshot
                | ErrorKind::Serialization
                | ErrorKind::Deadlock
                | ErrorKind::LockTimeout
                | ErrorKind::TransactionEnded
        )
    }

    /// The same error, when it was COMMIT that it came from: a connection that broke there leaves
    /// the [outcome unknown](ErrorKind::OutcomeUnknown).
    #[must_use]
    pub fn at_commit(mut self) -> Self {
        if self.kind == ErrorKind::ConnectionLost {
            self = self.into_unknown();
        }
        self
    }

    /// What it came to when the transaction may be committed in spite of this error.
    pub(crate) fn into_unknown(mut self) -> Self {
        self.kind = ErrorKind::OutcomeUnknown;
        self.message = format!(
            "whether the transaction was committed is not known: {}",
            self.message
        );
        self.hint = Some("it may be committed; look before running it again".into());
        self
    }
}

/// An error that may have come from a database: what [`RetryPolicy`](crate::RetryPolicy) asks.
///
/// An application's own error type implements it by pointing at the database's error in it.
pub trait DatabaseFailure {
    /// The database's error, if that is what it is.
    fn database_error(&self) -> Option<&Error>;
}

impl DatabaseFailure for Error {
    fn database_error(&self) -> Option<&Error> {
        Some(self)
    }
}

/// So that `?` works in closures, where an error's engine is not at hand.
///
/// On SQLite, convert it on the thread that ran the statement, before the next one fails.
impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        Self::classify_by(&error, None)
    }
}

/// Without the detail, which holds values: messages end up in logs. See [`Error::message`].
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::new(ErrorKind::CannotOpen, error.to_string())
    }
}

/// Diesel's own kinds that mean the same on both engines.
const fn common_kind(kind: DatabaseErrorKind) -> Option<ErrorKind> {
    Some(match kind {
        _ if constraint_kind(kind).is_some() => ErrorKind::Constraint,
        DatabaseErrorKind::SerializationFailure => ErrorKind::Serialization,
        DatabaseErrorKind::ReadOnlyTransaction => ErrorKind::ReadOnly,
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            ErrorKind::ConnectionLost
        }
        _ => return None,
    })
}

const fn constraint_kind(kind: DatabaseErrorKind) -> Option<ConstraintKind> {
    Some(match kind {
        DatabaseErrorKind::UniqueViolation => ConstraintKind::Unique,
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => {
            ConstraintKind::ForeignKey
        }
        DatabaseErrorKind::NotNullViolation => ConstraintKind::NotNull,
        DatabaseErrorKind::CheckViolation => ConstraintKind::Check,
        DatabaseErrorKind::ExclusionViolation => ConstraintKind::Exclusion,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_never_repeats_the_password() {
        for (url, said) in [
            (
                "postgres://u:hunter2@h/d",
                "could not translate host name \"hunter2\"",
            ),
            (
                "postgres://u:hun%40ter2@h/d",
                "bad \"hun@ter2\" and \"hun%40ter2\"",
            ),
            ("postgres://h/d?password=hunter2", "no user for hunter2"),
            (
                "postgres://u:hunter2@[h/d",
                "no ] in URI: \"postgres://u:hunter2@[h/d\"",
            ),
        ] {
            let url = DatabaseUrl::Postgres(url.to_owned());
            let error = ConnectionError::BadConnection(said.to_owned());
            let error = Error::classify_connect(&error, &url);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn a_password_that_is_a_word_of_the_message_does_not_hide_the_kind() {
        let url = DatabaseUrl::Postgres("postgres://u:authentication@h/d".to_owned());
        let said = "password authentication failed for user \"u\"".to_owned();
        let error = Error::classify_connect(&ConnectionError::BadConnection(said), &url);
        assert_eq!(error.kind(), ErrorKind::Authentication);
    }
}
