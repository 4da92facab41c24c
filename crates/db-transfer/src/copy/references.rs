//! References of a SQLite database that lead to no row.

use std::collections::BTreeMap;

use db_core::Engine;
use db_core::bulk::{CellRef, SqliteBulk};

use super::error::{CopyError, Doing as _, Misfit, is_refusal};
use super::names::{literal, quoted, reference};
use super::plan::TablePlan;
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Snapshot};
use super::trial::plain;
use super::{Copy, Misfits};

/// What is wrong with the references of one table.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// The table.
    pub(super) table: String,
    /// The first rows that refer to what is not there, and the tables where it would be.
    pub(super) first: Vec<(String, String)>,
    /// How many rows there are for each foreign key.
    keys: BTreeMap<String, u64>,
    /// A foreign key that cannot be followed at all, as the engine says it.
    pub(super) unusable: Option<String>,
}

/// Looks at each table by itself: a foreign key that refers to what is no key makes the engine give up.
/// So many rows are named of each, however many there are.
///
/// # Errors
/// What reading says.
pub(super) fn broken(
    bulk: &mut Bulk,
    tables: &[String],
    most: usize,
) -> Result<Vec<Broken>, CopyError> {
    let Bulk::Sqlite(bulk) = bulk else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for table in tables {
        let mut found = Broken {
            table: table.clone(),
            ..Broken::default()
        };
        match look(bulk, most, &mut found) {
            Err(error) if is_refusal(&error) => {
                found.unusable = Some(error.message().to_owned());
            }
            done => done.doing(|| "checking foreign keys".to_owned())?,
        }
        if !found.keys.is_empty() || found.unusable.is_some() {
            all.push(found);
        }
    }
    Ok(all)
}

fn look(bulk: &SqliteBulk, most: usize, found: &mut Broken) -> Result<(), db_core::Error> {
    let columns = columns_of_keys(bulk, &found.table)?;
    let sql = format!("PRAGMA foreign_key_check({})", quoted(&found.table));
    let mut rows = bulk.prepare(&sql)?;
    while rows.step()? {
        // Rows of a table without row numbers have none.
        let row = match rows.cell(1)? {
            CellRef::Null => "?".to_owned(),
            number => plain(number),
        };
        let parent = plain(rows.cell(2)?);
        let of_key = columns.get(&plain(rows.cell(3)?));
        let of_key = of_key.map(|of_key| of_key.join(", "));
        let key = reference(&found.table, &of_key.unwrap_or_default(), &parent);
        *found.keys.entry(key).or_default() += 1;
        if found.first.len() < most {
            found.first.push((row, parent));
        }
    }
    Ok(())
}

/// The columns of each foreign key of a table, by the number that SQLite gives it.
fn columns_of_keys(
    bulk: &SqliteBulk,
    table: &str,
) -> Result<BTreeMap<String, Vec<String>>, db_core::Error> {
    let mut rows = bulk.prepare(&format!(
        "SELECT id, \"from\" FROM pragma_foreign_key_list({}, 'main') ORDER BY id, seq",
        literal(table)
    ))?;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while rows.step()? {
        let columns = keys.entry(plain(rows.cell(0)?)).or_default();
        columns.push(plain(rows.cell(1)?));
    }
    Ok(keys)
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
        keys,
        unusable,
        ..
    } in broken
    {
        if let Some(why) = unusable {
            all.push(NotTranslated::new("reference", &table, why));
        }
        for (name, rows) in keys {
            let reason = format!("{rows} rows refer to what is not there");
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
        let found = broken(&mut snapshot.readers[0], &tables, self.most_misfits)?;
        if self.schema.is_none() {
            report.not_translated.extend(listed(found));
            return Ok(());
        }
        let Misfits { count, first } = &mut report.misfits;
        for table in found {
            *count += table.keys.values().sum::<u64>() + u64::from(table.unusable.is_some());
            let unusable = table.unusable.map(|why| ("-".to_owned(), why));
            let rows = table.first.into_iter().map(|(row, parent)| {
                let reason = format!("the row {row} refers to {parent}, which is not there");
                (row, reason)
            });
            let named = unusable
                .into_iter()
                .chain(rows)
                .map(|(key, reason)| Misfit {
                    table: table.table.clone(),
                    key,
                    column: None,
                    value: String::new(),
                    reason,
                });
            first.extend(named);
            first.truncate(self.most_misfits);
        }
        Ok(())
    }
}
