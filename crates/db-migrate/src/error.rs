//! Everything that can go wrong with migrations, by what one has to do about it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use db_core::{Engine, ErrorKind};

use crate::assess::Problem;
use crate::catalog::Difference;
use crate::report::Report;
use crate::source::SourceError;
use crate::target::TargetError;
use crate::{Direction, Version};

/// An error of the migration engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The migrations could not be read; nothing was run.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target names no migration.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The database failed at something other than a migration's own statements.
    #[error("{doing}: {error}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        #[source]
        error: db_core::Error,
    },
    /// A script cannot be run as it is; nothing was run.
    #[error("{place}: {reason}")]
    Script {
        /// File and line.
        place: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// Files and history disagree; nothing was run.
    #[error("files and history disagree: {}", join(.0, "; "))]
    History(Vec<Problem>),
    /// The database has migrations that this program does not know; nothing was run.
    #[error("the database is newer than this program: {}", join(.0, "; "))]
    NewerDatabase(Vec<Problem>),
    /// Migrations are pending, and the caller asked for none.
    #[error("{} pending: {}; run `migrate`", migrations_are(.0.len()), .0.join(", "))]
    Pending(Vec<String>),
    /// The live schema is not what the last migration left; nothing was run.
    #[error(
        "the schema was changed by hand since the last migration: {}; undo that or put it into a \
         migration; `migrate --force` and `rollback --force` take the schema as it is",
        join(.0, "; ")
    )]
    Drift(Vec<Difference>),
    /// Another run holds the lock.
    #[error("another run holds the migration lock: {holder}; waited {waited:?}")]
    Locked {
        /// Who, as far as it is known.
        holder: String,
        /// For how long.
        waited: Duration,
    },
    /// The lock cannot be held behind a transaction pooler.
    #[error(
        "this connection goes through a pooler that changes the server's session between \
         statements, so that no lock can be held; connect to the server itself, or to a pool in \
         session mode"
    )]
    TransactionPooler,
    /// PostgreSQL has no schema in which tables could be made.
    #[error("no schema of the search_path exists; create one, or set search_path")]
    NoSchema,
    /// Steps of a rollback that cannot be undone; nothing was run.
    #[error("no way back: {}; nothing was rolled back", .0.join("; "))]
    NoWayBack(Vec<String>),
    /// Somebody else has migrated or rolled back since the plan was confirmed; nothing was run.
    #[error(
        "the plan has changed since it was confirmed: it was to revert {}, and would now revert {}; \
         nothing was rolled back",
        list(.confirmed),
        list(.now)
    )]
    PlanChanged {
        /// The versions that were confirmed, in order.
        confirmed: Vec<String>,
        /// The versions that would be reverted now.
        now: Vec<String>,
    },
    /// The target lies on the wrong side.
    #[error("{0}")]
    WrongDirection(String),
    /// The request contradicts itself, or what the database holds.
    #[error("{0}")]
    Refused(String),
    /// A migration failed and was rolled back, or recorded where it stopped.
    #[error("{failure}")]
    Failed {
        /// What failed, and where.
        failure: Box<Failure>,
        /// What was done before.
        report: Box<Report>,
    },
    /// Integrity or foreign keys were already violated, or are now.
    #[error("the database does not pass its checks {when}: {}", .findings.join("; "))]
    Unsound {
        /// "before the run" or "after it".
        when: &'static str,
        /// What was found.
        findings: Vec<String>,
        /// What the run did, if it has.
        report: Option<Box<Report>>,
    },
    /// Stopped on request.
    #[error(
        "interrupted; a transaction that was running is rolled back, and a migration outside one \
         goes on from where it stopped"
    )]
    Interrupted {
        /// What was done before, if the run had begun.
        report: Option<Box<Report>>,
    },
    /// The ledger holds a word that this program does not know.
    #[error("the ledger says that {version} is {status:?}, which this program does not know")]
    UnknownStatus {
        /// The migration.
        version: String,
        /// The word.
        status: String,
    },
    /// The lock file cannot be used.
    #[error("{path}: {reason}")]
    LockFile {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
        /// What kind of trouble it is.
        kind: ErrorKind,
    },
    /// A file could not be written.
    #[error("{path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// A value could not be encoded.
    #[error("cannot encode {what}: {reason}")]
    Unencodable {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    pub(crate) fn lock_file(path: &Path, error: &std::io::Error) -> Self {
        Self::LockFile {
            path: path.display().to_string(),
            reason: error.to_string(),
            kind: match error.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
                std::io::ErrorKind::StorageFull => ErrorKind::DiskFull,
                _ => ErrorKind::Io,
            },
        }
    }

    /// The database's own kind of trouble, where there is one underneath.
    #[must_use]
    pub fn database_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Database { error, .. } => Some(error.kind()),
            Self::LockFile { kind, .. } => Some(*kind),
            Self::Failed { failure, .. } => failure.kind,
            _ => None,
        }
    }
}

/// What failed in a migration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The migration's version.
    pub version: Version,
    /// Its name.
    pub name: String,
    /// Which way it ran.
    pub direction: Direction,
    /// The file, or the Rust migration's name.
    pub file: String,
    /// The statement, from 1; none where the failure is not in a statement.
    pub statement: Option<u64>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// The line's text.
    pub excerpt: Option<String>,
    /// What the engine said.
    pub message: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What kind of trouble the engine reported.
    pub kind: Option<ErrorKind>,
    /// Whether it is the first migration of a database that had tables but no history, and makes
    /// what is there already: a case for [`crate::Migrator::baseline`].
    pub suggests_baseline: bool,
}

/// What became of a migration that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The database is as it was before.
    RolledBack,
    /// It ran outside a transaction; this many statements took effect and are recorded, and the
    /// next run in the same direction goes on after them.
    Recorded {
        /// Statements that took effect.
        done: u64,
    },
    /// A migration written in Rust ran outside a transaction, or ended the one it was given: what
    /// it did before the failure stays and is not recorded.
    Partial,
    /// The connection was lost while it was committed: it took effect as a whole, or not at all.
    Unknown,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.direction {
            Direction::Up => "failed",
            Direction::Down => "could not be reverted",
        };
        write!(f, "{} {} {verb}: {}", self.version, self.name, self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(statement) = self.statement {
            write!(f, " (statement {statement})")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n    {excerpt}")?;
        }
        match self.outcome {
            Outcome::RolledBack => write!(f, "\nThe database is as it was before this migration."),
            Outcome::Recorded { done } => write!(
                f,
                "\nIt runs outside a transaction: {} took effect. Mend the rest and run again; it \
                 goes on from there.",
                counted(done, "statement")
            ),
            Outcome::Partial => write!(
                f,
                "\nIt runs outside a transaction: what it did before the failure stays."
            ),
            Outcome::Unknown => write!(
                f,
                "\nThe connection was lost during the commit: it is in the database as a whole, or \
                 not at all; `status` shows which."
            ),
        }?;
        if self.suggests_baseline {
            write!(
                f,
                "\nThe database has tables, but no migration is recorded: if they are what the \
                 first migrations make, `baseline TARGET` records these without running them."
            )?;
        }
        Ok(())
    }
}

/// Turns Diesel's error into ours, with what was being done.
pub(crate) fn in_database(
    engine: Engine,
    doing: &'static str,
) -> impl Fn(diesel::result::Error) -> Error {
    move |error| Error::Database {
        doing,
        error: db_core::Error::classify(engine, &error),
    }
}

fn join<T: fmt::Display>(items: &[T], separator: &str) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(separator)
}

fn list(versions: &[String]) -> String {
    if versions.is_empty() {
        "nothing".to_owned()
    } else {
        versions.join(", ")
    }
}

/// `1 migration is`, `2 migrations are`.
pub(crate) fn migrations_are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(count as u64, "migration"))
}

/// `1 statement`, `2 statements`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
