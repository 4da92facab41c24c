//! Into PostgreSQL: one transaction, COPY for each table.
//!
//! The first attempt is the fast one. If the server refuses rows, a file is read again in small
//! batches, each under a savepoint, so that every row that is refused is found; foreign keys are put
//! off to the end meanwhile. If that attempt finds nothing wrong, because only the order of the tables
//! was, it is the import.

mod careful;
mod prepare;
mod text;

use db_core::bulk::{CopyIn, PostgresBulk};

use super::fault::Faults;
use super::rows::{Part, Rows};
use super::table::{Plan, Tables, is_refusal};
use super::{Job, Next, Report, TableReport, database, file_error, next_plan, note};
use crate::Error;
use crate::format::{Record, Value};
pub(super) use prepare::literal;
use prepare::{Prepared, Staging};
use text::Asks;

/// What values mean does not depend on the session; how long it takes is not the session's business.
const BEGIN: &str = "BEGIN; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL TimeZone = 'UTC'; \
                     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0";

/// How rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each table by one COPY.
    Fast,
    /// The same, with foreign keys put off, because there is no second attempt.
    Once,
    /// In batches, with foreign keys put off.
    Careful,
}

pub(super) fn load(
    bulk: &mut PostgresBulk,
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
) -> Result<Report, Error> {
    let again = parts.iter().all(|part| part.input.is_rereadable());
    let first = if again { Way::Fast } else { Way::Once };
    if let Some(report) = attempt(bulk, tables, parts, job, first)? {
        return Ok(report);
    }
    if again && !job.faults.are_enough() {
        job.begin_again();
        if let Some(report) = attempt(bulk, tables, parts, job, Way::Careful)? {
            return Ok(report);
        }
    }
    Err(Error::BadInput {
        faults: job.begin_again().into_found(),
    })
}

/// One attempt; nothing if there are faults.
fn attempt(
    bulk: &mut PostgresBulk,
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
    way: Way,
) -> Result<Option<Report>, Error> {
    let doing = |source| database("beginning the import", source);
    bulk.execute(BEGIN).map_err(doing)?;
    let done = in_transaction(bulk, tables, parts, job, way);
    if !matches!(done, Ok(Some(_))) || job.import.dry_run {
        let undone = bulk.execute("ROLLBACK");
        if let (Ok(_), Err(source)) = (&done, undone) {
            return Err(database("undoing the import", source));
        }
    }
    done
}

fn in_transaction(
    bulk: &mut PostgresBulk,
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
    way: Way,
) -> Result<Option<Report>, Error> {
    let mut prepared = Prepared::new(way != Way::Fast);
    let mut loaded = Vec::new();
    for part in parts {
        let mut rows = Rows::open(part, job.import.limits)?;
        job.faults.of_file(rows.name());
        loop {
            let plan = match next_plan(tables, part, &mut rows, job)? {
                Next::Plan(plan) => *plan,
                Next::PassOver => continue,
                Next::End => break,
            };
            note(&plan, job.import.on_conflict, &mut job.report);
            // After the first fault nothing is stored; the rest is only looked at.
            let staging = if job.faults.is_empty() || way == Way::Careful {
                prepared.table(bulk, &plan, job.import)?
            } else {
                Staging::nowhere()
            };
            let (more, told) = if way == Way::Careful {
                careful::load(bulk, &staging, &plan, &mut rows, job)?
            } else {
                fast(bulk, &staging, &plan, &mut rows, job)?
            };
            job.report.tables.push(told);
            loaded.push((part.clone(), plan));
            if !more || job.faults.are_enough() {
                break;
            }
        }
        job.done.bytes += rows.bytes();
        if job.faults.are_enough() {
            break;
        }
    }
    if job.faults.is_empty() {
        job.check_map();
    }
    if job.faults.is_empty() {
        prepared.finish(bulk, tables, &loaded, job)?;
    }
    if !job.faults.is_empty() {
        return Ok(None);
    }
    if !job.import.dry_run {
        bulk.execute("COMMIT")
            .map_err(|source| database("committing the import", source))?;
    }
    job.report.bytes = job.done.bytes;
    job.look(None, 0)?;
    Ok(Some(std::mem::take(&mut job.report)))
}

/// Sends the rows of a table in one COPY.
fn fast(
    bulk: &mut PostgresBulk,
    staging: &Staging,
    plan: &Plan,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<(bool, TableReport), Error> {
    let name = &plan.table.name;
    let doing = |source| database(format!("importing into {name}"), source);
    let lines = Lines::new(plan, job.import.validate);
    let mut told = TableReport {
        table: name.clone(),
        ..TableReport::default()
    };
    let (mut record, mut line) = (Record::new(), Vec::new());
    let (mut readable, mut sent) = (true, 0);
    let mut copy = match &staging.copy {
        Some(sql) => Some(bulk.copy_in(sql).map_err(doing)?),
        None => None,
    };
    while !job.faults.are_enough() {
        match rows.read(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                copy = None;
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
        line.clear();
        if !lines.write(&record, &mut line, &mut job.faults) {
            // Dropped, it ends the COPY without a row.
            copy = None;
        } else if let Some(copy) = &mut copy {
            copy.send(&line).map_err(doing)?;
            sent += 1;
        }
    }
    let stored = match copy.map(CopyIn::finish) {
        None => return Ok((readable, told)),
        Some(Ok(_)) => staging.store(bulk, sent),
        Some(Err(error)) => Err(error),
    };
    match stored {
        Ok((written, skipped)) => (told.written, told.skipped) = (written, skipped),
        Err(error) if is_refusal(&error) => {
            job.faults.add(None, in_full(&error));
            return Ok((false, told));
        }
        Err(error) => return Err(doing(error)),
    }
    Ok((readable, told))
}

/// What the server says, and of which row.
fn in_full(error: &db_core::Error) -> String {
    match error.context() {
        Some(context) => format!("{} ({context})", error.told()),
        None => error.told(),
    }
}

/// Writes rows as COPY reads them.
struct Lines<'p> {
    plan: &'p Plan,
    asks: Vec<Asks>,
    check: bool,
}

impl<'p> Lines<'p> {
    fn new(plan: &'p Plan, check: bool) -> Self {
        Self {
            plan,
            asks: plan.puts.iter().map(|put| Asks::of(&put.column)).collect(),
            check,
        }
    }

    /// Adds a row; false if it has faults.
    fn write(&self, record: &Record, line: &mut Vec<u8>, faults: &mut Faults) -> bool {
        let mut sound = true;
        for (put, asks) in self.plan.puts.iter().zip(&self.asks) {
            let value = record.value(put.index);
            if put.required && value == Value::Null {
                sound = false;
                faults.add_value(record, put.index, &put.column.name, "cannot be NULL");
            } else if let Err(problem) = text::write(*asks, value, self.check, line) {
                sound = false;
                let at = (record, put.index);
                let checked = self.check && !text::is_hopeless(&problem);
                faults.add_mistyped(at, &put.column.name, problem, checked);
            }
            line.push(b'\t');
        }
        line.pop();
        line.push(b'\n');
        sound
    }
}
