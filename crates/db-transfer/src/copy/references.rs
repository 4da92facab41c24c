//! References of a SQLite database that lead to no row.

use db_core::Engine;

use super::error::{CopyError, Doing as _, Misfit, is_refusal};
use super::names::quoted;
use super::plan::TablePlan;
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Snapshot};
use super::{Copy, Misfits};

/// What is wrong with the references of one table.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// The table.
    pub(super) table: String,
    /// The rows that refer to what is not there, and the tables where it would be.
    pub(super) rows: Vec<(String, String)>,
    /// A foreign key that cannot be followed at all, as the engine says it.
    pub(super) unusable: Option<String>,
}

/// Looks at each table by itself: a foreign key that refers to what is no key makes the engine give up.
///
/// # Errors
/// What reading says.
pub(super) fn broken(bulk: &mut Bulk, tables: &[String]) -> Result<Vec<Broken>, CopyError> {
    let mut all = Vec::new();
    for table in tables {
        let mut found = Broken {
            table: table.clone(),
            ..Broken::default()
        };
        match bulk.rows(&format!("PRAGMA foreign_key_check({})", quoted(table))) {
            Ok(rows) => {
                found.rows.extend(rows.into_iter().map(|row| {
                    let mut row = row.into_iter().skip(1);
                    let mut next = || row.next().flatten().unwrap_or_else(|| "?".to_owned());
                    (next(), next())
                }));
            }
            Err(error) if is_refusal(&error) => {
                found.unusable = Some(error.message().to_owned());
            }
            Err(error) => return Err(error).doing(|| "checking foreign keys".to_owned()),
        }
        if !found.rows.is_empty() || found.unusable.is_some() {
            all.push(found);
        }
    }
    Ok(all)
}

/// All tables of a SQLite database.
pub(super) fn tables(bulk: &mut Bulk) -> Result<Vec<String>, CopyError> {
    let rows = bulk
        .rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .doing(|| "checking foreign keys".to_owned())?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// The same for a report, where rows go along as they are.
pub(super) fn listed(broken: Vec<Broken>) -> Vec<NotTranslated> {
    let mut all = Vec::new();
    for Broken {
        table,
        rows,
        unusable,
    } in broken
    {
        if let Some(why) = unusable {
            all.push(NotTranslated::new("reference", &table, why));
        }
        let mut parents: Vec<&str> = rows.iter().map(|(_, parent)| parent.as_str()).collect();
        parents.sort_unstable();
        for same in parents.chunk_by(|a, b| a == b) {
            let reason = format!("{} rows refer to what is not there", same.len());
            let name = format!("{table} -> {}", same[0]);
            all.push(NotTranslated::new("reference", name, reason));
        }
    }
    all
}

impl Copy<'_> {
    /// Tells a dry run what a run would find at its end.
    pub(super) fn foresee_references(
        &self,
        snapshot: &mut Snapshot,
        plans: &[TablePlan],
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        if self.from.engine() != Engine::Sqlite {
            return Ok(());
        }
        let tables: Vec<String> = plans.iter().map(|plan| plan.source.table.clone()).collect();
        let found = broken(&mut snapshot.readers[0], &tables)?;
        if self.schema.is_none() {
            report.not_translated.extend(listed(found));
            return Ok(());
        }
        let Misfits { count, first } = &mut report.misfits;
        for table in found {
            let unusable = table.unusable.map(|why| ("-".to_owned(), why));
            let rows = table.rows.into_iter().map(|(row, parent)| {
                let reason = format!("the row {row} refers to {parent}, which is not there");
                (row, reason)
            });
            for (key, reason) in unusable.into_iter().chain(rows) {
                *count += 1;
                if first.len() < self.most_misfits {
                    first.push(Misfit {
                        table: table.table.clone(),
                        key,
                        column: None,
                        value: String::new(),
                        reason,
                    });
                }
            }
        }
        Ok(())
    }
}
