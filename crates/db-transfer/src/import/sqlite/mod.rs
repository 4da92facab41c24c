//! Into SQLite: one transaction, one prepared statement per table.

mod cell;
mod orphans;

use db_core::Error as DbError;
use db_core::bulk::{CellRef, SqliteBulk, SqliteStatement};
use db_core::{ConstraintKind, ErrorKind};

use super::fault::Faults;
use super::rows::{Part, Rows};
use super::table::{Plan, Tables, is_refusal, mismatch, quote};
use super::{Job, OnConflict, Report, TableReport, database, file_error};
use crate::Error;
use crate::format::{Record, Value};
use cell::{Asks, Cell};

/// Keys of foreign keys are checked when everything is there. The cache is larger than usual, so that
/// indexes of many rows are not written to the file page by page; it is given back with the connection.
const BEGIN: &str = "PRAGMA cache_size = -65536; BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON";

/// What helps against a foreign key that SQLite cannot use.
const MISMATCH: &str = "a foreign key has to refer to a primary key or to columns that are unique: until the \
                        table that is named first is mended, SQLite takes no row for either; a script of SQL \
                        (--format sql) is taken, with keys that are not enforced";

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
    bulk.execute(BEGIN).map_err(begin)?;
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
    if job.faults.is_empty() {
        if job.import.dry_run {
            // What a COMMIT would say. Rows that referred to nothing before are not this file's.
            if bulk.owes_foreign_keys() {
                name_orphans(bulk, tables, &loaded, job)?;
            }
        } else if let Err(error) = bulk.execute("COMMIT") {
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
    job.look(None, 0)?;
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
        let more = load_table(bulk, &plan, &mut rows, job)?;
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
    plan: &Plan,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<bool, Error> {
    let name = &plan.table.name;
    let doing = |source| database(format!("importing into {name}"), source);
    let mut store = Store::new(bulk, plan, job.import.on_conflict)?;
    let asks: Vec<_> = plan.puts.iter().map(|put| Asks::of(&put.column)).collect();
    let check = job.import.validate;
    let mut told = TableReport {
        table: name.clone(),
        ..TableReport::default()
    };
    let mut record = Record::new();
    let mut spare: Vec<CellRef<'static>> = Vec::new();
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
        for (put, asks) in plan.puts.iter().zip(&asks) {
            let value = record.value(put.index);
            if put.required && value == Value::Null {
                sound = false;
                job.faults
                    .add_value(&record, put.index, &put.column.name, "cannot be NULL");
                continue;
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
            match store.row(&cells) {
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

/// What stores the rows of one table.
struct Store<'b> {
    insert: SqliteStatement<'b>,
    /// Changes a row that is there, where a new one would lack something.
    update: Option<SqliteStatement<'b>>,
}

impl<'b> Store<'b> {
    fn new(bulk: &'b SqliteBulk, plan: &Plan, policy: OnConflict) -> Result<Self, Error> {
        let prepare = |sql: &str| {
            bulk.prepare(sql).map_err(|error| {
                let error = if mismatch(&error) {
                    error.with_hint(MISMATCH)
                } else {
                    error
                };
                database(format!("importing into {}", plan.table.name), error)
            })
        };
        let places: Vec<_> = (1..=plan.puts.len()).map(|n| format!("?{n}")).collect();
        let conflict = plan.on_conflict(policy)?;
        let insert = format!(
            // ABORT, whatever the table's own constraints say to do on a conflict.
            "INSERT OR ABORT INTO {} ({}) VALUES ({}){conflict}",
            plan.sql_name,
            plan.columns(),
            places.join(", "),
        );
        Ok(Self {
            insert: prepare(&insert)?,
            update: if plan.changes_only {
                Some(prepare(&update(plan)?)?)
            } else {
                None
            },
        })
    }

    /// Stores a row; none if it was there and stays as it is.
    fn row(&mut self, cells: &[CellRef<'_>]) -> Result<u64, DbError> {
        if let Some(update) = &mut self.update {
            let changed = update.run(cells)?;
            if changed > 0 {
                return Ok(changed);
            }
        }
        // Of a row that is not there it says what it lacks.
        self.insert.run(cells)
    }
}

/// Changes a row that is there, with the values of a row that would not do for a new one.
fn update(plan: &Plan) -> Result<String, Error> {
    let key = plan.update_key()?;
    let set = plan.updated(key).into_iter();
    let set: Vec<_> = set
        .map(|(place, name)| format!("{name} = ?{}", place + 1))
        .collect();
    let puts = plan.puts.iter().zip(1..);
    let found: Vec<_> = puts
        .filter(|(put, _)| key.contains(&put.column.name))
        .map(|(put, place)| format!("{} = ?{place}", quote(&put.column.name)))
        .collect();
    Ok(format!(
        "UPDATE OR ABORT {} SET {} WHERE {}",
        plan.sql_name,
        set.join(", "),
        found.join(" AND ")
    ))
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
