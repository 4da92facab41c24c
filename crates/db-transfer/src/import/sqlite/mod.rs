//! Into SQLite: one transaction, one prepared statement per table.

mod cell;
mod orphans;
mod store;

use db_core::Error as DbError;
use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{ConstraintKind, ErrorKind};

use super::fault::Faults;
use super::plan::Plan;
use super::refusal::{is_refusal, mismatch, of_every_row};
use super::rows::{Part, Rows};
use super::table::Tables;
use super::{Job, OnConflict, Report, TableReport, database, file_error};
use crate::Error;
use crate::format::{Record, Value};
use crate::waiting::{self, Stores};
use cell::{Asks, Cell};
use store::{Store, Texts};

/// Keys of foreign keys are checked when everything is there. The cache is larger than usual, so that
/// indexes of many rows are not written to the file page by page; it is given back with the connection.
const BEGIN: &str = "PRAGMA cache_size = -65536; BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON";

/// A table of which rows were stored, and where they came from.
struct Loaded<'p> {
    part: &'p Part,
    plan: Plan,
}

pub(super) fn load(
    bulk: &mut SqliteBulk,
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
) -> Result<Report, Error> {
    let begin = |source| database("beginning the import", source);
    bulk.triggers(job.import.fire_triggers).map_err(begin)?;
    waiting::begin(bulk, BEGIN, &job.import.on_wait).map_err(begin)?;
    let done = in_transaction(bulk, tables, parts, job);
    if bulk.in_transaction() {
        // Closing the connection would do it too; what was wrong first is what is told.
        if let Err(error) = bulk.execute("ROLLBACK") {
            tracing::warn!(%error, "the import is undone when the connection closes");
        }
    }
    done
}

/// Everything up to the COMMIT, which a dry run leaves out.
fn in_transaction(
    bulk: &mut SqliteBulk,
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
) -> Result<Report, Error> {
    let mut loaded = Vec::new();
    for part in parts {
        load_part(bulk, tables, part, &mut loaded, job)?;
        if job.faults.are_enough() {
            break;
        }
    }
    if job.faults.is_empty() {
        job.check_map();
    }
    // What is left to do counts no rows.
    job.look(None, 0)?;
    if job.faults.is_empty() {
        if job.import.dry_run {
            // What a COMMIT would say. Rows that referred to nothing before are not this file's.
            if bulk.owes_foreign_keys() {
                name_orphans(bulk, tables, &loaded, job)?;
            }
        } else if let Err(error) = waiting::commit(bulk, &job.import.on_wait) {
            let foreign = error
                .violation()
                .is_some_and(|v| v.kind() == ConstraintKind::ForeignKey);
            if !foreign {
                return Err(database("committing the import", error));
            }
            name_orphans(bulk, tables, &loaded, job)?;
        }
    }
    if !job.faults.is_empty() {
        return Err(Error::BadInput {
            faults: job.begin_again().into_found(),
        });
    }
    job.report.bytes = job.done.bytes;
    Ok(std::mem::take(&mut job.report))
}

/// Says which rows refer to nothing, or at least that some do.
fn name_orphans(
    bulk: &SqliteBulk,
    tables: &Tables,
    loaded: &[Loaded<'_>],
    job: &mut Job<'_>,
) -> Result<(), Error> {
    orphans::find(bulk, tables, loaded, job)?;
    if job.faults.is_empty() {
        job.faults
            .add(None, "a row refers to one that does not exist");
    }
    Ok(())
}

/// Stores the rows of one file.
fn load_part<'p>(
    bulk: &SqliteBulk,
    tables: &Tables,
    part: &'p Part,
    loaded: &mut Vec<Loaded<'p>>,
    job: &mut Job<'_>,
) -> Result<(), Error> {
    let mut rows = Rows::open(part, job.import.limits)?;
    job.faults.of_file(rows.name());
    loop {
        let plan = match super::next_plan(tables, part, &mut rows, job)? {
            super::Next::Plan(plan) => *plan,
            super::Next::PassOver => continue,
            super::Next::End => break,
        };
        super::note(&plan, job.import.on_conflict, &mut job.report);
        let more = load_table(bulk, tables, &plan, &mut rows, job)?;
        loaded.push(Loaded { part, plan });
        if !more || job.faults.are_enough() {
            break;
        }
    }
    job.done.bytes += rows.bytes();
    Ok(())
}

/// Stores the rows of one table; false if the file cannot be read on.
fn load_table(
    bulk: &SqliteBulk,
    tables: &Tables,
    plan: &Plan,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<bool, Error> {
    let name = &plan.table.name;
    let doing = |source| database(format!("importing into {name}"), source);
    let texts = Texts::of(plan, job.import.on_conflict)?;
    let mut store = match Store::new(bulk, plan, &texts) {
        Ok(store) => store,
        Err(error) if is_refusal(&error) || mismatch(&error) => {
            job.faults.add(None, of_every_row(&error, plan, tables));
            return Ok(true);
        }
        Err(error) => return Err(doing(error)),
    };
    let mut stores = Stores::watch(bulk, &job.import.on_wait).map_err(doing)?;
    let asks: Vec<_> = plan.puts.iter().map(|put| Asks::of(&put.column)).collect();
    let check = job.import.validate;
    let mut told = TableReport {
        table: name.clone(),
        ..TableReport::default()
    };
    let mut record = Record::new();
    let mut spare: Vec<CellRef<'static>> = Vec::new();
    // Columns of which a row does not speak.
    let mut left = Vec::new();
    let mut readable = true;
    while !job.faults.are_enough() {
        match rows.read(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                readable = job
                    .faults
                    .add_read(error)
                    .map_err(file_error(rows.name().to_owned()))?;
                if !readable {
                    break;
                }
                continue;
            }
        }
        job.row(name, rows.bytes())?;
        let mut cells = emptied(std::mem::take(&mut spare));
        let mut blobs: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut sound = true;
        left.clear();
        for (at, (put, asks)) in plan.puts.iter().zip(&asks).enumerate() {
            let value = record.value(put.index);
            if value == Value::Null {
                if put.is_left_to_default(&record) {
                    left.push(at);
                    continue;
                }
                if put.required {
                    sound = false;
                    job.faults.add_null(&record, put.index, &put.column.name);
                    continue;
                }
            }
            match cell::cell(*asks, value, check) {
                Ok(Cell::Ref(cell)) => cells.push(cell),
                Ok(Cell::Blob(bytes)) => {
                    blobs.push((cells.len(), bytes));
                    cells.push(CellRef::Null);
                }
                Err(problem) => {
                    sound = false;
                    let at = (&record, put.index);
                    job.faults
                        .add_mistyped(at, &put.column.name, problem, check);
                }
            }
        }
        if sound {
            for (index, bytes) in &blobs {
                cells[*index] = CellRef::Blob(bytes);
            }
            match stores.row(|| store.row(&cells, &left)) {
                Ok(0) => told.skipped += 1,
                Ok(_) => told.written += 1,
                Err(error) if is_refusal(&error) => {
                    add_refusal(
                        (plan, job.import.on_conflict),
                        &record,
                        &error,
                        &mut job.faults,
                    );
                    if !bulk.in_transaction() {
                        // What follows would be stored for good.
                        readable = false;
                        break;
                    }
                }
                Err(error) => return Err(doing(error)),
            }
        }
        spare = emptied(cells);
    }
    job.report.tables.push(told);
    Ok(readable)
}

/// The same memory, for cells that live elsewhere.
fn emptied<'a>(mut cells: Vec<CellRef<'_>>) -> Vec<CellRef<'a>> {
    cells.clear();
    cells.into_iter().map(|_| CellRef::Null).collect()
}

/// A row that SQLite refuses.
fn add_refusal(
    (plan, policy): (&Plan, OnConflict),
    record: &Record,
    error: &DbError,
    faults: &mut Faults,
) {
    let violation = error.violation();
    let help = plan.help(policy, violation.map(db_core::Violation::kind));
    let problem = format!("{}{help}", error.told());
    let column = violation.and_then(|v| v.columns().first());
    let put = column.and_then(|c| plan.puts.iter().find(|put| put.column.name == *c));
    match put {
        Some(put) if error.kind() == ErrorKind::Constraint => {
            faults.add_value(record, put.index, &put.column.name, problem);
        }
        _ => faults.add(Some(record.place(0)), problem),
    }
}
