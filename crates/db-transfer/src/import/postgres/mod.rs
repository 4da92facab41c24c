//! Into PostgreSQL: one transaction, COPY for each table.
//!
//! The first attempt is the fast one. If the server refuses rows, a file is read again in small
//! batches, each under a savepoint, so that every row that is refused is found; foreign keys are put
//! off to the end meanwhile. If that attempt finds nothing wrong, because only the order of the tables
//! was, it is the import.

mod careful;
mod defaults;
mod fast;
mod line;
mod prepare;
mod text;

use db_core::DatabaseUrl;
use db_core::bulk::PostgresBulk;

use super::rows::{Part, Rows};
use super::table::Tables;
use super::{Job, Next, Report, database, next_plan, note};
use crate::{Error, Pending};
pub(super) use prepare::literal;
use prepare::{Prepared, Staging};

/// What values mean does not depend on the session; how long it takes is not the session's business.
const BEGIN: &str = "BEGIN; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL TimeZone = 'UTC'; \
                     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 1; \
                     SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0";

/// How rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each table by COPY.
    Fast,
    /// The same, with foreign keys put off, because there is no second attempt.
    Once,
    /// In batches, with foreign keys put off.
    Careful,
}

pub(super) fn load(
    (bulk, url): (&mut PostgresBulk, &DatabaseUrl),
    tables: &Tables,
    parts: &[Part],
    job: &mut Job<'_>,
) -> Result<Report, Error> {
    let (_watched, _) = Pending::session(url, bulk, &job.import.on_wait)
        .map_err(|source| database("beginning the import", source))?;
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
                fast::load(bulk, &staging, &plan, &mut rows, job)?
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
    // What is left to do counts no rows.
    job.look(None, 0)?;
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
    Ok(Some(std::mem::take(&mut job.report)))
}

/// What the server says, and of which row.
fn in_full(error: &db_core::Error) -> String {
    match error.context() {
        Some(context) => format!("{} ({context})", error.told()),
        None => error.told(),
    }
}
