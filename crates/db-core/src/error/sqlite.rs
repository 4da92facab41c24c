//! SQLite's extended result codes, <https://www.sqlite.org/rescode.html>.

use std::num::NonZeroI32;

use diesel::result::DatabaseErrorKind;
use libsqlite3_sys as ffi;

use super::violation::{self, ConstraintKind};
use super::{Error, ErrorKind, Position, common_kind, constraint_kind};
use crate::sqlite::{LastError, primary};

/// Classifies by the code recorded for this very message, else by Diesel's kind and the text that
/// `sqlite3_errstr` gives (a connection that was not opened by this crate records no code).
pub(super) fn classify(kind: DatabaseErrorKind, message: &str) -> Error {
    let recorded = crate::sqlite::take_last_error(message);
    from_record(recorded, message).unwrap_or_else(|| {
        let constraint = constraint_kind(kind);
        let kind = common_kind(kind).unwrap_or_else(|| by_text(message));
        finish(Error::new(kind, message), constraint)
    })
}

/// Classifies what is certainly SQLite's: a recorded code, or one of its fixed texts.
pub(super) fn recognise(kind: DatabaseErrorKind, message: &str) -> Option<Error> {
    let recorded = crate::sqlite::take_last_error(message);
    from_record(recorded, message).or_else(|| {
        // No code is recorded of a connection that was not opened by this crate, nor of a failure
        // while rows are read.
        let known = match constraint_kind(kind) {
            None if super::mask::sqlite(message).is_some() => Some(by_text(message)),
            None => by_fixed_text(message),
            Some(_) => message
                .contains(" constraint failed")
                .then_some(ErrorKind::Constraint),
        };
        known.map(|found| finish(Error::new(found, message), constraint_kind(kind)))
    })
}

/// Why a file was not opened; no connection is left to ask for a code.
pub(super) fn kind_of_connect(message: &str) -> ErrorKind {
    by_fixed_text(message).unwrap_or(ErrorKind::CannotOpen)
}

fn from_record(recorded: Option<LastError>, message: &str) -> Option<Error> {
    let LastError { code, offset } = recorded?;
    let mut error = from_code(code, message);
    error.position = offset.map(Position::Byte);
    Some(error)
}

/// Classifies by an extended result code.
pub(super) fn from_code(code: i32, message: &str) -> Error {
    let mut error = Error::new(by_code(code, message), message);
    error.sqlite_code = NonZeroI32::new(code);
    finish(error, constraint_of(code))
}

/// Adds what the message tells.
fn finish(mut error: Error, constraint: Option<ConstraintKind>) -> Error {
    error.violation = constraint.map(|kind| Box::new(violation::from_sqlite(kind, &error.message)));
    if error.kind == ErrorKind::NotADatabase {
        error.hint = Some("the file is not a SQLite database, or its first page is damaged".into());
    }
    error.mask_by(super::mask::sqlite);
    error
}

/// One row per code that callers tell apart.
fn by_code(code: i32, message: &str) -> ErrorKind {
    match code {
        ffi::SQLITE_BUSY_SNAPSHOT => return ErrorKind::BusySnapshot,
        ffi::SQLITE_IOERR_NOMEM => return ErrorKind::OutOfMemory,
        // The index of the log, which is a file as well, could not grow.
        ffi::SQLITE_IOERR_SHMSIZE => return ErrorKind::DiskFull,
        _ => {}
    }
    match primary(code) {
        // PROTOCOL: the race to start reading a log was lost too often.
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => ErrorKind::Busy,
        ffi::SQLITE_INTERRUPT => ErrorKind::Cancelled,
        // A STRICT table's wrong type and a rowid mismatch are constraints of the row.
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => ErrorKind::Constraint,
        ffi::SQLITE_READONLY => ErrorKind::ReadOnly,
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => ErrorKind::PermissionDenied,
        ffi::SQLITE_FULL => ErrorKind::DiskFull,
        ffi::SQLITE_IOERR => ErrorKind::Io,
        ffi::SQLITE_CORRUPT => ErrorKind::Corrupt,
        ffi::SQLITE_NOTADB => ErrorKind::NotADatabase,
        ffi::SQLITE_CANTOPEN => ErrorKind::CannotOpen,
        ffi::SQLITE_NOMEM => ErrorKind::OutOfMemory,
        ffi::SQLITE_TOOBIG => ErrorKind::InvalidValue,
        ffi::SQLITE_ERROR => by_text(message),
        _ => ErrorKind::Other,
    }
}

fn by_text(message: &str) -> ErrorKind {
    by_fixed_text(message).unwrap_or_else(|| {
        if is_there_already(message) {
            ErrorKind::AlreadyExists
        } else if is_statement_fault(message) {
            ErrorKind::Statement
        } else if is_value_fault(message) {
            ErrorKind::InvalidValue
        } else {
            ErrorKind::Other
        }
    })
}

/// What the broken constraint demanded.
const fn constraint_of(code: i32) -> Option<ConstraintKind> {
    Some(match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => ConstraintKind::Unique,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_CHECK => ConstraintKind::Check,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        ffi::SQLITE_CONSTRAINT_DATATYPE | ffi::SQLITE_MISMATCH => ConstraintKind::DataType,
        ffi::SQLITE_CONSTRAINT_TRIGGER => ConstraintKind::Trigger,
        _ if primary(code) == ffi::SQLITE_CONSTRAINT => ConstraintKind::Other,
        _ => return None,
    })
}

/// What `sqlite3_errstr` says, word for word.
fn by_fixed_text(message: &str) -> Option<ErrorKind> {
    Some(match message {
        "database is locked" | "database table is locked" => ErrorKind::Busy,
        "interrupted" => ErrorKind::Cancelled,
        "attempt to write a readonly database" => ErrorKind::ReadOnly,
        "database or disk is full" => ErrorKind::DiskFull,
        "disk I/O error" => ErrorKind::Io,
        "database disk image is malformed" => ErrorKind::Corrupt,
        "file is not a database" => ErrorKind::NotADatabase,
        "unable to open database file" => ErrorKind::CannotOpen,
        "out of memory" => ErrorKind::OutOfMemory,
        _ => return None,
    })
}

/// As `table t already exists`.
fn is_there_already(message: &str) -> bool {
    message.contains("already exists") || message.starts_with("duplicate column name")
}

/// `SQLITE_ERROR` has no finer code for "the text is wrong", which only its message tells.
fn is_statement_fault(message: &str) -> bool {
    message.contains("syntax error")
        || message.starts_with("no such ")
        || message.starts_with("incomplete input")
        || message.starts_with("unrecognized token")
        || message.contains(" has no column named ")
        || message.starts_with("ambiguous column name")
        || message.starts_with("wrong number of arguments")
}

/// Nor has it one for "the value is wrong".
fn is_value_fault(message: &str) -> bool {
    message == "integer overflow"
        || message == "malformed JSON"
        || message.starts_with("bad JSON path")
        || message == "string or blob too big"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_callers_tell_apart_has_its_kind() {
        for (code, kind) in [
            (ffi::SQLITE_BUSY, ErrorKind::Busy),
            (ffi::SQLITE_BUSY_RECOVERY, ErrorKind::Busy),
            (ffi::SQLITE_BUSY_TIMEOUT, ErrorKind::Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::BusySnapshot),
            (ffi::SQLITE_LOCKED, ErrorKind::Busy),
            (ffi::SQLITE_LOCKED_SHAREDCACHE, ErrorKind::Busy),
            (ffi::SQLITE_LOCKED_VTAB, ErrorKind::Busy),
            (ffi::SQLITE_INTERRUPT, ErrorKind::Cancelled),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_ROWID, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_CHECK, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_DATATYPE, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_COMMITHOOK, ErrorKind::Constraint),
            (ffi::SQLITE_CONSTRAINT_VTAB, ErrorKind::Constraint),
            (ffi::SQLITE_MISMATCH, ErrorKind::Constraint),
            (ffi::SQLITE_READONLY, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_DBMOVED, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_ROLLBACK, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_RECOVERY, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_CANTLOCK, ErrorKind::ReadOnly),
            (ffi::SQLITE_READONLY_DIRECTORY, ErrorKind::ReadOnly),
            (ffi::SQLITE_PERM, ErrorKind::PermissionDenied),
            (ffi::SQLITE_AUTH, ErrorKind::PermissionDenied),
            (ffi::SQLITE_FULL, ErrorKind::DiskFull),
            (ffi::SQLITE_IOERR_READ, ErrorKind::Io),
            (ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Io),
            (ffi::SQLITE_IOERR_WRITE, ErrorKind::Io),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Io),
            (ffi::SQLITE_IOERR_SHMMAP, ErrorKind::Io),
            (ffi::SQLITE_IOERR_SHMSIZE, ErrorKind::DiskFull),
            (ffi::SQLITE_IOERR_NOMEM, ErrorKind::OutOfMemory),
            (ffi::SQLITE_NOMEM, ErrorKind::OutOfMemory),
            (ffi::SQLITE_TOOBIG, ErrorKind::InvalidValue),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt),
            (ffi::SQLITE_CORRUPT_VTAB, ErrorKind::Corrupt),
            (ffi::SQLITE_CORRUPT_INDEX, ErrorKind::Corrupt),
            (ffi::SQLITE_NOTADB, ErrorKind::NotADatabase),
            (ffi::SQLITE_CANTOPEN, ErrorKind::CannotOpen),
            (ffi::SQLITE_CANTOPEN_ISDIR, ErrorKind::CannotOpen),
            (ffi::SQLITE_CANTOPEN_FULLPATH, ErrorKind::CannotOpen),
            (ffi::SQLITE_PROTOCOL, ErrorKind::Busy),
            (ffi::SQLITE_SCHEMA, ErrorKind::Other),
            (ffi::SQLITE_MISUSE, ErrorKind::Other),
            (ffi::SQLITE_ERROR, ErrorKind::Other),
        ] {
            assert_eq!(by_code(code, "some text"), kind, "code {code}");
        }
        assert_eq!(
            by_code(ffi::SQLITE_ERROR, "near \"SELEC\": syntax error"),
            ErrorKind::Statement
        );
        assert_eq!(
            by_code(ffi::SQLITE_ERROR, "table users already exists"),
            ErrorKind::AlreadyExists
        );
    }
}
