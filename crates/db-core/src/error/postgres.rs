//! PostgreSQL's messages, English, as Diesel hands them on without their SQLSTATE.
//!
//! Diesel 2.3 keeps the code private (its accessor, pull request 5232, is not released), so the
//! texts stand here, in one table, each with the SQLSTATE it stands for. A server that speaks
//! another language is asked for English when the connection is made ([`crate::postgres`]).

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};

use super::violation::Violation;
use super::{Error, ErrorKind, common_kind, constraint_kind, mask};
use Part::{Begins, Holds};

/// How a text is found in a message.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// At its begin.
    Begins(&'static str),
    /// Anywhere outside of quotes.
    Holds(&'static str),
}

/// Messages of a running connection: (part of the text, SQLSTATE, kind).
///
/// Messages quote values, and a value can be any text: one that holds "deadlock detected" must not
/// have its write run again. So what can stand at the begin is looked for there, and the rest where
/// there are no values.
const MESSAGES: &[(Part, &str, ErrorKind)] = &[
    (
        Begins("could not serialize access"),
        "40001",
        ErrorKind::Serialization,
    ),
    (
        Begins("canceling statement due to conflict with recovery"),
        "40001",
        ErrorKind::Serialization,
    ),
    (Begins("deadlock detected"), "40P01", ErrorKind::Deadlock),
    (
        Begins("canceling statement due to lock timeout"),
        "55P03",
        ErrorKind::LockTimeout,
    ),
    (
        Begins("could not obtain lock on"),
        "55P03",
        ErrorKind::LockTimeout,
    ),
    (
        Begins("canceling statement due to statement timeout"),
        "57014",
        ErrorKind::StatementTimeout,
    ),
    (
        Begins("canceling statement due to user request"),
        "57014",
        ErrorKind::Cancelled,
    ),
    (
        Begins("current transaction is aborted"),
        "25P02",
        ErrorKind::TransactionAborted,
    ),
    (
        Holds("violates row-level security policy"),
        "42501",
        ErrorKind::PermissionDenied,
    ),
    (
        Begins("query would be affected by row-level security policy"),
        "42501",
        ErrorKind::PermissionDenied,
    ),
    (
        Begins("permission denied"),
        "42501",
        ErrorKind::PermissionDenied,
    ),
    (
        Begins("must be owner of"),
        "42501",
        ErrorKind::PermissionDenied,
    ),
    (
        Begins("must be superuser"),
        "42501",
        ErrorKind::PermissionDenied,
    ),
    (
        Holds("No space left on device"),
        "53100",
        ErrorKind::DiskFull,
    ),
    (
        Begins("could not extend file"),
        "53100",
        ErrorKind::DiskFull,
    ),
    (
        Begins("temporary file size exceeds"),
        "53400",
        ErrorKind::DiskFull,
    ),
    (Begins("out of memory"), "53200", ErrorKind::OutOfMemory),
    (
        Begins("out of shared memory"),
        "53200",
        ErrorKind::OutOfMemory,
    ),
    (Begins("invalid page in block"), "XX001", ErrorKind::Corrupt),
    // A block that the file is too short for; any other trouble with reading is the disk's.
    (Holds(": read only "), "XX001", ErrorKind::Corrupt),
    (Begins("could not read block"), "58030", ErrorKind::Io),
    (Begins("missing chunk number"), "XX001", ErrorKind::Corrupt),
    (
        Begins("unexpected chunk number"),
        "XX001",
        ErrorKind::Corrupt,
    ),
    (Holds("data is corrupt"), "XX001", ErrorKind::Corrupt),
    (
        Holds("from before relfrozenxid"),
        "XX001",
        ErrorKind::Corrupt,
    ),
    (Holds("from before relminmxid"), "XX001", ErrorKind::Corrupt),
    // What amcheck and the B-trees themselves find.
    (Holds("invariant violated"), "XX002", ErrorKind::Corrupt),
    (
        Holds("lacks matching index tuple within"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Holds("lacks a main relation fork"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Holds("contains unexpected zero page at block"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Holds("contains corrupted page at block"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (Holds("is not a btree"), "XX002", ErrorKind::Corrupt),
    (
        Begins("circular link chain found in"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Begins("left link/right link pair in"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Begins("could not find parent of block"),
        "XX002",
        ErrorKind::Corrupt,
    ),
    (
        Begins("terminating connection due to"),
        "57P01",
        ErrorKind::ConnectionLost,
    ),
    (
        Begins("server closed the connection unexpectedly"),
        "08006",
        ErrorKind::ConnectionLost,
    ),
    (
        Begins("no connection to the server"),
        "08003",
        ErrorKind::ConnectionLost,
    ),
    (
        Begins("value too long for type"),
        "22001",
        ErrorKind::InvalidValue,
    ),
    (Holds("out of range"), "22003", ErrorKind::InvalidValue),
    (Begins("division by zero"), "22012", ErrorKind::InvalidValue),
    (
        Begins("invalid input syntax for"),
        "22P02",
        ErrorKind::InvalidValue,
    ),
    (
        Begins("invalid input value for"),
        "22P02",
        ErrorKind::InvalidValue,
    ),
    (
        Begins("invalid byte sequence"),
        "22021",
        ErrorKind::InvalidValue,
    ),
    (
        Begins("more than one row returned by a subquery"),
        "21000",
        ErrorKind::InvalidValue,
    ),
    (
        Holds("cannot affect row a second time"),
        "21000",
        ErrorKind::InvalidValue,
    ),
    (Begins("syntax error"), "42601", ErrorKind::Statement),
    (Begins("unterminated"), "42601", ErrorKind::Statement),
    (Holds("does not exist"), "42P01", ErrorKind::Statement),
    (Holds("already exists"), "42P07", ErrorKind::AlreadyExists),
    (Holds(" is ambiguous"), "42702", ErrorKind::Statement),
    (
        Holds("but expression is of type"),
        "42804",
        ErrorKind::Statement,
    ),
    (
        Holds("must appear in the GROUP BY"),
        "42803",
        ErrorKind::Statement,
    ),
    (
        Holds("no unique or exclusion constraint matching"),
        "42P10",
        ErrorKind::Statement,
    ),
    (
        Holds("cannot run inside a transaction block"),
        "25001",
        ErrorKind::Statement,
    ),
    (
        Begins("stack depth limit exceeded"),
        "54001",
        ErrorKind::Statement,
    ),
    (
        Begins("memory exhausted at or near"),
        "42601",
        ErrorKind::Statement,
    ),
    (Holds("violates "), "23000", ErrorKind::Constraint),
];

/// Messages of a connection that could not be made: (part of the text, kind, what to do).
const CONNECT_MESSAGES: &[(&str, ErrorKind, &str)] = &[
    (
        "password authentication failed",
        ErrorKind::Authentication,
        "check the user and the password, PGPASSFILE or ~/.pgpass",
    ),
    (
        "no password supplied",
        ErrorKind::Authentication,
        "give the password in the URL, in PGPASSWORD or in a PGPASSFILE",
    ),
    (
        "no pg_hba.conf entry",
        ErrorKind::Authentication,
        "the server's pg_hba.conf does not let this user in from here",
    ),
    (
        "authentication failed",
        ErrorKind::Authentication,
        "check the user and how it may log in",
    ),
    (
        "is not permitted to log in",
        ErrorKind::Authentication,
        "ALTER ROLE … LOGIN, or use another user",
    ),
    (
        "too many clients already",
        ErrorKind::TooManyConnections,
        "raise max_connections or close idle clients",
    ),
    (
        "too many connections for",
        ErrorKind::TooManyConnections,
        "raise the limit of the role or database, or close idle clients",
    ),
    (
        "remaining connection slots are reserved",
        ErrorKind::TooManyConnections,
        "raise max_connections or close idle clients",
    ),
    (
        "the database system is starting up",
        ErrorKind::Unavailable,
        "try again in a moment",
    ),
    (
        "the database system is shutting down",
        ErrorKind::Unavailable,
        "wait for its restart",
    ),
    (
        "Connection refused",
        ErrorKind::Unavailable,
        "is the server running, and are host and port right?",
    ),
    (
        "timeout expired",
        ErrorKind::Unavailable,
        "is the host reachable from here?",
    ),
    (
        "could not translate host name",
        ErrorKind::Unavailable,
        "check the host's name",
    ),
    (
        "No such file or directory",
        ErrorKind::Unavailable,
        "is the server running?",
    ),
    (
        "server closed the connection",
        ErrorKind::Unavailable,
        "is it a PostgreSQL server, and does it speak TLS if you asked for it?",
    ),
    (
        "No route to host",
        ErrorKind::Unavailable,
        "is the host reachable from here?",
    ),
    (
        "Network is unreachable",
        ErrorKind::Unavailable,
        "is the host reachable from here?",
    ),
];

pub(super) fn classify(kind: DatabaseErrorKind, said: &dyn DatabaseErrorInformation) -> Error {
    let message = said.message();
    let mut error = Error::new(
        common_kind(kind).unwrap_or_else(|| by_text(message)),
        message,
    );
    error.violation = constraint_kind(kind).map(|kind| {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Box::new(Violation {
            kind,
            name: owned(said.constraint_name()),
            table: owned(said.table_name()),
            columns: owned(said.column_name()).into_iter().collect(),
        })
    });
    error.mask_by(mask::postgres);
    error
}

/// The kind that a message stands for.
pub(super) fn by_text(message: &str) -> ErrorKind {
    // libpq puts the severity before what it read while the connection broke.
    let begin = ["FATAL:  ", "PANIC:  ", "ERROR:  "]
        .into_iter()
        .find_map(|severity| message.strip_prefix(severity))
        .unwrap_or(message);
    let (before, after) = match (begin.find('"'), begin.rfind('"')) {
        (Some(first), Some(last)) => begin
            .get(..first)
            .zip(begin.get(last..))
            .unwrap_or_default(),
        _ => (begin, ""),
    };
    MESSAGES
        .iter()
        .find(|(part, ..)| match part {
            Begins(text) => begin.starts_with(text),
            Holds(text) => before.contains(text) || after.contains(text),
        })
        .map_or(ErrorKind::Other, |(_, _, kind)| *kind)
}

/// Classifies `text`, libpq's own, and shows `safe`, which is without the password: a password that
/// is a word of the message must not hide what it means.
pub(super) fn classify_connect(text: &str, safe: &str, shown: &str) -> Error {
    let message = format!("cannot connect to {shown}: {}", safe.trim());
    if text.contains("database \"") && text.contains("does not exist") {
        return Error::new(ErrorKind::DatabaseMissing, message)
            .with_hint("create it with createdb, or correct the name in the URL");
    }
    if text.contains("role \"") && text.contains("does not exist") {
        return Error::new(ErrorKind::Authentication, message).with_hint("no such user there");
    }
    match CONNECT_MESSAGES
        .iter()
        .find(|(part, ..)| text.contains(part))
    {
        Some((_, kind, hint)) => Error::new(*kind, message).with_hint(*hint),
        None => Error::new(ErrorKind::Unavailable, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_kind() {
        for (part, _, kind) in MESSAGES {
            let (Begins(text) | Holds(text)) = part;
            assert_eq!(by_text(text), *kind, "{text}");
        }
        assert_eq!(
            by_text("FATAL:  terminating connection due to administrator command\nserver closed"),
            ErrorKind::ConnectionLost
        );
        assert_eq!(by_text("something new"), ErrorKind::Other);
    }

    #[test]
    fn a_value_in_a_message_is_no_message() {
        for (part, _, kind) in MESSAGES {
            let (Begins(text) | Holds(text)) = part;
            for value in [(*text).to_owned(), format!("x\" {text} \"y")] {
                let said = format!("invalid input syntax for type integer: \"{value}\"");
                assert_eq!(by_text(&said), ErrorKind::InvalidValue, "{said}");
                let said = format!("function \"{value}\" has failed");
                assert_eq!(by_text(&said), ErrorKind::Other, "{kind:?}: {said}");
            }
        }
    }

    #[test]
    fn a_refused_connection_says_what_to_do() {
        let at = |text| classify_connect(text, text, "postgres://h/x");
        let error = at("FATAL:  database \"x\" does not exist");
        assert_eq!(error.kind(), ErrorKind::DatabaseMissing);
        let error = at("connection failed: Connection refused");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("is the server running"));
    }
}
