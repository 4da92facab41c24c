//! Rows go from one database to the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use db_core::bulk::{CellRef, PostgresBulk, SqliteBulk};

use super::error::{CopyError, Doing as _};
use super::names::literal;
use super::plan::TablePlan;
use super::side::Bulk;
use crate::convert::{Policies, Reason, binary, postgres, sqlite};

/// Bytes that are gathered before they are sent.
const CHUNK: usize = 1 << 16;
/// Rows between two looks at whether another thread has failed, and two words about progress.
const BETWEEN_LOOKS: u64 = 1 << 10;

/// What all tables share while they are looked at, loaded or read again.
pub(super) struct Course<'c> {
    pub(super) policies: Policies,
    rows: AtomicU64,
    bytes: AtomicU64,
    tick: &'c (dyn Fn(&str, u64, u64) + Sync),
}

impl<'c> Course<'c> {
    /// At its beginning; `tick` is told the table, and all rows and bytes so far.
    pub(super) const fn new(policies: Policies, tick: &'c (dyn Fn(&str, u64, u64) + Sync)) -> Self {
        Self {
            policies,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            tick,
        }
    }

    /// Counts, and says whether to go on.
    pub(super) fn on(
        &self,
        plan: &TablePlan,
        stop: &AtomicBool,
        (rows, bytes): (u64, u64),
    ) -> bool {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.tick)(&plan.source.table, rows, bytes);
        !stop.load(Ordering::Relaxed)
    }
}

/// Copies one table, in one transaction. Returns how many rows.
pub(super) fn table(
    (reader, writer): (&mut Bulk, &mut Bulk),
    plan: &TablePlan,
    course: &Course<'_>,
    stop: &AtomicBool,
) -> Result<u64, CopyError> {
    let doing = || format!("loading {}", plan.target.shown());
    match writer {
        Bulk::Sqlite(writer) => {
            writer.execute("BEGIN").doing(doing)?;
            writer
                .execute(&format!("DELETE FROM {}", plan.target.sql()))
                .doing(doing)?;
            let rows = into_sqlite(reader, writer, plan, (course, stop))?;
            writer.execute("COMMIT").doing(doing)?;
            Ok(rows)
        }
        Bulk::Postgres(writer) => {
            let table = plan.target.sql();
            let triggers = format!(
                "SELECT CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' \
                 ELSE 'ENABLE' END || ' TRIGGER ' || quote_ident(tgname) FROM pg_catalog.pg_trigger \
                 WHERE tgrelid = {}::regclass AND NOT tgisinternal AND tgenabled <> 'D'",
                literal(&table)
            );
            let triggers = writer.rows(&triggers).doing(doing)?;
            // What was made or emptied in the same transaction is seen by nobody else, so that its
            // rows can be written as old ones and need no second visit.
            let prepare = format!(
                "BEGIN; ALTER TABLE {table} DISABLE TRIGGER USER; TRUNCATE {table}; \
                 SET LOCAL synchronous_commit = off"
            );
            writer.execute(&prepare).doing(doing)?;
            let rows = into_postgres(reader, writer, plan, (course, stop))?;
            let triggers = triggers.iter().flatten().flatten();
            let alter = |enable| format!("ALTER TABLE {table} {enable}; ");
            let finish = triggers.map(alter).collect::<String>() + "COMMIT";
            writer.execute(&finish).doing(doing)?;
            Ok(rows)
        }
    }
}

fn into_postgres(
    reader: &mut Bulk,
    writer: &mut PostgresBulk,
    plan: &TablePlan,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<u64, CopyError> {
    let loading = || format!("loading {}", plan.target.shown());
    let reading = || format!("reading {}", plan.source.shown());
    let types = plan
        .columns
        .iter()
        .map(|column| binary::Type::of(column.form, &column.target_type));
    // The server reads binary rows in less time, but not every type has a form that is known here.
    let binary: Option<Vec<binary::Type>> = match reader {
        Bulk::Sqlite(_) => types.collect(),
        Bulk::Postgres(_) => None,
    };
    let format = if binary.is_some() { "binary" } else { "text" };
    let sql = format!(
        "COPY {} ({}) FROM STDIN WITH (FREEZE, FORMAT {format})",
        plan.target.sql(),
        plan.target_columns()
    );
    let mut copy = writer.copy_in(&sql).doing(loading)?;
    let mut lines = Vec::with_capacity(CHUNK + (CHUNK >> 2));
    let (mut rows, mut told) = (0_u64, 0);
    match reader {
        Bulk::Sqlite(reader) => {
            let mut statement = reader.prepare(&plan.select_source()).doing(reading)?;
            let mut made = Vec::new();
            if binary.is_some() {
                lines.extend_from_slice(binary::HEADER);
            }
            while statement.step().doing(reading)? {
                if binary.is_some() {
                    binary::begin_row(plan.columns.len(), &mut lines);
                }
                for (at, column) in plan.columns.iter().enumerate() {
                    let cell = statement.cell(at).doing(reading)?;
                    let cell = sqlite::read(column.form, cell, course.policies, &mut made)
                        .map_err(|reason| unfit(plan, at, reason))?;
                    if let Some(types) = &binary {
                        let written = binary::write(types[at], cell, &mut lines);
                        written.map_err(|reason| unfit(plan, at, reason))?;
                        continue;
                    }
                    postgres::write(column.form, cell, &mut lines);
                    let is_last = at + 1 == plan.columns.len();
                    lines.push(if is_last { b'\n' } else { b'\t' });
                }
                rows += 1;
                if lines.len() >= CHUNK {
                    copy.send(&lines).doing(loading)?;
                    if !course.on(plan, stop, (rows - told, lines.len() as u64)) {
                        return Err(CopyError::Interrupted);
                    }
                    told = rows;
                    lines.clear();
                }
            }
            if binary.is_some() {
                lines.extend_from_slice(binary::TRAILER);
            }
        }
        Bulk::Postgres(reader) => {
            let sql = format!("COPY ({}) TO STDOUT", plan.select_source());
            let mut from = reader.copy_out(&sql).doing(reading)?;
            while let Some(row) = from.next().doing(reading)? {
                lines.extend_from_slice(row);
                rows += 1;
                if lines.len() >= CHUNK {
                    copy.send(&lines).doing(loading)?;
                    if !course.on(plan, stop, (rows - told, lines.len() as u64)) {
                        return Err(CopyError::Interrupted);
                    }
                    told = rows;
                    lines.clear();
                }
            }
        }
    }
    copy.send(&lines).doing(loading)?;
    copy.finish().doing(loading)?;
    course.on(plan, stop, (rows - told, lines.len() as u64));
    Ok(rows)
}

fn into_sqlite(
    reader: &mut Bulk,
    writer: &SqliteBulk,
    plan: &TablePlan,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<u64, CopyError> {
    let loading = || format!("loading {}", plan.target.shown());
    let reading = || format!("reading {}", plan.source.shown());
    let places = vec!["?"; plan.columns.len()].join(", ");
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({places})",
        plan.target.sql(),
        plan.target_columns()
    );
    let mut insert = writer.prepare(&sql).doing(loading)?;
    let (mut rows, mut told) = (0_u64, 0);
    let mut look = |rows: u64| {
        let due = rows.is_multiple_of(BETWEEN_LOOKS);
        if due && !course.on(plan, stop, (rows - told, 0)) {
            return Err(CopyError::Interrupted);
        }
        if due {
            told = rows;
        }
        Ok(())
    };
    match reader {
        Bulk::Sqlite(reader) => {
            let mut statement = reader.prepare(&plan.select_source()).doing(reading)?;
            while statement.step().doing(reading)? {
                let cells = 0..plan.columns.len();
                let cells: Result<Vec<_>, _> = cells.map(|at| statement.cell(at)).collect();
                insert.run(&cells.doing(reading)?).doing(loading)?;
                rows += 1;
                look(rows)?;
            }
        }
        Bulk::Postgres(reader) => {
            let sql = format!("COPY ({}) TO STDOUT", plan.select_source());
            let mut from = reader.copy_out(&sql).doing(reading)?;
            let mut made = vec![Vec::new(); plan.columns.len()];
            while let Some(row) = from.next().doing(reading)? {
                let mut cells: Vec<CellRef<'_>> = Vec::with_capacity(plan.columns.len());
                let parts = plan
                    .columns
                    .iter()
                    .zip(postgres::fields(row))
                    .zip(&mut made);
                for (at, ((column, field), made)) in parts.enumerate() {
                    let cell = postgres::read(column.form, field, course.policies, made)
                        .map_err(|reason| unfit(plan, at, reason))?;
                    cells.push(sqlite::write(column.form, cell));
                }
                insert.run(&cells).doing(loading)?;
                rows += 1;
                look(rows)?;
            }
        }
    }
    course.on(plan, stop, (rows % BETWEEN_LOOKS, 0));
    Ok(rows)
}

/// What the look beforehand would have found; only a source that changed meanwhile comes here.
fn unfit(plan: &TablePlan, at: usize, reason: Reason) -> CopyError {
    let column = &plan.columns[at].source;
    CopyError::Usage(format!("{}.{column}: {reason}", plan.source.shown()))
}
