//! PostgreSQL's reports with their SQLSTATE, where libpq is read by this crate itself
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use super::postgres::by_text;
use super::violation::{ConstraintKind, Violation};
use super::{Context, Error, ErrorKind, Position, mask};

/// What libpq tells of a statement that failed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sqlstate: Option<String>,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// What the server was doing: for COPY its table, line, column and value.
    pub(crate) context: Option<String>,
    /// Characters from the start of the statement, from 1.
    pub(crate) position: Option<usize>,
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    pub(crate) constraint: Option<String>,
}

/// Classifies by the SQLSTATE; what is libpq's own has none, and goes by its text.
pub(super) fn classify(report: Report) -> Error {
    let state = report.sqlstate.unwrap_or_default();
    let kind = kind_of(&state).unwrap_or_else(|| by_text(&report.message));
    let mut error = Error::new(kind, report.message);
    if kind == ErrorKind::Constraint {
        error.violation = Some(Box::new(Violation {
            kind: constraint_of(&state),
            name: report.constraint,
            table: report.table,
            columns: report.column.into_iter().collect(),
        }));
    }
    error.mask_by(mask::postgres);
    if let Some(detail) = report.detail {
        error.detail = Some(match error.detail {
            Some(whole) => format!("{whole}: {detail}").into(),
            None => detail.into(),
        });
    }
    error.hint = report.hint.map(Into::into);
    error.context = report.context.map(|text| Box::new(Context(text.into())));
    error.position = report
        .position
        .map(|at| Position::Char(at.saturating_sub(1)));
    error
}

/// The kind, where the code alone says it.
fn kind_of(state: &str) -> Option<ErrorKind> {
    let by_code = match state {
        "40001" => ErrorKind::Serialization,
        "40P01" => ErrorKind::Deadlock,
        "55P03" => ErrorKind::LockTimeout,
        "25P02" => ErrorKind::TransactionAborted,
        "25006" => ErrorKind::ReadOnly,
        "25001" => ErrorKind::Statement,
        "42501" => ErrorKind::PermissionDenied,
        "53100" | "53400" => ErrorKind::DiskFull,
        "53200" => ErrorKind::OutOfMemory,
        "53300" => ErrorKind::TooManyConnections,
        "57P01" | "57P02" | "57P03" | "57P05" => ErrorKind::ConnectionLost,
        // What a trigger raises, or the check of a view: the row is refused.
        "P0001" | "44000" => ErrorKind::Constraint,
        "58030" => ErrorKind::Io,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        "3D000" => ErrorKind::DatabaseMissing,
        "42P04" | "42P06" | "42P07" | "42701" | "42710" | "42712" | "42723" => {
            ErrorKind::AlreadyExists
        }
        _ => match state.get(..2)? {
            "08" => ErrorKind::ConnectionLost,
            "21" | "22" => ErrorKind::InvalidValue,
            "23" => ErrorKind::Constraint,
            "28" => ErrorKind::Authentication,
            "42" | "54" => ErrorKind::Statement,
            // A timeout and a request share a code.
            _ => return None,
        },
    };
    Some(by_code)
}

fn constraint_of(state: &str) -> ConstraintKind {
    match state {
        "23505" => ConstraintKind::Unique,
        "23503" | "23001" => ConstraintKind::ForeignKey,
        "23514" => ConstraintKind::Check,
        "23502" => ConstraintKind::NotNull,
        "23P01" => ConstraintKind::Exclusion,
        _ => ConstraintKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kinds_of_their_texts() {
        for (state, message, kind) in [
            (
                "57014",
                "canceling statement due to user request",
                ErrorKind::Cancelled,
            ),
            (
                "57014",
                "canceling statement due to statement timeout",
                ErrorKind::StatementTimeout,
            ),
            (
                "22P04",
                "missing data for column \"b\"",
                ErrorKind::InvalidValue,
            ),
            (
                "42P01",
                "relation \"t\" is not there, in any language",
                ErrorKind::Statement,
            ),
            ("23505", "doppelter Schlüssel", ErrorKind::Constraint),
            ("", "no connection to the server", ErrorKind::ConnectionLost),
            ("P0001", "raised", ErrorKind::Constraint),
        ] {
            let error = classify(Report {
                sqlstate: Some(state.to_owned()),
                message: message.to_owned(),
                ..Report::default()
            });
            assert_eq!(error.kind(), kind, "{state} {message}");
        }
    }

    #[test]
    fn a_value_is_in_the_context_and_not_in_the_message() {
        let error = classify(Report {
            sqlstate: Some("22P02".to_owned()),
            message: "invalid input syntax for type integer: \"4111\"".to_owned(),
            context: Some("COPY t, line 3, column a: \"4111\"".to_owned()),
            ..Report::default()
        });
        assert!(!error.to_string().contains("4111"), "{error}");
        assert_eq!(error.context(), Some("COPY t, line 3, column a: \"4111\""));
        assert!(error.told().contains("4111"));
    }
}
