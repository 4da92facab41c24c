//! Rows of a SQLite source that do not hold the checks of their own tables.
//!
//! They came while checks were switched off. SQLite says itself which they are; what PostgreSQL makes of
//! the same words is known when it has the rows.

use db_core::Engine;
use db_core::bulk::{CellRef, SqliteBulk};

use super::error::{CopyError, Doing as _, Misfits, is_refusal};
use super::names::list;
use super::plan::TablePlan;
use super::preflight::row_number;
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Snapshot};
use super::trial::{Broken, plain};
use super::{Copy, stage};

impl Copy<'_> {
    /// Says which checks rows do not hold: into PostgreSQL they will be left out, another file of SQLite
    /// gets them with the rows, and where migrations make them the rows have no place.
    pub(super) fn try_own_checks(
        &self,
        snapshot: &Snapshot,
        plans: &[TablePlan],
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let Some(Bulk::Sqlite(reader)) = snapshot.readers.first() else {
            return Ok(());
        };
        for plan in plans {
            self.go_on()?;
            let checks: Vec<usize> = (0..plan.checks.len()).collect();
            for one in broken(reader, plan, &checks)? {
                self.say_broken(plan, &one, report);
            }
        }
        Ok(())
    }

    fn say_broken(&self, plan: &TablePlan, broken: &Broken, report: &mut CopyReport) {
        if self.schema.is_some() {
            let Misfits { count, first } = &mut report.misfits;
            *count += 1;
            if first.len() < self.most_misfits {
                first.push(stage::misfit(plan, broken));
            }
            return;
        }
        let shown = plan.checks[broken.check].shown.as_str();
        let mut left = report.not_translated.iter();
        if left.any(|left| left.kind == "check" && left.name == shown) {
            return;
        }
        let reason = match self.to.engine() {
            Engine::Postgres => broken.reason(),
            Engine::Sqlite => format!("{}, and it goes along as it is", broken.reason()),
        };
        let left = NotTranslated::new("check", shown, reason);
        report.not_translated.push(left);
    }
}

/// Which of these checks rows do not hold. One that cannot be asked says nothing of the others.
fn broken(
    reader: &SqliteBulk,
    plan: &TablePlan,
    checks: &[usize],
) -> Result<Vec<Broken>, CopyError> {
    match ask(reader, plan, checks) {
        Err(error) if is_refusal(&error) && checks.len() > 1 => {
            let each = checks.chunks(1).map(|check| broken(reader, plan, check));
            Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Err(error) if is_refusal(&error) => {
            tracing::debug!(%error, table = plan.source.shown(), "a check is not tried");
            Ok(Vec::new())
        }
        done => done.doing(|| format!("trying the checks of {}", plan.source.shown())),
    }
}

/// Reads a table once for all checks.
fn ask(
    reader: &SqliteBulk,
    plan: &TablePlan,
    checks: &[usize],
) -> Result<Vec<Broken>, db_core::Error> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let is_broken = |at: &usize| format!("({}) IS FALSE", plan.checks[*at].text);
    let are_broken: Vec<String> = checks.iter().map(is_broken).collect();
    let names = plan.key.iter().map(|at| &plan.columns[*at].source);
    let key = match row_number(plan) {
        _ if !plan.key.is_empty() => list(names),
        Some(number) => format!("'rowid ' || {number}"),
        None => "'?'".to_owned(),
    };
    let mut rows = reader.prepare(&format!(
        "SELECT {}, {key} FROM {} WHERE {}",
        are_broken.join(", "),
        plan.source.sql(),
        are_broken.join(" OR ")
    ))?;
    let mut found: Vec<Broken> = checks.iter().map(|at| Broken::of(*at)).collect();
    while rows.step()? {
        for (at, one) in found.iter_mut().enumerate() {
            if rows.cell(at)? != CellRef::Integer(1) {
                continue;
            }
            if one.rows == 0 {
                let keys = checks.len()..rows.column_count();
                let keys: Result<Vec<_>, _> = keys.map(|at| rows.cell(at).map(plain)).collect();
                one.first = keys?.join(", ");
            }
            one.rows += 1;
        }
    }
    found.retain(|one| one.rows > 0);
    Ok(found)
}
