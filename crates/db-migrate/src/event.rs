//! What a run tells while it goes on, and what the log in the database remembers of it.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;

use crate::{Blocker, Direction, Version};

/// Progress of a run, for a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Someone else is migrating, or writes to a file of SQLite; this run waits.
    WaitingForLock {
        /// Who holds the lock, as far as it is known.
        holder: String,
    },
    /// The run knows what it will do.
    Planned {
        /// How many migrations.
        migrations: usize,
        /// Which way.
        direction: Direction,
    },
    /// A migration begins.
    Started {
        /// Its version.
        version: Version,
        /// Its name.
        name: String,
        /// Its place in this run, from 1.
        number: usize,
    },
    /// A statement took effect.
    Statement {
        /// Its place in the script, from 1.
        number: usize,
        /// How many the script has.
        of: usize,
    },
    /// A lock on a table could not be had in time; the migration was rolled back and is tried again.
    Retrying {
        /// The try that comes next, from 2.
        attempt: u32,
        /// How long it pauses before.
        pause: Duration,
        /// What the server said, on one line.
        reason: String,
        /// Who holds the lock, as far as it can be seen.
        blockers: Vec<Blocker>,
    },
    /// A migration is done.
    Finished {
        /// Its version.
        version: Version,
        /// How long it took.
        duration: Duration,
    },
    /// Something worth knowing that is no error.
    Notice(String),
}

/// What the log in the database tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A migration was applied.
    Applied,
    /// A migration was reverted.
    Reverted,
    /// A migration failed; statement and error are in the entry.
    Failed,
    /// Taken over from diesel_cli.
    Adopted,
    /// Found reverted by diesel_cli.
    RevertedOutside,
    /// Declared as present.
    Baselined,
    /// A checksum was re-stamped, or an edit or a missing file accepted.
    Repaired,
    /// The stored schema was taken anew.
    Restamped,
}

impl EventKind {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Adopted => "adopted",
            Self::RevertedOutside => "reverted_outside",
            Self::Baselined => "baselined",
            Self::Repaired => "repaired",
            Self::Restamped => "restamped",
        }
    }
}

/// An entry of the append-only log.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, Serialize)]
pub struct LoggedEvent {
    /// Its number.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// When, in UTC.
    #[diesel(sql_type = Text)]
    pub at: String,
    /// What: the words of [`EventKind`].
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The migration's version, if it is about one.
    #[diesel(sql_type = Nullable<Text>)]
    pub version: Option<String>,
    /// The migration's folder name.
    #[diesel(sql_type = Nullable<Text>)]
    pub folder_name: Option<String>,
    /// The migration's set.
    #[diesel(sql_type = Nullable<Text>)]
    pub set_name: Option<String>,
    /// Who.
    #[diesel(sql_type = Text)]
    pub actor: String,
    /// How long it took, in microseconds.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub duration_us: Option<i64>,
    /// The statement that failed, from 1.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub statement: Option<i64>,
    /// The error, or what was repaired.
    #[diesel(sql_type = Nullable<Text>)]
    pub detail: Option<String>,
}
