//! What a run did.

use std::time::Duration;

use crate::{Direction, Version};

/// What a run did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which way.
    pub direction: Direction,
    /// Every migration that was run, in order.
    pub steps: Vec<Step>,
    /// Migrations of the plan that were not run, because an earlier one failed or was interrupted.
    pub not_run: Vec<Version>,
    /// Things worth knowing that are no errors.
    pub notices: Vec<String>,
    /// From before the lock to the end.
    pub duration: Duration,
    /// Whether it was a rehearsal that left the database as it was.
    pub rehearsal: bool,
}

impl Report {
    pub(crate) const fn new(direction: Direction) -> Self {
        Self {
            direction,
            steps: Vec::new(),
            not_run: Vec::new(),
            notices: Vec::new(),
            duration: Duration::ZERO,
            rehearsal: false,
        }
    }

    /// Whether everything that was planned was run.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.not_run.is_empty()
    }
}

/// One migration that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its version.
    pub version: Version,
    /// Its name.
    pub name: String,
    /// Its set.
    pub set: String,
    /// How long it took, ledger included.
    pub duration: Duration,
    /// How many statements it has; 0 for one written in Rust.
    pub statements: u64,
    /// Rows inserted, updated and deleted, where they were counted; not those of dropped tables.
    pub rows_changed: Option<u64>,
    /// Tables that the way back has dropped, by name: not one that it has renamed, nor one that it has made anew and
    /// filled. None on the way up and outside of a transaction, where it was not looked for.
    pub dropped: Option<Vec<DroppedTable>>,
    /// Locks on tables, by the statement that took them first (PostgreSQL rehearsals).
    pub locks: Vec<StatementLocks>,
    /// Why a rehearsal left it out.
    pub not_rehearsed: Option<String>,
}

/// A table that is gone with a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTable {
    /// Its name before the run, with its schema where that is not on the search path.
    pub name: String,
    /// The rows that it holds, counted after a rehearsal; 0 for one that another step of it makes.
    pub rows: Option<u64>,
    /// Whether another step of the run has made it.
    pub(crate) is_of_run: bool,
    /// Whether an empty table of its name is there instead.
    pub(crate) is_made_anew: bool,
}

/// The locks that one statement of a rehearsal took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLocks {
    /// The statement, from 1.
    pub statement: u64,
    /// Its line in the file, from 1.
    pub line: usize,
    /// `AccessExclusiveLock on users`.
    pub locks: Vec<String>,
}
