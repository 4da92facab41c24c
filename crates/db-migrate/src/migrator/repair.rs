//! Mending the ledger: checksums, deliberate edits, missing files, and databases without history.

use db_core::Conn;
use serde::Serialize;

use super::{Look, Migrator};
use crate::assess::{Edit, Problem, assess};
use crate::drift;
use crate::error::Error;
use crate::event::EventKind;
use crate::heal::heal;
use crate::ledger::{NewRow, Status};
use crate::migration::Migration;
use crate::plan::nameable;
use crate::run::{Context, Session, within};
use crate::target::{Target, TargetError};
use crate::{Direction, Report, Step, Version};

/// What to repair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// Record the new text of migrations that were edited but mean the same.
    pub cosmetic: bool,
    /// Accept a deliberate edit, a missing file, or a migration that stopped half way.
    pub accept: Vec<Target>,
}

/// What was repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RepairReport {
    /// Cosmetic edits that were recorded.
    pub restamped: Vec<String>,
    /// Semantic edits, missing files and halves that were accepted.
    pub accepted: Vec<String>,
    /// What was healed besides.
    pub healed: Vec<String>,
}

/// How an accepted migration that was half reverted is told.
const STOPPED_ON_THE_WAY_BACK: &str = "stopped on its way back, accepted as applied";

impl RepairReport {
    /// Whether there was anything to repair.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.restamped.is_empty() && self.accepted.is_empty() && self.healed.is_empty()
    }
}

impl Migrator {
    /// Heals what can be healed, and accepts what the caller names.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is nothing to accept.
    pub fn repair<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        repair: &Repair,
    ) -> Result<RepairReport, Error> {
        let mut conn = conn.into();
        self.under_lock(&mut conn, |migrator, conn| {
            let look = migrator.look(conn)?;
            let scope = migrator.scope_of(&look.ledger, conn)?;
            let context = migrator.context(&look.ledger, &scope);
            let mut report = RepairReport::default();
            if !look.history.has_ledger && !look.history.has_diesel {
                return Err(Error::Refused(
                    "there is no history to repair; `migrate` or `baseline` begins one".to_owned(),
                ));
            }
            report.healed = heal(&context, conn, &look.set, &look.history)?.notices();
            let look = migrator.look(conn)?;
            if context.ledger.stored_stamp(conn)?.is_none() {
                within(conn, |conn| {
                    take_as_it_is(&context, &look, conn, &mut report)
                })?;
            }
            within(conn, |conn| {
                if repair.cosmetic {
                    restamp_cosmetic(&context, &look, conn, &mut report)?;
                }
                let mut was_half = false;
                for target in &repair.accept {
                    was_half |= accept(&context, &look, conn, target, &mut report)?;
                }
                if was_half {
                    // The stored schema is that before the half.
                    let look = migrator.look(conn)?;
                    take_as_it_is(&context, &look, conn, &mut report)?;
                }
                Ok(())
            })?;
            Ok(report)
        })
    }

    /// Declares everything up to the target as present in a database that has no history yet.
    ///
    /// # Errors
    /// [`Error::Refused`] if migrations are recorded already.
    pub fn baseline<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        target: &Target,
    ) -> Result<Report, Error> {
        let mut conn = conn.into();
        self.under_lock(&mut conn, |migrator, conn| {
            let look = migrator.look(conn)?;
            let mut recorded = look.history.applied.iter().chain(&look.history.incomplete);
            if let Some(row) = recorded.next() {
                return Err(Error::Refused(format!(
                    "{} is recorded already; baseline is for a database without history",
                    row.folder_name
                )));
            }
            let position = target.position(&nameable(&look.set, &look.history))?;
            let scope = migrator.scope_of(&look.ledger, conn)?;
            let context = migrator.context(&look.ledger, &scope);
            let session = Session::inspect(&look.ledger, conn)?;
            let declared = &look.set.all()[..position];
            within(conn, |conn| {
                look.ledger.create(conn)?;
                for (sequence, migration) in (1..).zip(declared) {
                    declare(&context, conn, migration, sequence)?;
                }
                let sequence = i64::try_from(declared.len()).unwrap_or(i64::MAX);
                stamp(&context, conn, sequence, session.server())
            })?;
            let mut report = Report::new(Direction::Up);
            report.steps = declared.iter().map(step_of).collect();
            Ok(report)
        })
    }
}

fn step_of(migration: &Migration) -> Step {
    Step {
        version: migration.version.clone(),
        name: migration.name().to_owned(),
        set: migration.set().to_owned(),
        duration: std::time::Duration::ZERO,
        statements: 0,
        rows_changed: None,
        dropped: None,
        locks: Vec::new(),
        not_rehearsed: None,
    }
}

fn declare(
    context: &Context<'_>,
    conn: &mut Conn<'_>,
    migration: &Migration,
    sequence: i64,
) -> Result<(), Error> {
    let at = context.now();
    context.ledger.put(
        conn,
        &NewRow {
            applied_at: &at,
            applied_by: context.actor,
            ..NewRow::of(migration, Status::Baselined, sequence)?
        },
    )?;
    if !migration.is_rust() {
        context
            .ledger
            .restore_to_diesel(conn, &migration.version, &at)?;
    }
    context.log(
        conn,
        EventKind::Baselined,
        Some(migration_of(migration)),
        None,
    )
}

/// Takes the schema as it is as the state to compare with.
fn stamp(
    context: &Context<'_>,
    conn: &mut Conn<'_>,
    sequence: i64,
    server: &str,
) -> Result<(), Error> {
    let live = drift::live(conn, context.scope)?;
    let stamp = drift::stamp_of(&live, sequence, server.to_owned(), context.now());
    context.ledger.stamp_whole(conn, &live, &stamp)?;
    context.ledger.put_seal(conn, None)
}

/// Stores the schema as it is, and says so.
fn take_as_it_is(
    context: &Context<'_>,
    look: &Look,
    conn: &mut Conn<'_>,
    report: &mut RepairReport,
) -> Result<(), Error> {
    let session = Session::inspect(&look.ledger, conn)?;
    let detail = "the schema as it is now is taken as the state to compare with";
    let sequence = look.history.next_sequence() - 1;
    stamp(context, conn, sequence, session.server())?;
    context.log(conn, EventKind::Restamped, None, Some(detail))?;
    report.healed.push(detail.to_owned());
    Ok(())
}

fn restamp_cosmetic(
    context: &Context<'_>,
    look: &Look,
    conn: &mut Conn<'_>,
    report: &mut RepairReport,
) -> Result<(), Error> {
    for problem in assess(&look.set, &look.history)?.problems {
        let Problem::Edited {
            version,
            edit: Edit::Cosmetic,
            ..
        } = &problem
        else {
            continue;
        };
        if let Some(migration) = look.set.find(&Version::from_stored(version.clone())) {
            context.ledger.restamp(conn, migration)?;
            let detail = Some("cosmetic edit");
            context.log(
                conn,
                EventKind::Repaired,
                Some(migration_of(migration)),
                detail,
            )?;
            report.restamped.push(migration.folder_name.clone());
        }
    }
    Ok(())
}

/// Accepts one migration as it is: edited, without a file, half applied or half reverted. Returns
/// whether it was a half.
fn accept(
    context: &Context<'_>,
    look: &Look,
    conn: &mut Conn<'_>,
    target: &Target,
    report: &mut RepairReport,
) -> Result<bool, Error> {
    let all = nameable(&look.set, &look.history);
    let position = target.position(&all)?;
    let Some(at) = position.checked_sub(1) else {
        return Err(TargetError::Malformed("0".to_owned()).into());
    };
    let version = &all[at].version;
    let folder_name = &all[at].folder_name;
    let ledger = context.ledger;
    let migration = look.set.find(version);
    let half = look
        .history
        .incomplete
        .iter()
        .find(|row| row.version == *version);
    let problem = assess(&look.set, &look.history)?
        .problems
        .into_iter()
        .find(|p| p.version() == Some(version.as_str()));
    let detail = match (half, problem, migration) {
        (Some(row), _, Some(migration)) => {
            let at = context.now();
            ledger.put(
                conn,
                &NewRow {
                    applied_at: &at,
                    applied_by: context.actor,
                    statements: row.statements_done,
                    ..NewRow::of(migration, Status::Applied, row.sequence)?
                },
            )?;
            ledger.restore_to_diesel(conn, version, &at)?;
            "stopped half way, accepted as applied"
        }
        (Some(_), _, None) => {
            ledger.remove(conn, version)?;
            "stopped half way and has no file, forgotten"
        }
        (None, Some(Problem::Edited { .. }), Some(migration)) => {
            ledger.restamp(conn, migration)?;
            "deliberate edit"
        }
        (None, Some(Problem::HalfReverted { .. }), _) => {
            ledger.accept_half_reverted(conn, version)?;
            STOPPED_ON_THE_WAY_BACK
        }
        (None, Some(Problem::Newer { .. }), _) => {
            return Err(Error::Refused(format!(
                "{folder_name} is newer than every file here, which cannot be accepted: it would \
                 look as if nothing were missing; restore its file, or `rollback`, which reverts it \
                 with the down.sql that the ledger holds"
            )));
        }
        (None, Some(Problem::Missing { .. }), _) => {
            ledger.accept_missing(conn, version)?;
            "missing file"
        }
        _ => {
            return Err(Error::Refused(format!(
                "there is nothing to accept about {folder_name}: it is neither edited nor missing \
                 its file nor half applied nor half reverted"
            )));
        }
    };
    let set = migration.map_or("", Migration::set);
    let accepted = Some((version, folder_name.as_str(), set));
    context.log(conn, EventKind::Repaired, accepted, Some(detail))?;
    report.accepted.push(format!("{folder_name} ({detail})"));
    Ok(half.is_some() || detail == STOPPED_ON_THE_WAY_BACK)
}

fn migration_of(migration: &Migration) -> (&Version, &str, &str) {
    (&migration.version, &migration.folder_name, &migration.set)
}
