//! Why a copy did not arrive.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use db_core::ErrorKind;
use serde::Serialize;

use super::report::CopyReport;

/// An error of what the caller hands in: its migrations, its invariants.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a copy did not arrive. Whatever it is, the target is as it was before, unless the text says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A database refused or failed.
    #[error("{doing}: {source}")]
    Database {
        /// What was being done, as "reading the table users".
        doing: String,
        /// What the engine says, classified.
        source: db_core::Error,
    },
    /// A file could not be made, renamed or removed.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is something in the target already.
    #[error("the target {target} is not empty: {tables}")]
    NotEmpty {
        /// Which database.
        target: String,
        /// What is in it.
        tables: String,
    },
    /// A copy into this database stopped before its end, and what it left is still there.
    #[error("{0}")]
    Leftovers(String),
    /// The source has tables or columns that its migrations do not make, so that the target has no place
    /// for them.
    #[error("the source has what none of its migrations makes: {}", .0.join(", "))]
    NotMigrated(Vec<String>),
    /// The tables that were chosen refer to these, directly or by way of others.
    #[error("the chosen tables refer to others, which would be empty: {}", .0.join(", "))]
    NotChosen(Vec<String>),
    /// The tables of the source were changed while the copy began.
    #[error("the tables of the source were changed while they were being looked at")]
    Changed,
    /// Some values have no place in the other database. Nothing was written.
    #[error("{} do not fit into the target: {}", counted(.0.count), list(&.0.first))]
    Misfits(Misfits),
    /// Another copy into the same target is under way.
    #[error("another copy into this database is under way")]
    Locked,
    /// What arrived is not what was sent.
    #[error("the proof failed: {}", .0.failures.join("; "))]
    ProofFailed(Box<CopyReport>),
    /// The caller's migrations failed.
    #[error("{0}")]
    Schema(BoxError),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// It failed, and could not be undone: the next copy into the same target tries again.
    #[error("{error}; what was copied is still there, because undoing it failed: {undoing}")]
    NotUndone {
        /// Why the copy did not arrive.
        error: Box<CopyError>,
        /// Why it could not be undone.
        undoing: Box<CopyError>,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Values that have no place in the other database.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Misfits {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<Misfit>,
}

/// A value that has no place in the other database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Misfit {
    /// The table.
    pub table: String,
    /// The row: its primary key, or its number where there is none.
    pub key: String,
    /// The column; none where the matter is a name.
    pub column: Option<String>,
    /// The value, perhaps only its beginning.
    pub value: String,
    /// Why it does not fit.
    pub reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(
                f,
                "{}.{column} of the row {}: {} ({})",
                self.table, self.key, self.reason, self.value
            ),
            None => write!(f, "{}: {}", self.table, self.reason),
        }
    }
}

fn counted(count: u64) -> String {
    match count {
        1 => "1 value".to_owned(),
        count => format!("{count} values"),
    }
}

fn list(first: &[Misfit]) -> String {
    let texts: Vec<String> = first.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Whether the target refuses a key, an index or a check, so that it is listed as left out. Whatever
/// else goes wrong (no space, no connection, a lock) says nothing about what was to be made.
pub(super) fn is_refusal(error: &db_core::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Constraint
            | ErrorKind::InvalidValue
            | ErrorKind::Statement
            | ErrorKind::AlreadyExists
            | ErrorKind::Other
    )
}

/// Says what was being done when the engine failed.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, CopyError>;
}

impl<T> Doing<T> for Result<T, db_core::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, CopyError> {
        self.map_err(|source| match source.kind() {
            ErrorKind::Cancelled => CopyError::Interrupted,
            _ => CopyError::Database {
                doing: what(),
                source,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_target_refuses_may_be_left_out() {
        let refused = |kind| is_refusal(&db_core::Error::new(kind, "x"));
        for kind in [
            ErrorKind::Constraint,
            ErrorKind::InvalidValue,
            ErrorKind::Statement,
        ] {
            assert!(refused(kind), "{kind:?}");
        }
        for kind in [
            ErrorKind::DiskFull,
            ErrorKind::Io,
            ErrorKind::OutOfMemory,
            ErrorKind::ConnectionLost,
            ErrorKind::LockTimeout,
            ErrorKind::Deadlock,
            ErrorKind::Busy,
            ErrorKind::Corrupt,
            ErrorKind::Cancelled,
        ] {
            assert!(!refused(kind), "{kind:?}");
        }
    }
}
