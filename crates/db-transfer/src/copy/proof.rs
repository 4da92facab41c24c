//! Both sides are read again, and compared.

use std::sync::atomic::AtomicBool;

use super::error::{CopyError, Doing as _};
use super::hash::RowsHash;
use super::load::Course;
use super::plan::TablePlan;
use super::side::Bulk;
use crate::convert::{Policies, postgres, sqlite};

/// Rows between two looks at whether another thread has failed.
const BETWEEN_LOOKS: u64 = 1 << 12;

/// A side of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

/// Reads a table of one side to its end.
///
/// # Errors
/// What reading says.
pub(super) fn hash(
    reader: &mut Bulk,
    side: Side,
    plan: &TablePlan,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<RowsHash, CopyError> {
    let (name, select) = match side {
        Side::Source => (&plan.source, plan.select_source()),
        Side::Target => (&plan.target, plan.select_target()),
    };
    // What was mapped on its way is compared as it arrived.
    let policies = match side {
        Side::Source => course.policies,
        Side::Target => Policies::default(),
    };
    let reading = || format!("reading {} again", name.shown());
    let mut hash = RowsHash::default();
    let mut made = Vec::new();
    let go_on = |hash: &RowsHash| {
        let due = hash.rows.is_multiple_of(BETWEEN_LOOKS);
        if due && !course.on(plan, stop, (BETWEEN_LOOKS, 0)) {
            return Err(CopyError::Interrupted);
        }
        Ok(())
    };
    match reader {
        Bulk::Sqlite(reader) => {
            let mut statement = reader.prepare(&select).doing(reading)?;
            while statement.step().doing(reading)? {
                for (at, column) in plan.columns.iter().enumerate() {
                    let cell = statement.cell(at).doing(reading)?;
                    match sqlite::read(column.form, cell, policies, &mut made) {
                        Ok(cell) => hash.cell(column.form, cell),
                        Err(reason) => hash.unreadable(reason.to_string().as_bytes()),
                    }
                }
                hash.end_row();
                go_on(&hash)?;
            }
        }
        Bulk::Postgres(reader) => {
            let mut rows = reader
                .copy_out(&format!("COPY ({select}) TO STDOUT"))
                .doing(reading)?;
            while let Some(row) = rows.next().doing(reading)? {
                for (column, field) in plan.columns.iter().zip(postgres::fields(row)) {
                    match postgres::read(column.form, field, policies, &mut made) {
                        Ok(cell) => hash.cell(column.form, cell),
                        Err(_) => hash.unreadable(field),
                    }
                }
                hash.end_row();
                go_on(&hash)?;
            }
        }
    }
    course.on(plan, stop, (hash.rows % BETWEEN_LOOKS, 0));
    Ok(hash)
}
