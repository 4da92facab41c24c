//! Whether the schema is the one that the migrations make: what is missing, pending or changed.

use std::collections::BTreeSet;

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine};
use db_migrate::catalog::{Catalog, Change, Difference, Kind, Scope};
use db_migrate::{Drift, HalfCopy, Migrator, Problem, Rebuild, State, StatusReport, Unknown};

use super::super::look::Look;
use super::super::query::{self, Trouble, counted, gauge};
use super::super::{Verdict, metrics};

const RESTORE: &str =
    "`bitcraps-db validate` shows the definitions; make it again, or restore a backup";

/// What the migrations say of a database.
#[derive(Debug)]
pub(crate) struct Schema {
    status: StatusReport,
    /// What is gone of the schema that is expected; or why that cannot be told.
    missing: Result<Missing, String>,
    /// Everything else that was changed by hand.
    changed: Vec<String>,
    /// What a copy into the database has left that was killed.
    left: Vec<String>,
}

#[derive(Debug, Default)]
struct Missing {
    tables: Vec<String>,
    indexes: Vec<String>,
}

/// Reads it; a look that needs no lock and changes nothing.
pub(crate) fn read(conn: &mut Conn<'_>, migrator: &Migrator) -> Result<Schema, Trouble> {
    let status = migrator.status(conn.reborrow())?;
    let mut others = Vec::new();
    let missing = match &status.drift {
        Drift::None | Drift::Restored => Ok(Missing::default()),
        Drift::Found { differences } => {
            let (missing, rest) = part(differences);
            others = rest;
            Ok(missing)
        }
        Drift::Unknown { reason } => match (status.initialized, conn.engine(), reason) {
            (false, Engine::Sqlite, _) => all_of(migrator, conn),
            (false, Engine::Postgres, _) => Err("no migration was ever applied".to_owned()),
            (true, Engine::Sqlite, Unknown::NeverTaken) => rebuilt(migrator, conn)?,
            (true, _, Unknown::NeverTaken) => {
                Err("no schema is stored; the next `migrate` stores it".to_owned())
            }
            (true, _, Unknown::ChangedByDiesel) => {
                Err("diesel has changed the schema since the last run here".to_owned())
            }
            (true, _, Unknown::HalfApplied | Unknown::HalfReverted) => {
                Err("a migration stopped half way".to_owned())
            }
        },
    };
    let half = HalfCopy::read(conn.reborrow()).map_err(|e| query::classified(conn, &e))?;
    let is_left = |d: &&Difference| half.as_ref().is_some_and(|half| half.has_left(d));
    let (left, changed): (Vec<_>, Vec<_>) = others.into_iter().partition(is_left);
    let shown = |some: Vec<&Difference>| some.iter().map(ToString::to_string).collect();
    let (left, changed) = (shown(left), shown(changed));
    Ok(Schema {
        status,
        missing,
        changed,
        left,
    })
}

/// What is gone with its table is said with the table alone.
fn part(differences: &[Difference]) -> (Missing, Vec<&Difference>) {
    let gone = |kind: Kind| {
        let is_gone =
            move |d: &&Difference| d.kind == kind && matches!(d.change, Change::Gone { .. });
        differences.iter().filter(is_gone)
    };
    let tables: BTreeSet<&str> = gone(Kind::Table).map(|d| d.name.as_str()).collect();
    let is_of = |d: &Difference| {
        let table = d.table.as_deref();
        let owner = d.name.split(['.', ' ']);
        table
            .into_iter()
            .chain(owner)
            .any(|name| tables.contains(name))
    };
    let indexes: Vec<&Difference> = gone(Kind::Index).filter(|d| !is_of(d)).collect();
    let others = differences
        .iter()
        .filter(|d| !is_of(d) && !indexes.contains(d))
        .collect();
    let missing = Missing {
        indexes: indexes.iter().map(|d| d.name.clone()).collect(),
        tables: tables.into_iter().map(str::to_owned).collect(),
    };
    (missing, others)
}

/// Of a file without a history: what all migrations would make, and is not there.
fn all_of(migrator: &Migrator, conn: &mut Conn<'_>) -> Result<Missing, String> {
    let mut built = || -> Result<_, Trouble> {
        let mut memory = Connection::open(&DatabaseUrl::SqliteMemory, Access::Create)?;
        migrator.run(memory.conn())?;
        let read = |conn: &mut Conn<'_>| {
            let read = Catalog::read(conn, &Scope::default());
            read.map_err(|e| db_core::Error::classify(Engine::Sqlite, &e))
        };
        let live = read(conn)?;
        Ok(read(&mut memory.conn())?.compare(&live, db_migrate::catalog::Mode::Strict))
    };
    built()
        .map(|differences| part(&differences).0)
        .map_err(|trouble| trouble.to_string())
}

/// Of a file that diesel_cli made: what its migrations build, and is not there.
fn rebuilt(migrator: &Migrator, conn: &mut Conn<'_>) -> Result<Result<Missing, String>, Trouble> {
    let validation = migrator.validate(conn.reborrow(), None)?;
    Ok(match validation.rebuild {
        Rebuild::Same => Ok(Missing::default()),
        Rebuild::Different { differences } => Ok(part(&differences).0),
        Rebuild::Skipped => Err("the schema was not built anew".to_owned()),
        Rebuild::Impossible { reason } => Err(reason),
    })
}

/// All tables that the migrations make are there.
pub(super) fn tables(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    gone(
        look,
        |missing| &missing.tables,
        ("table", "tables"),
        metrics::TABLES_MISSING,
    )
}

/// All indexes are there, but for those of tables that are not.
pub(super) fn indexes(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    gone(
        look,
        |missing| &missing.indexes,
        ("index", "indexes"),
        metrics::INDEXES_MISSING,
    )
}

fn gone(
    look: &mut Look<'_>,
    which: impl Fn(&Missing) -> &Vec<String>,
    (one, more): (&str, &str),
    metric: &'static str,
) -> Result<Verdict, Trouble> {
    let schema = look.schema()?;
    let schema = readable(&schema)?;
    Ok(match &schema.missing {
        Ok(missing) => {
            let names = which(missing);
            let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
            let verdict = if names.is_empty() {
                Verdict::ok(format!("all {more} are there"))
            } else {
                let missing = counted(count, one, more);
                let hint = if schema.status.initialized {
                    RESTORE
                } else {
                    "`bitcraps-db migrate` makes them"
                };
                Verdict::fail(format!("{missing} missing")).hint(hint)
            };
            verdict.names(names.clone()).measure(metric, gauge(count))
        }
        Err(reason) if !schema.status.initialized => {
            Verdict::fail(reason.clone()).hint("`bitcraps-db migrate` makes the schema")
        }
        Err(reason) => Verdict::unknown(reason.clone()),
    })
}

/// Files and history agree, and nothing is pending.
pub(super) fn migrations(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let schema = look.schema()?;
    let status = &readable(&schema)?.status;
    let half = status
        .pending
        .iter()
        .filter(|entry| matches!(entry.state, State::Incomplete | State::Reverting));
    let half: Vec<String> = half
        .map(|entry| format!("{}_{} stopped half way", entry.version, entry.name))
        .collect();
    let faults = status.problems.iter().filter(|p| !p.is_warning());
    let faults: Vec<String> = faults.map(Problem::to_string).chain(half).collect();
    let count = u64::try_from(status.pending.len()).unwrap_or(u64::MAX);
    let verdict = if !faults.is_empty() {
        let count = u64::try_from(faults.len()).unwrap_or(u64::MAX);
        let problems = counted(count, "problem", "problems");
        Verdict::fail(format!("files and history disagree: {problems}"))
            .names(faults)
            .hint("`bitcraps-db validate` says what differs, and what to do")
    } else if let Some(lost) = lost_table(&status.problems) {
        Verdict::warn(lost).hint("`bitcraps-db migrate` makes it again")
    } else if status.pending.is_empty() {
        let current = status.current_version.as_deref().unwrap_or("no version");
        Verdict::ok(format!("at {current}, nothing pending"))
    } else {
        let names = status.pending.iter();
        Verdict::warn(format!("{count} pending"))
            .names(names.map(|e| format!("{}_{}", e.version, e.name)).collect())
            .hint("`bitcraps-db migrate` applies them")
    };
    Ok(verdict.measure(metrics::MIGRATIONS_PENDING, gauge(count)))
}

fn lost_table(problems: &[Problem]) -> Option<String> {
    let lost = |problem: &&Problem| matches!(problem, Problem::LostTable { .. });
    problems.iter().find(lost).map(Problem::to_string)
}

/// Nothing was changed by hand, beside what is missing.
pub(super) fn drift(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let schema = look.schema()?;
    let schema = readable(&schema)?;
    let counted = |some: &[String], one, more| {
        counted(u64::try_from(some.len()).unwrap_or(u64::MAX), one, more)
    };
    let by_hand = counted(&schema.changed, "object was", "objects were");
    let left = counted(&schema.left, "object differs", "objects differ");
    Ok(
        if let (Drift::Unknown { .. }, true) = (&schema.status.drift, schema.status.initialized) {
            let reason = schema.missing.as_ref().err().cloned();
            Verdict::unknown(reason.unwrap_or_else(|| "no schema is stored".to_owned()))
        } else if schema.changed.is_empty() && schema.left.is_empty() {
            Verdict::ok("the schema is as the migrations left it")
        } else if schema.changed.is_empty() {
            Verdict::warn(format!("{left}: left by a copy that did not end"))
                .names(schema.left.clone())
                .hint(
                    "`bitcraps-db copy --undo` with the same --from and --to takes away what is the copy's",
                )
        } else {
            let observed = if schema.left.is_empty() {
                format!("{by_hand} changed by hand")
            } else {
                format!("{by_hand} changed by hand; {left} that a copy left which did not end")
            };
            Verdict::warn(observed)
                .names(schema.changed.clone())
                .hint("`bitcraps-db validate` shows it; undo it, or put it into a migration")
        },
    )
}

fn readable(schema: &Result<Schema, String>) -> Result<&Schema, Trouble> {
    schema
        .as_ref()
        .map_err(|reason| Trouble::Other(reason.clone()))
}
