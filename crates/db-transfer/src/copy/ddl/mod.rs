//! The tables of a database that has no migrations of ours, made anew in the target.

mod checks;
mod expression;
mod postgres;
mod sqlite;
mod types;

pub(super) use checks::{checks_in_sqlite, length_check};
pub(super) use expression::{for_sqlite, literal, literal_of};
pub(super) use postgres::{in_postgres, sequence, truth};
pub(super) use sqlite::{in_sqlite, verbatim};
pub(super) use types::types_of;

use super::report::NotTranslated;

/// Statements that make the target's schema.
#[derive(Debug, Default)]
pub(super) struct Build {
    /// Before the rows; each has to succeed.
    pub(super) before: Vec<String>,
    /// After the rows; what the target refuses is reported.
    pub(super) after: Vec<Part>,
    /// Undoes what `before` has made, in reverse order.
    pub(super) undo: Vec<String>,
    /// What is not even tried.
    pub(super) not_translated: Vec<NotTranslated>,
}

/// A part of the schema that is made when the rows are there.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) sql: String,
}

impl Build {
    fn part(&mut self, kind: &'static str, name: impl Into<String>, sql: String) {
        self.after.push(Part {
            kind,
            name: name.into(),
            sql,
        });
    }

    fn leave(&mut self, kind: &'static str, name: impl Into<String>, reason: impl Into<String>) {
        self.not_translated
            .push(NotTranslated::new(kind, name, reason));
    }
}
