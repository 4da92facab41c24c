//! Looking: status, history, what is pending, and the guard for an application's start.

use db_core::Conn;
use serde::Serialize;

use super::Migrator;
use crate::Version;
use crate::assess::{Problem, assess, halves_without_file};
use crate::drift::Drift;
use crate::error::Error;
use crate::event::LoggedEvent;
use crate::ledger::{Applied, Status};
use crate::migration::Migration;
use crate::plan::nameable;

/// Whether a migration is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was run by this engine, taken over from diesel_cli, or declared by `baseline`.
    Applied,
    /// It is not applied yet.
    Pending,
    /// It stopped half way, outside a transaction.
    Incomplete,
    /// It stopped on its way back, outside a transaction.
    Reverting,
}

/// One migration, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Its position in the order of versions, from 1: what `rollback 5` counts.
    pub position: usize,
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Its set.
    pub set: String,
    /// Whether it is in the database.
    pub state: State,
    /// How it came there: `applied`, `adopted`, `baselined`, or `reverting`; empty while pending.
    pub how: String,
    /// When, in UTC.
    pub applied_at: Option<String>,
    /// How long it took, in microseconds; none where it was not run by this engine.
    pub duration_us: Option<i64>,
    /// Who.
    pub applied_by: Option<String>,
}

/// The state of a database, without a change to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// Where the migrations come from.
    pub source: String,
    /// The highest applied version in the order of versions.
    pub current_version: Option<String>,
    /// Applied migrations, in the order of application.
    pub applied: Vec<Entry>,
    /// Pending migrations, in the order in which they would run, and halves whose file is gone.
    pub pending: Vec<Entry>,
    /// Everything in which files and history disagree.
    pub problems: Vec<Problem>,
    /// Migrations that diesel_cli ran since we looked last; the next run takes them over.
    pub unrecorded: Vec<String>,
    /// Migrations that diesel_cli reverted since.
    pub reverted_outside: Vec<String>,
    /// Whether the database has a history at all.
    pub initialized: bool,
    /// The live schema beside the one stored after the last migration. What the migrations would
    /// build is a matter for [`Migrator::validate`].
    pub drift: Drift,
}

impl Migrator {
    /// What is applied and what is pending. Never changes, creates or locks anything.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn status<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<StatusReport, Error> {
        let mut conn = conn.into();
        let (look, drift) = self.drift_beside(&mut conn)?;
        let mut assessment = assess(&look.set, &look.history)?;
        let lost = look.ledger.lost_table(&mut conn, &look.history)?;
        assessment.problems.extend(lost);
        let all = nameable(&look.set, &look.history);
        let position = |version: &Version| {
            all.binary_search_by(|m| m.version.cmp(version))
                .map_or(0, |at| at + 1)
        };
        let lost = halves_without_file(&look.set, &look.history).map(|row| Entry {
            state: State::Incomplete,
            how: String::new(),
            ..applied_entry(row.clone(), None, position(&row.version))
        });
        let mut pending: Vec<Entry> = assessment
            .pending
            .iter()
            .map(|m| {
                let half = look
                    .history
                    .incomplete
                    .iter()
                    .any(|row| row.version == m.version);
                pending_entry(m, position(&m.version), half)
            })
            .chain(lost)
            .collect();
        pending.sort_by_key(|entry| entry.position);
        let current = look.history.applied.iter().map(|row| &row.version).max();
        let current_version = current.map(ToString::to_string);
        let applied = look.history.applied.into_iter().map(|row| {
            let at = position(&row.version);
            let migration = look.set.find(&row.version);
            applied_entry(row, migration, at)
        });
        Ok(StatusReport {
            applied: applied.collect(),
            current_version,
            drift,
            source: look.set.described().to_owned(),
            pending,
            problems: assessment.problems,
            unrecorded: versions(look.history.unrecorded.iter().map(|row| &row.version)),
            reverted_outside: versions(look.history.vanished.iter()),
            initialized: look.history.has_ledger || look.history.has_diesel,
        })
    }

    /// The status of a database that does not exist yet: everything is pending.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn status_of_nothing(&self, engine: db_core::Engine) -> Result<StatusReport, Error> {
        let set = self.load(engine)?;
        Ok(StatusReport {
            source: set.described().to_owned(),
            current_version: None,
            applied: Vec::new(),
            pending: (1..)
                .zip(set.all())
                .map(|(position, m)| pending_entry(m, position, false))
                .collect(),
            problems: Vec::new(),
            unrecorded: Vec::new(),
            reverted_outside: Vec::new(),
            initialized: false,
            drift: Drift::None,
        })
    }

    /// Applied migrations, in the order of application.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn history<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Vec<Applied>, Error> {
        let mut conn = conn.into();
        Ok(self.look(&mut conn)?.history.applied)
    }

    /// Versions of the pending migrations, in the order in which they would run.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn pending<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Vec<Version>, Error> {
        let mut conn = conn.into();
        let look = self.look(&mut conn)?;
        let assessment = assess(&look.set, &look.history)?;
        Ok(assessment
            .pending
            .iter()
            .map(|m| m.version.clone())
            .collect())
    }

    /// The append-only log of everything that happened, oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn log<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Vec<LoggedEvent>, Error> {
        let mut conn = conn.into();
        let look = self.look(&mut conn)?;
        if look.history.has_ledger {
            look.ledger.log(&mut conn)
        } else {
            Ok(Vec::new())
        }
    }

    /// A guard for the start of an application that does not migrate by itself.
    ///
    /// # Errors
    /// [`Error::Pending`] if migrations are pending, [`Error::NewerDatabase`] if the database has
    /// some that this program does not know, [`Error::History`] if one stopped on its way back, or
    /// if this program has no migrations at all.
    pub fn ensure_current<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<(), Error> {
        let mut conn = conn.into();
        let look = self.look(&mut conn)?;
        let assessment = assess(&look.set, &look.history)?;
        let (newer, others): (Vec<Problem>, Vec<Problem>) = assessment
            .problems
            .into_iter()
            .partition(|p| matches!(p, Problem::Newer { .. }));
        if !newer.is_empty() {
            return Err(Error::NewerDatabase(newer));
        }
        let unusable: Vec<Problem> = others
            .into_iter()
            .filter(|p| match p {
                Problem::HalfReverted { .. } => true,
                Problem::NoMigrations { .. } => !p.is_warning(),
                _ => false,
            })
            .collect();
        if !unusable.is_empty() {
            return Err(Error::History(unusable));
        }
        if !assessment.pending.is_empty() {
            return Err(Error::Pending(
                assessment
                    .pending
                    .iter()
                    .map(|m| m.folder_name.clone())
                    .collect(),
            ));
        }
        Ok(())
    }
}

fn versions<'v>(list: impl Iterator<Item = &'v Version>) -> Vec<String> {
    list.map(ToString::to_string).collect()
}

pub(super) fn pending_entry(migration: &Migration, position: usize, half: bool) -> Entry {
    Entry {
        position,
        version: migration.version.to_string(),
        name: migration.name().to_owned(),
        set: migration.set().to_owned(),
        state: if half {
            State::Incomplete
        } else {
            State::Pending
        },
        how: String::new(),
        applied_at: None,
        duration_us: None,
        applied_by: None,
    }
}

pub(super) fn applied_entry(row: Applied, migration: Option<&Migration>, position: usize) -> Entry {
    let name = migration.map_or_else(|| row.name(), Migration::name);
    Entry {
        position,
        name: name.to_owned(),
        version: row.version.into_string(),
        set: migration.map_or(row.set, |migration| migration.set().to_owned()),
        state: if row.status == Status::Reverting {
            State::Reverting
        } else {
            State::Applied
        },
        how: row.status.as_str().to_owned(),
        applied_at: Some(row.applied_at),
        // What was adopted, declared or accepted did not run here.
        duration_us: Some(row.duration_us).filter(|us| *us > 0),
        applied_by: Some(row.applied_by),
    }
}
