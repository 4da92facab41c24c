//! What a run will do, step by step, known before anything is touched.

use std::borrow::Cow;

use db_core::{Conn, Engine};

use crate::Version;
use crate::assess::{Assessment, known_sets};
use crate::error::{Error, migrations_are};
use crate::ledger::{Applied, History, Ledger};
use crate::migration::{Body, Direction, Migration, Options, RustStep, short_name};
use crate::run::{Prepared, Rules, asks_for_foreign_keys_off, prepare};
use crate::source::{MigrationSet, SourceError};
use crate::sql::split;
use crate::target::{Nameable, Target};

/// One migration about to be run, in one direction.
pub(crate) struct PlannedStep<'s> {
    pub(crate) version: Version,
    pub(crate) folder_name: String,
    pub(crate) set: String,
    pub(crate) action: Action<'s>,
    pub(crate) options: Options,
    /// The file, for messages.
    pub(crate) file: String,
    /// The migration as it is on disk or in the program; none where only the ledger has it.
    pub(crate) migration: Option<&'s Migration>,
    pub(crate) is_rust: bool,
}

/// What a step executes.
pub(crate) enum Action<'s> {
    Sql(Cow<'s, str>),
    Rust(&'s RustStep),
}

impl<'s> PlannedStep<'s> {
    pub(crate) fn name(&self) -> &str {
        short_name(&self.folder_name)
    }

    /// The step that applies a migration.
    pub(crate) fn up(migration: &'s Migration) -> Result<Self, SourceError> {
        let action = match &migration.body {
            Body::Sql { up, .. } => Action::Sql(Cow::Borrowed(up.as_ref())),
            Body::Rust { up, .. } => Action::Rust(up),
        };
        Self::of(migration, action, Direction::Up)
    }

    fn of(
        migration: &'s Migration,
        action: Action<'s>,
        direction: Direction,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            version: migration.version.clone(),
            folder_name: migration.folder_name.clone(),
            set: migration.set().to_owned(),
            action,
            options: migration.options()?,
            file: migration.file(direction),
            migration: Some(migration),
            is_rust: migration.is_rust(),
        })
    }

    /// The statements of its script; none for Rust.
    pub(crate) fn prepare(&self, engine: Engine) -> Result<Vec<Prepared<'_>>, Error> {
        match &self.action {
            Action::Rust(_) => Ok(Vec::new()),
            Action::Sql(sql) => prepare(
                engine,
                &self.file,
                sql,
                Rules {
                    in_transaction: self.options.run_in_transaction,
                },
            ),
        }
    }
}

/// Whether SQLite's foreign keys are switched off around a step: by its metadata, or because its
/// script asks for it where the pragma alone would do nothing.
pub(crate) fn without_foreign_keys(step: &PlannedStep<'_>, prepared: &[Prepared<'_>]) -> bool {
    step.options.foreign_keys_off
        || (step.options.run_in_transaction && asks_for_foreign_keys_off(prepared))
}

/// Everything that a target may name, in the order of versions.
pub(crate) fn nameable(set: &MigrationSet, history: &History) -> Vec<Nameable> {
    let known = set.all().iter().map(|m| Nameable {
        version: m.version.clone(),
        folder_name: m.folder_name.clone(),
    });
    let only_recorded = history
        .applied
        .iter()
        .chain(&history.incomplete)
        .filter(|row| set.find(&row.version).is_none())
        .map(|row| Nameable {
            version: row.version.clone(),
            folder_name: row.folder_name.clone(),
        });
    let mut all: Vec<_> = known.chain(only_recorded).collect();
    all.sort_by(|a, b| a.version.cmp(&b.version));
    all
}

/// The pending migrations up to the target, in order.
pub(crate) fn forward<'s>(
    set: &'s MigrationSet,
    history: &History,
    assessment: &Assessment<'s>,
    target: Option<&Target>,
) -> Result<Vec<PlannedStep<'s>>, Error> {
    let Some(target) = target else {
        let steps = assessment.pending.iter().map(|m| PlannedStep::up(m));
        return Ok(steps.collect::<Result<_, _>>()?);
    };
    let all = nameable(set, history);
    let position = target.position(&all)?;
    let beyond = &all[position..];
    if let Some(row) = history
        .applied
        .iter()
        .find(|row| beyond.iter().any(|m| m.version == row.version))
    {
        return Err(Error::WrongDirection(format!(
            "{} is already applied, beyond the target; `rollback` goes back",
            row.folder_name
        )));
    }
    let steps = assessment
        .pending
        .iter()
        .filter(|m| !beyond.iter().any(|b| b.version == m.version))
        .map(|m| PlannedStep::up(m));
    Ok(steps.collect::<Result<_, _>>()?)
}

/// The applied migrations to revert, the last applied first. Those of other sets are left alone.
///
/// # Errors
/// [`Error::Refused`] while a migration is half applied: what it has built would be torn from
/// under it, yet it would go on from where it stopped.
pub(crate) fn backward<'h>(
    set: &MigrationSet,
    history: &'h History,
    target: Option<&Target>,
) -> Result<Vec<&'h Applied>, Error> {
    if let Some(half) = history.incomplete.first() {
        return Err(Error::Refused(format!(
            "{} stopped half way; finish it with `migrate`, or accept it as it is with \
             `repair --accept {}`, before anything is rolled back",
            half.folder_name, half.version
        )));
    }
    let known = known_sets(set, history);
    let ours = |row: &&Applied| known.contains(row.set.as_str());
    let newest_first = history.applied.iter().rev().filter(ours);
    let rows = beyond(set, history, newest_first, target)?;
    match history.half_reverted().filter(ours) {
        Some(half) if !rows.contains(&half) => Err(Error::Refused(format!(
            "{} stopped on its way back, and would stay so; roll it back to its end first, or \
             accept it as applied with `repair --accept {}`",
            half.folder_name, half.version
        ))),
        _ => Ok(rows),
    }
}

/// Those of the applied migrations that are beyond the target.
fn beyond<'h>(
    set: &MigrationSet,
    history: &'h History,
    newest_first: impl Iterator<Item = &'h Applied> + Clone,
    target: Option<&Target>,
) -> Result<Vec<&'h Applied>, Error> {
    match target {
        None => Ok(newest_first.take(1).collect()),
        Some(Target::Back(steps)) => {
            let applied = newest_first.clone().count();
            if *steps > applied {
                return Err(Error::WrongDirection(format!(
                    "only {} applied; {steps} cannot be rolled back",
                    migrations_are(applied)
                )));
            }
            Ok(newest_first.take(*steps).collect())
        }
        Some(target) => {
            let all = nameable(set, history);
            let position = target.position(&all)?;
            if let Some(last) = position.checked_sub(1).map(|at| &all[at])
                && history.find(&last.version).is_none()
            {
                return Err(Error::WrongDirection(format!(
                    "{} is not applied; `migrate --to` goes forward",
                    last.folder_name
                )));
            }
            let beyond = &all[position..];
            Ok(newest_first
                .filter(|row| beyond.iter().any(|m| m.version == row.version))
                .collect())
        }
    }
}

/// Finds how each applied migration is reverted, and names every one that has no way back.
pub(crate) fn way_back<'s>(
    ledger: &Ledger,
    conn: &mut Conn<'_>,
    set: &'s MigrationSet,
    rows: &[&Applied],
) -> Result<Vec<PlannedStep<'s>>, Error> {
    let mut steps = Vec::new();
    let mut hopeless = Vec::new();
    for row in rows {
        match revert_step(ledger, conn, set, row)? {
            Ok(step) => steps.push(step),
            Err(reason) => hopeless.push(format!("{} {reason}", row.folder_name)),
        }
    }
    if hopeless.is_empty() {
        Ok(steps)
    } else {
        Err(Error::NoWayBack(hopeless))
    }
}

/// The step that reverts one migration, or why there is none. The text on disk comes before the
/// stored one: a down script that was mended since must count.
fn revert_step<'s>(
    ledger: &Ledger,
    conn: &mut Conn<'_>,
    set: &'s MigrationSet,
    row: &Applied,
) -> Result<Result<PlannedStep<'s>, &'static str>, Error> {
    if let Some(migration) = set.find(&row.version) {
        let action = match &migration.body {
            Body::Rust { down, .. } => down.as_ref().map(Action::Rust),
            Body::Sql { .. } => migration
                .down_sql()?
                .map(|sql| Action::Sql(Cow::Borrowed(sql))),
        };
        return Ok(match action {
            None if migration.is_rust() => Err("has no down function"),
            None => Err("has no down.sql"),
            Some(action) if is_empty(ledger.engine(), &action) => Err("has an empty down.sql"),
            Some(action) => Ok(PlannedStep::of(migration, action, Direction::Down)?),
        });
    }
    if row.is_rust {
        return Ok(Err(
            "was written in Rust, and this program does not have it",
        ));
    }
    // What only diesel_cli has recorded so far has no text in the ledger.
    let stored = match row.checksums {
        Some(_) => ledger.texts(conn, &row.version)?.down,
        None => None,
    };
    let Some(down) = stored else {
        return Ok(Err("has no file, and its down.sql is not stored"));
    };
    let action = Action::Sql(Cow::Owned(down));
    if is_empty(ledger.engine(), &action) {
        return Ok(Err("has an empty down.sql"));
    }
    Ok(Ok(PlannedStep {
        version: row.version.clone(),
        folder_name: row.folder_name.clone(),
        set: row.set.clone(),
        action,
        options: Options {
            run_in_transaction: row.run_in_transaction,
            foreign_keys_off: row.foreign_keys_off,
            out_of_order: false,
        },
        file: format!("{}/down.sql (stored in the ledger)", row.folder_name),
        migration: None,
        is_rust: false,
    }))
}

/// Whether a script has no statement at all. A script that cannot be split is not empty; what is
/// wrong with it is said when it is prepared.
fn is_empty(engine: Engine, action: &Action<'_>) -> bool {
    match action {
        Action::Rust(_) => false,
        Action::Sql(sql) => split(engine, sql).is_ok_and(|statements| statements.is_empty()),
    }
}
