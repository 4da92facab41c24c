//! Finds each row that the server refuses: small batches, each under a savepoint.

use db_core::Error as DbError;
use db_core::bulk::PostgresBulk;

use super::defaults::Defaults;
use super::in_full;
use super::line::{Line, Lines};
use super::prepare::Staging;
use crate::Error;
use crate::format::Record;
use crate::import::fault::Faults;
use crate::import::plan::Plan;
use crate::import::refusal::is_refusal;
use crate::import::rows::Rows;
use crate::import::{Job, OnConflict, TableReport, database, file_error};

/// Rows and bytes of a batch: so many that a savepoint costs little, so few that a row is found soon.
const ROWS: usize = 512;
const BYTES: usize = 4 << 20;

/// Rows that wait to be sent.
#[derive(Default)]
struct Batch {
    rows: Vec<(Record, Line)>,
    bytes: usize,
    defaults: Defaults,
    /// What became of the rows before.
    told: TableReport,
}

/// As [`fast`](super::fast), but every row that is refused becomes a fault.
pub(super) fn load(
    bulk: &mut PostgresBulk,
    staging: &Staging,
    plan: &Plan,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<(bool, TableReport), Error> {
    let lines = Lines::new(plan, job.import.validate);
    let mut batch = Batch::default();
    batch.told.table.clone_from(&plan.table.name);
    let mut readable = true;
    let how = (plan, job.import.on_conflict);
    while !job.faults.are_enough() {
        let mut record = Record::new();
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
        job.row(&plan.table.name, rows.bytes())?;
        let mut line = Line::default();
        if lines.write(&record, &mut line, &mut job.faults) {
            batch.bytes += line.text.len();
            batch.rows.push((record, line));
        }
        if batch.rows.len() >= ROWS || batch.bytes >= BYTES {
            flush(bulk, staging, how, &mut batch, &mut job.faults)?;
        }
    }
    if !job.faults.are_enough() {
        flush(bulk, staging, how, &mut batch, &mut job.faults)?;
    }
    Ok((readable, batch.told))
}

/// Stores a batch without the rows that are refused, each of which becomes a fault.
fn flush(
    bulk: &mut PostgresBulk,
    staging: &Staging,
    (plan, policy): (&Plan, OnConflict),
    batch: &mut Batch,
    faults: &mut Faults,
) -> Result<(), Error> {
    let mut rows = std::mem::take(&mut batch.rows);
    batch.bytes = 0;
    let failed = |source| database(format!("importing into {}", plan.table.name), source);
    if rows.iter().any(|(_, line)| !line.gaps.is_empty()) {
        let lines = rows.iter_mut().map(|(_, line)| line);
        let filled = under_savepoint(bulk, |bulk| batch.defaults.fill(bulk, plan, lines));
        match filled.map_err(failed)? {
            Err(error) if is_refusal(&error) => {
                faults.add(
                    rows.first().map(|(record, _)| record.place(0)),
                    in_full(&error),
                );
                return Ok(());
            }
            done => done.map_err(failed)?,
        }
    }
    // Parts of the batch that are still to be stored, the first one last.
    let mut parts = vec![rows];
    while let Some(mut rows) = parts.pop() {
        if rows.is_empty() || faults.are_enough() {
            continue;
        }
        let error = match store(bulk, staging, &rows).map_err(failed)? {
            Ok((written, skipped)) => {
                batch.told.written += written;
                batch.told.skipped += skipped;
                continue;
            }
            Err(error) if is_refusal(&error) => error,
            Err(error) => return Err(failed(error)),
        };
        let (line, column) = place(&error);
        let wrong = match line.and_then(|line| line.checked_sub(1)) {
            Some(index) if index < rows.len() => Some(index),
            _ if rows.len() == 1 => Some(0),
            _ => None,
        };
        let rest = match wrong {
            Some(index) => {
                let place = (&rows[index].0, column.as_deref());
                add((plan, policy), place, &error, faults);
                let rest = rows.split_off(index + 1);
                rows.pop();
                rest
            }
            None => rows.split_off(rows.len() / 2),
        };
        parts.push(rest);
        parts.push(rows);
    }
    Ok(())
}

/// The outer error is one that the import cannot go on after.
fn store(
    bulk: &mut PostgresBulk,
    staging: &Staging,
    rows: &[(Record, Line)],
) -> Result<Result<(u64, u64), DbError>, DbError> {
    let Some(copy) = &staging.copy else {
        return Ok(Ok((0, 0)));
    };
    under_savepoint(bulk, |bulk| {
        let mut stream = bulk.copy_in(copy)?;
        for (_, line) in rows {
            stream.send(&line.text)?;
        }
        stream.finish()?;
        staging.store(bulk, rows.len() as u64)
    })
}

/// Does something that the server may refuse, and takes it back if it does.
fn under_savepoint<T>(
    bulk: &mut PostgresBulk,
    what: impl FnOnce(&mut PostgresBulk) -> Result<T, DbError>,
) -> Result<Result<T, DbError>, DbError> {
    bulk.execute("SAVEPOINT import_batch")?;
    let done = what(bulk);
    if done.is_err() {
        bulk.execute("ROLLBACK TO SAVEPOINT import_batch")?;
    }
    bulk.execute("RELEASE SAVEPOINT import_batch")?;
    Ok(done)
}

/// The line and the column that the server tells: `COPY t, line 3, column a: "x"`.
fn place(error: &DbError) -> (Option<usize>, Option<String>) {
    let Some(context) = error.context() else {
        return (None, None);
    };
    // Names may hold anything, so the last of several wins.
    let Some((_, rest)) = context.rsplit_once(", line ") else {
        return (None, None);
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let column = rest[digits..]
        .strip_prefix(", column ")
        .and_then(|rest| rest.split_once(": ").or(Some((rest, ""))))
        .map(|(name, _)| name.trim_matches('"').to_owned());
    (rest[..digits].parse().ok(), column)
}

fn add(
    (plan, policy): (&Plan, OnConflict),
    (record, column): (&Record, Option<&str>),
    error: &DbError,
    faults: &mut Faults,
) {
    let violated = error.violation().and_then(|violation| {
        let name = violation.name()?;
        let keys = plan.table.primary_key.iter().chain(&plan.table.uniques);
        let key = keys
            .into_iter()
            .find(|key| key.name.as_deref() == Some(name))?;
        Some(key.columns.first()?.as_str())
    });
    let broken = error.violation().map(db_core::Violation::kind);
    let unique = broken == Some(db_core::ConstraintKind::Unique);
    let help = plan.help(policy, broken);
    let named = error
        .violation()
        .and_then(|v| v.columns().first().map(String::as_str));
    let put = column
        .or(violated)
        .or(named)
        .and_then(|name| plan.puts.iter().find(|put| put.column.name == name));
    if let Some(put) = put {
        let problem = format!("{}{help}", error.told());
        faults.add_value(record, put.index, &put.column.name, problem);
    } else {
        let told = if unique { error.told() } else { in_full(error) };
        faults.add(Some(record.place(0)), format!("{told}{help}"));
    }
}
