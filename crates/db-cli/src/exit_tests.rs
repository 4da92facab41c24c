//! Every row of the table of exit codes.

use std::time::Duration;

use db_core::{Error as DatabaseError, ErrorKind};
use db_migrate::{
    Direction, Error as MigrateError, Failure, Outcome, Report, SourceError, TargetError, Version,
};

use super::*;
use crate::error::Error;

#[test]
fn every_kind_of_database_trouble_has_its_code() {
    for (kind, code) in [
        (ErrorKind::Busy, 6),
        (ErrorKind::BusySnapshot, 6),
        (ErrorKind::Serialization, 6),
        (ErrorKind::Deadlock, 6),
        (ErrorKind::LockTimeout, 6),
        (ErrorKind::StatementTimeout, 1),
        (ErrorKind::Cancelled, 1),
        (ErrorKind::Constraint, 1),
        (ErrorKind::NotFound, 1),
        (ErrorKind::ReadOnly, 14),
        (ErrorKind::PermissionDenied, 14),
        (ErrorKind::DiskFull, 13),
        (ErrorKind::Io, 13),
        (ErrorKind::Corrupt, 8),
        (ErrorKind::NotADatabase, 8),
        (ErrorKind::WrongKey, 12),
        (ErrorKind::KeyMissing, 12),
        (ErrorKind::Configuration, 2),
        (ErrorKind::CannotOpen, 9),
        (ErrorKind::DatabaseMissing, 9),
        (ErrorKind::Authentication, 12),
        (ErrorKind::TooManyConnections, 9),
        (ErrorKind::Unavailable, 9),
        (ErrorKind::ConnectionLost, 9),
        (ErrorKind::UnsafeEngine, 1),
        (ErrorKind::Statement, 1),
        (ErrorKind::AlreadyExists, 1),
        (ErrorKind::Other, 1),
    ] {
        assert_eq!(of_database(kind).1.number(), code, "{kind:?}");
        let wrapped = MigrateError::Database {
            doing: "testing",
            error: DatabaseError::new(kind, "x"),
        };
        assert_eq!(of_migrate(&wrapped).1.number(), code, "{kind:?}");
    }
}

/// What waits for its place says by its code what keeps it from there.
#[test]
fn a_restored_file_that_waits_has_the_code_of_its_reason() {
    let locked = BackupError::Locked {
        what: "x".to_owned(),
        holder: None,
    };
    let error = BackupError::PlaceTaken {
        error: Box::new(locked),
        waits_as: "x.restored-20260102T030405Z".to_owned(),
        hint: String::new(),
    };
    assert_eq!(of_backup(&error), ("locked", Code::Locked));
}

#[test]
fn every_error_of_the_migration_engine_has_its_code() {
    let text = || "x".to_owned();
    for (error, code) in [
        (unreadable(false), 2),
        (unreadable(true), 14),
        (TargetError::Malformed(text()).into(), 2),
        (MigrateError::WrongDirection(text()), 2),
        (MigrateError::TransactionPooler, 2),
        (MigrateError::NoSchema, 2),
        (MigrateError::Pending(vec![text()]), 3),
        (MigrateError::History(Vec::new()), 4),
        (MigrateError::Drift(Vec::new()), 5),
        (
            MigrateError::Locked {
                holder: text(),
                waited: Duration::ZERO,
            },
            6,
        ),
        (MigrateError::NewerDatabase(Vec::new()), 7),
        (MigrateError::NoWayBack(vec![text()]), 7),
        (MigrateError::Refused(text()), 7),
        (
            MigrateError::PlanChanged {
                confirmed: vec![text()],
                now: Vec::new(),
            },
            7,
        ),
        (
            MigrateError::UnknownStatus {
                version: text(),
                status: text(),
            },
            7,
        ),
        (
            MigrateError::Unsound {
                when: "now",
                findings: Vec::new(),
                report: None,
            },
            8,
        ),
        (
            MigrateError::Script {
                place: text(),
                reason: text(),
            },
            10,
        ),
        (
            MigrateError::Write {
                path: text(),
                reason: text(),
            },
            13,
        ),
        (
            MigrateError::LockFile {
                path: text(),
                reason: text(),
                kind: ErrorKind::PermissionDenied,
            },
            14,
        ),
        (MigrateError::Interrupted { report: None }, 130),
        (
            MigrateError::Unencodable {
                what: "x",
                reason: text(),
            },
            1,
        ),
    ] {
        assert_eq!(of_migrate(&error).1.number(), code, "{error:?}");
    }
}

#[test]
fn a_failed_migration_has_the_code_of_its_surroundings() {
    for (kind, code) in [
        (None, 10),
        (Some(ErrorKind::Statement), 10),
        (Some(ErrorKind::AlreadyExists), 10),
        (Some(ErrorKind::Constraint), 10),
        (Some(ErrorKind::Other), 10),
        (Some(ErrorKind::LockTimeout), 6),
        (Some(ErrorKind::DiskFull), 13),
        (Some(ErrorKind::PermissionDenied), 14),
        (Some(ErrorKind::ConnectionLost), 9),
        (Some(ErrorKind::Corrupt), 8),
    ] {
        let error = MigrateError::Failed {
            failure: Box::new(failure(kind)),
            report: Box::new(report()),
        };
        assert_eq!(of_migrate(&error).1.number(), code, "{kind:?}");
    }
}

#[test]
fn what_needs_action_first_counts() {
    let order = [9, 12, 14, 13, 8, 11, 6, 7, 4, 5, 10, 3, 0];
    let numbers: Vec<u8> = URGENCY.iter().skip(2).map(|c| c.number()).collect();
    assert_eq!(numbers, order);
    assert_eq!(Code::Attention.or(Code::History), Code::History);
    assert_eq!(Code::Drift.or(Code::Done), Code::Drift);
}

fn unreadable(forbidden: bool) -> MigrateError {
    SourceError::Unreadable {
        place: "x".to_owned(),
        reason: "x".to_owned(),
        missing: !forbidden,
        forbidden,
    }
    .into()
}

fn failure(kind: Option<ErrorKind>) -> Failure {
    Failure {
        version: Version::from_stored("1"),
        name: "x".to_owned(),
        direction: Direction::Up,
        file: "up.sql".to_owned(),
        statement: Some(1),
        line: Some(1),
        excerpt: None,
        message: "x".to_owned(),
        outcome: Outcome::RolledBack,
        kind,
        suggests_baseline: false,
    }
}

fn report() -> Report {
    Report {
        direction: Direction::Up,
        steps: Vec::new(),
        not_run: Vec::new(),
        notices: Vec::new(),
        duration: Duration::ZERO,
        rehearsal: false,
    }
}

#[test]
fn a_hint_names_only_flags_that_the_command_has() {
    let busy = || DatabaseError::new(ErrorKind::Busy, "database is locked");
    let errors = || {
        let doing = "reading the ledger";
        let error = busy();
        [
            Error::from(busy()),
            MigrateError::Database { doing, error }.into(),
            Error::Transfer(db_transfer::Error::Database {
                doing: doing.to_owned(),
                source: busy(),
            }),
        ]
    };
    for error in errors() {
        assert!(error.hint().unwrap().contains("--wait"), "{error:?}");
        let of_status = error.of_a_command_that_does_not_wait().hint().unwrap();
        assert!(!of_status.contains("--wait"), "{of_status}");
    }
}

#[test]
fn a_check_that_fails_says_what_is_true_before_and_after() {
    let unsound = |report: Option<Report>| {
        let error: Error = MigrateError::Unsound {
            when: "now",
            findings: Vec::new(),
            report: report.map(Box::new),
        }
        .into();
        error.hint().unwrap()
    };
    assert!(unsound(None).contains("leave out --verify"));
    assert!(unsound(Some(report())).contains("applied and stay so"));
    let rehearsed = Report {
        rehearsal: true,
        ..report()
    };
    assert!(!unsound(Some(rehearsed)).contains("applied and stay so"));
}
