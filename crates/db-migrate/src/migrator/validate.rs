//! Whether files, history and the live schema agree.

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine, Interrupt};
use serde::Serialize;

use super::{Look, Migrator};
use crate::assess::{Edit, Problem, assess};
use crate::catalog::{Catalog, Difference, Mode, Scope};
use crate::drift::{self, Drift};
use crate::error::{Error, in_database};
use crate::ledger::Ledger;
use crate::migration::{Body, Migration};
use crate::sql::{DiffLine, diff};

/// Lines around a difference that are shown with it.
const CONTEXT_LINES: usize = 2;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Validation {
    /// Everything in which files and history disagree.
    pub problems: Vec<Problem>,
    /// For each edited migration whose applied text is stored, the lines that differ.
    pub edits: Vec<EditedText>,
    /// Names of pending migrations.
    pub pending: Vec<String>,
    /// Migrations that stopped half way.
    pub incomplete: Vec<String>,
    /// The live schema beside the one stored after the last migration.
    pub drift: Drift,
    /// The live schema beside what the migrations build.
    pub rebuild: Rebuild,
}

/// An edited migration, and how its text differs from the one that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct EditedText {
    /// Its version.
    pub version: String,
    /// Whether it means the same.
    pub edit: Edit,
    /// The lines that differ, with some around them.
    pub lines: Vec<DiffLine>,
}

/// The outcome of building the schema anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Rebuild {
    /// It was not asked for.
    Skipped,
    /// The migrations build what is there.
    Same,
    /// They build something else.
    Different {
        /// Each object that differs.
        differences: Vec<Difference>,
    },
    /// They cannot be run on an empty database, or not all of their texts are known.
    Impossible {
        /// Why.
        reason: String,
    },
}

impl Validation {
    /// Whether everything agrees and nothing is pending.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_sound() && self.pending.is_empty() && self.incomplete.is_empty()
    }

    /// Whether everything agrees, whatever is pending.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(Problem::is_warning)
            && self.drift.differences().is_empty()
            && !matches!(self.rebuild, Rebuild::Different { .. })
    }
}

impl Migrator {
    /// Compares files, history and the live schema. Changes nothing.
    ///
    /// On SQLite the schema is also built anew, in memory. On PostgreSQL that needs `scratch`, an
    /// empty database to build in.
    ///
    /// # Errors
    /// See [`Error`]; what was found is no error here.
    pub fn validate<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        scratch: Option<Conn<'_>>,
    ) -> Result<Validation, Error> {
        let mut conn = conn.into();
        let conn = &mut conn;
        self.load(conn.engine())?.complete()?;
        let (look, (live, drift)) = self.steadily(
            conn,
            |seen, conn| {
                let scope = self.scope_of(&seen.ledger, conn)?;
                let live = drift::live(conn, &scope)?;
                let drift = drift::compare(&seen.ledger, conn, &seen.history, &live)?;
                Ok((live, drift))
            },
            // What the migrations build is compared with this history, too.
            |_| false,
        )?;
        let mut assessment = assess(&look.set, &look.history)?;
        let lost = look.ledger.lost_table(conn, &look.history)?;
        assessment.problems.extend(lost);
        let edits = edited_texts(&look, conn, &assessment.problems)?;
        let rebuild = rebuild(&look, &live, scratch, &self.stop())?;
        Ok(Validation {
            pending: assessment
                .pending
                .iter()
                .map(|m| m.folder_name.clone())
                .collect(),
            incomplete: look
                .history
                .incomplete
                .iter()
                .map(|row| row.folder_name.clone())
                .collect(),
            problems: assessment.problems,
            edits,
            drift,
            rebuild,
        })
    }
}

/// Builds the schema anew and compares it with the live one.
fn rebuild(
    look: &Look,
    live: &Catalog,
    scratch: Option<Conn<'_>>,
    stop: &Interrupt,
) -> Result<Rebuild, Error> {
    let mut memory;
    let (mut scratch, mode) = match (look.ledger.engine(), scratch) {
        (Engine::Sqlite, _) => {
            memory = Connection::open_with(&DatabaseUrl::SqliteMemory, Access::Create, stop)
                .map_err(|error| Error::Database {
                    doing: "opening a database in memory",
                    error,
                })?;
            (memory.conn(), Mode::Strict)
        }
        (Engine::Postgres, Some(conn)) => (conn, Mode::Loose),
        (Engine::Postgres, None) => return Ok(Rebuild::Skipped),
    };
    let mut texts = Vec::new();
    for row in &look.history.applied {
        match look.set.find(&row.version) {
            Some(migration) => texts.push(migration),
            None => {
                return Ok(Rebuild::Impossible {
                    reason: format!("{} has no file", row.folder_name),
                });
            }
        }
    }
    // Before a migration can change what comes first in the search path.
    let (home, _) = Ledger::locate(&mut scratch)?;
    for migration in texts {
        let built = build(&mut scratch, migration);
        if stop.is_set() {
            return Err(Error::Interrupted { report: None });
        }
        if let Err(reason) = built {
            return Ok(Rebuild::Impossible {
                reason: format!(
                    "{} does not run on an empty database: {reason}",
                    migration.folder_name
                ),
            });
        }
    }
    let scope = Scope::default().with_home(home.schema());
    let expected = Catalog::read(&mut scratch, &scope).map_err(in_database(
        look.ledger.engine(),
        "reading the rebuilt schema",
    ))?;
    let differences = expected.compare(live, mode);
    Ok(if differences.is_empty() {
        Rebuild::Same
    } else {
        Rebuild::Different { differences }
    })
}

/// Runs one migration on the scratch database, where nothing needs to be recorded or undone.
fn build(scratch: &mut Conn<'_>, migration: &Migration) -> Result<(), String> {
    let options = migration.options().map_err(|e| e.to_string())?;
    match &migration.body {
        Body::Rust { up, .. } => up(scratch).map_err(|e| e.to_string()),
        Body::Sql { up, .. } if options.run_in_transaction => {
            let switch = |conn: &mut Conn<'_>, on: &str| match conn {
                Conn::Sqlite(_) if options.foreign_keys_off => {
                    conn.batch_execute(&format!("PRAGMA foreign_keys = {on}"))
                }
                _ => Ok(()),
            };
            switch(scratch, "OFF")
                .and_then(|()| scratch.batch_execute(up))
                .and_then(|()| switch(scratch, "ON"))
                .map_err(|e| e.to_string())
        }
        Body::Sql { up, .. } => {
            let engine = scratch.engine();
            let statements = crate::sql::split(engine, up).map_err(|e| e.to_string())?;
            statements
                .iter()
                .try_for_each(|s| scratch.batch_execute(s.text))
                .map_err(|e| e.to_string())
        }
    }
}

fn edited_texts(
    look: &Look,
    conn: &mut Conn<'_>,
    problems: &[Problem],
) -> Result<Vec<EditedText>, Error> {
    let mut edits = Vec::new();
    for problem in problems {
        let Problem::Edited { version, edit, .. } = problem else {
            continue;
        };
        let key = crate::Version::from_stored(version.clone());
        let stored = look.ledger.texts(conn, &key)?.up;
        let now = look.set.find(&key).and_then(Migration::up_sql);
        if let (Some(before), Some(now)) = (stored, now) {
            edits.push(EditedText {
                version: version.clone(),
                edit: *edit,
                lines: diff(&before, now, CONTEXT_LINES),
            });
        }
    }
    Ok(edits)
}
