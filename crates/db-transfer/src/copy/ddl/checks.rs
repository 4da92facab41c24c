//! The checks of PostgreSQL's tables in the words of SQLite.

use db_core::bulk::SqliteBulk;
use db_core::{Access, DatabaseUrl, Interrupt};
use db_migrate::catalog::model::{Column, Model};

use super::super::error::{CopyError, Doing as _};
use super::super::names::quoted;
use super::super::plan::{CheckPlan, ColumnPlan, TablePlan};
use super::super::report::NotTranslated;
use super::expression;

/// Gives each plan the checks that its table will have: those of the source, and the length of a
/// `varchar(n)`, which SQLite takes no notice of. Returns those that SQLite does not understand.
///
/// # Errors
/// If no database in memory can be had in which expressions are tried.
pub(in super::super) fn checks_in_sqlite(
    source: &Model,
    plans: &mut [TablePlan],
) -> Result<Vec<NotTranslated>, CopyError> {
    let mut trial = SqliteBulk::open(
        &DatabaseUrl::SqliteMemory,
        Access::Create,
        None,
        &Interrupt::default(),
    )
    .doing(|| "opening a database in memory".to_owned())?;
    let mut left = Vec::new();
    for plan in plans {
        let Some(table) = super::sqlite::find(source, plan) else {
            continue;
        };
        let columns: Vec<String> = plan.columns.iter().map(ColumnPlan::declaration).collect();
        let columns = columns.join(", ");
        for check in &table.checks {
            let text = expression::for_sqlite(&check.expression);
            let name = check.name.as_deref().unwrap_or(&check.expression);
            let shown = format!("{}.{name}", plan.source.shown());
            let target = plan.target.sql();
            match trial.execute(&format!(
                "CREATE TABLE {target} ({columns}, CHECK ({text}))"
            )) {
                Ok(()) => plan.checks.push(CheckPlan {
                    shown,
                    name: check.name.clone(),
                    text,
                    is_open: true,
                }),
                Err(error) => left.push(NotTranslated::new("check", shown, error.message())),
            }
            // The next try wants the same name; where the last one failed there is nothing to drop.
            if let Err(error) = trial.execute(&format!("DROP TABLE IF EXISTS {target}")) {
                tracing::debug!(%error, "a trial stays");
            }
        }
        for column in &table.columns {
            if let Some(text) = length_check(column) {
                plan.checks.push(CheckPlan {
                    shown: format!("{}.{}", plan.source.shown(), column.name),
                    name: None,
                    text,
                    is_open: false,
                });
            }
        }
    }
    Ok(left)
}

/// What keeps the texts of a `varchar(n)` or `char(n)` as short in SQLite.
pub(in super::super) fn length_check(column: &Column) -> Option<String> {
    let declared = &column.declared_type;
    let most = ["character varying(", "character("]
        .iter()
        .find_map(|name| declared.strip_prefix(name))?;
    let most: u32 = most.strip_suffix(')')?.parse().ok()?;
    Some(format!("length({}) <= {most}", quoted(&column.name)))
}
