//! Which rows of the files refer to rows that do not exist: SQLite only says that there are some.

use std::collections::HashSet;

use db_core::bulk::{CellRef, SqliteBulk};
use db_migrate::catalog::model::ForeignKey;

use super::cell::{self, Asks, Cell};
use super::{Loaded, Plan};
use crate::Error;
use crate::format::{Record, Value};
use crate::import::rows::Rows;
use crate::import::table::Tables;
use crate::import::{Job, Next, database, next_plan};

/// Values of a foreign key, as text.
type Key = Vec<String>;

/// Finds rows that were stored and refer to nothing, and where they stand in the files.
pub(super) fn find(
    bulk: &SqliteBulk,
    tables: &Tables,
    loaded: &[Loaded<'_>],
    job: &mut Job<'_>,
) -> Result<(), Error> {
    for Loaded { part, plan } in loaded {
        for key in &plan.table.foreign_keys {
            if job.faults.are_enough() {
                return Ok(());
            }
            let Some(sql) = plan.orphans(tables, key, job.import.most_faults.max(1)) else {
                continue;
            };
            let lost = read(bulk, &sql, key)
                .map_err(|source| database(format!("checking {}", plan.table.name), source))?;
            if lost.is_empty() {
                continue;
            }
            job.faults.of_file(&part.input.name());
            job.faults.of_table(&plan.table.name);
            if part.input.is_rereadable() && plan.of_key(key).is_some() {
                let mut rows = Rows::open(part, job.import.limits)?;
                loop {
                    match next_plan(tables, part, &mut rows, job)? {
                        Next::Plan(found) if found.table.name == plan.table.name => {
                            locate(&found, key, &lost, &mut rows, job)?;
                        }
                        Next::Plan(_) | Next::PassOver => {}
                        Next::End => break,
                    }
                }
            } else {
                for values in &lost {
                    job.faults.add(
                        None,
                        format!(
                            "{} = {}: {}",
                            key.columns.join(", "),
                            values.join(", "),
                            nobody(key)
                        ),
                    );
                }
            }
        }
    }
    Ok(())
}

fn nobody(key: &ForeignKey) -> String {
    format!("refers to no row of {}", key.references)
}

fn read(bulk: &SqliteBulk, sql: &str, key: &ForeignKey) -> Result<HashSet<Key>, db_core::Error> {
    let mut query = bulk.prepare(sql)?;
    let mut found = HashSet::new();
    while query.step()? {
        let mut values = Vec::with_capacity(key.columns.len());
        for index in 0..key.columns.len() {
            values.push(text(query.cell(index)?));
        }
        found.insert(values);
    }
    Ok(found)
}

/// Adds a fault for each row with one of these keys.
fn locate(
    plan: &Plan,
    key: &ForeignKey,
    lost: &HashSet<Key>,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<(), Error> {
    let Some(puts) = plan.of_key(key) else {
        return Ok(());
    };
    let mut record = Record::new();
    while !job.faults.are_enough() {
        match rows.read(&mut record) {
            Ok(true) => {}
            Ok(false) | Err(_) => break,
        }
        if job.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let values: Key = puts
            .iter()
            .map(|put| {
                let value = record.value(put.index);
                match cell::cell(Asks::of(&put.column), value, false) {
                    Ok(Cell::Ref(cell)) => text(cell),
                    Ok(Cell::Blob(bytes)) => text(CellRef::Blob(&bytes)),
                    Err(_) => String::new(),
                }
            })
            .collect();
        let absent = puts
            .iter()
            .any(|put| record.value(put.index) == Value::Null);
        if !absent && lost.contains(&values) {
            let put = puts[0];
            job.faults
                .add_value(&record, put.index, &put.column.name, nobody(key));
        }
    }
    Ok(())
}

fn text(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Null => "NULL".to_owned(),
        CellRef::Integer(value) => value.to_string(),
        CellRef::Real(value) => value.to_string(),
        CellRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        CellRef::Blob(bytes) => format!("{bytes:02x?}"),
    }
}
