//! What does not fit, found before a row is written.

use std::sync::atomic::AtomicBool;

use db_core::bulk::{PostgresBulk, SqliteBulk, SqliteStatement};

use super::error::{CopyError, Doing as _, Misfit, Misfits};
use super::keys::{CLASH, ChangedKeys};
use super::load::Course;
use super::plan::{ColumnPlan, TablePlan};
use super::side::Bulk;
use super::trial::{Bench, Broken};
use crate::convert::{CellRef, Form, Policies, Reason, postgres, shown, sqlite};

/// Rows between two looks at whether another thread has failed, and two words about progress.
const BETWEEN_LOOKS: u64 = 1 << 12;

/// Rows from which on a table is worth more than one connection.
const MANY: u64 = 50_000;

/// How values are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'e> {
    pub(super) policies: Policies,
    /// How many misfits are named.
    pub(super) most: usize,
    pub(super) letters: Letters<'e>,
}

/// Which characters arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters<'e> {
    /// All that the source can have.
    All,
    /// The source has not looked whether its texts are UTF-8; it does so when they are read.
    Utf8,
    /// The target has another encoding, of this name: nobody but it knows what has a place there.
    Ascii(&'e str),
}

impl Letters<'_> {
    /// Why a text does not arrive.
    fn refuse(self, text: &[u8]) -> Option<String> {
        match self {
            Self::Ascii(name) if !text.is_ascii() => Some(format!(
                "a character beyond ASCII, for which a target with the encoding {name} may have none"
            )),
            _ => None,
        }
    }
}

/// What was found in a table.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) misfits: Misfits,
    pub(super) mapped: u64,
    pub(super) rows: u64,
    /// Checks of the target that rows do not hold.
    pub(super) broken: Vec<Broken>,
}

impl Found {
    fn add(&mut self, most: usize, misfit: impl FnOnce() -> Misfit) {
        self.misfits.count += 1;
        if self.misfits.first.len() < most {
            self.misfits.first.push(misfit());
        }
    }
}

/// Rows of a table, to be looked at by one connection.
#[derive(Debug)]
pub(super) struct Share {
    /// Which of the plans.
    pub(super) plan: usize,
    /// What is added to its query.
    filter: String,
}

/// Shares the tables out. One of SQLite that has many rows is looked at by all connections, each of
/// which reads its own numbers of rows.
///
/// # Errors
/// What reading says.
pub(super) fn shares(
    readers: &mut [Bulk],
    plans: &[TablePlan],
    how: How<'_>,
) -> Result<Vec<Share>, CopyError> {
    let connections = readers.len() as u64;
    let mut shares = Vec::new();
    for (at, plan) in plans.iter().enumerate() {
        let whole = Share {
            plan: at,
            filter: String::new(),
        };
        if is_verbatim(plan) && how.letters == Letters::All {
            continue;
        }
        // Rows without a key are named by their place in the whole table.
        let is_large = plan.rows >= MANY && connections > 1 && !plan.key.is_empty();
        // Keys that a policy changes are compared with each other.
        let is_large = is_large && how.policies == Policies::default();
        let numbers = match readers.first_mut() {
            Some(Bulk::Sqlite(reader)) if is_large => numbers(reader, plan)?,
            _ => None,
        };
        let Some((name, first, last)) = numbers else {
            shares.push(whole);
            continue;
        };
        let step = first.abs_diff(last) / connections + 1;
        let mut from = first;
        loop {
            let to = from.saturating_add_unsigned(step - 1).min(last);
            shares.push(Share {
                plan: at,
                filter: format!(" WHERE {name} BETWEEN {from} AND {to}"),
            });
            match to.checked_add(1) {
                Some(next) if to < last => from = next,
                _ => break,
            }
        }
    }
    Ok(shares)
}

/// What a table of SQLite calls the numbers of its rows, if it has such.
pub(super) fn row_number(plan: &TablePlan) -> Option<&'static str> {
    let is_free = |name: &&str| {
        let mut columns = plan.columns.iter();
        !columns.any(|column| column.source.eq_ignore_ascii_case(name))
    };
    ["rowid", "_rowid_", "oid"].into_iter().find(is_free)
}

/// What a table calls the numbers of its rows, and the first and the last of them.
fn numbers(
    reader: &SqliteBulk,
    plan: &TablePlan,
) -> Result<Option<(&'static str, i64, i64)>, CopyError> {
    let Some(name) = row_number(plan) else {
        return Ok(None);
    };
    let table = plan.source.sql();
    let sql =
        format!("SELECT (SELECT min({name}) FROM {table}), (SELECT max({name}) FROM {table})");
    // A table without such numbers is looked at as a whole.
    let Ok(mut statement) = reader.prepare(&sql) else {
        return Ok(None);
    };
    let doing = || format!("reading {}", plan.source.shown());
    if !statement.step().doing(doing)? {
        return Ok(None);
    }
    let first = statement.cell(0).doing(doing)?;
    let last = statement.cell(1).doing(doing)?;
    Ok(match (first, last) {
        (CellRef::Integer(first), CellRef::Integer(last)) => Some((name, first, last)),
        _ => None,
    })
}

/// Whether every value goes as it is.
fn is_verbatim(plan: &TablePlan) -> bool {
    let is_verbatim = |form| matches!(form, Form::Stored | Form::Raw);
    plan.columns.iter().all(|c| is_verbatim(c.form))
}

/// Reads rows of a table and looks at every value.
///
/// # Errors
/// What reading says.
pub(super) fn look(
    reader: &mut Bulk,
    (plan, share): (&TablePlan, &Share),
    how: How<'_>,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<Found, CopyError> {
    let found = match reader {
        Bulk::Sqlite(reader) => in_sqlite(reader, (plan, share), how, (course, stop)),
        Bulk::Postgres(reader) => in_postgres(reader, plan, how, (course, stop)),
    }?;
    course.on(plan, stop, (found.rows % BETWEEN_LOOKS, 0));
    Ok(found)
}

fn in_sqlite(
    reader: &SqliteBulk,
    (plan, share): (&TablePlan, &Share),
    how: How<'_>,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<Found, CopyError> {
    let doing = || format!("reading {}", plan.source.shown());
    let select = plan.select_source() + &share.filter;
    let mut statement = reader.prepare(&select).doing(doing)?;
    let mut found = Found::default();
    let mut keys = ChangedKeys::new(reader, plan);
    let mut made = Vec::new();
    while statement.step().doing(doing)? {
        found.rows += 1;
        let due = found.rows.is_multiple_of(BETWEEN_LOOKS);
        if due && !course.on(plan, stop, (BETWEEN_LOOKS, 0)) {
            break;
        }
        keys.changed.clear();
        for (at, column) in plan.columns.iter().enumerate() {
            let cell = statement.cell(at).doing(doing)?;
            let reason = match sqlite::read(column.form, cell, how.policies, &mut made) {
                Ok(CellRef::Null) if column.required => {
                    "NULL, which is not allowed there".to_owned()
                }
                Ok(read) => {
                    if is_mapped(cell, read) {
                        found.mapped += 1;
                        keys.note(at, read);
                    }
                    let refused = match read {
                        CellRef::Text(text) => how.letters.refuse(text),
                        _ => None,
                    };
                    let Some(reason) = refused else {
                        continue;
                    };
                    reason
                }
                Err(reason) => reason.to_string(),
            };
            let key = shown_key(plan, &statement)?;
            let row = found.rows;
            found.add(how.most, || misfit(plan, (at, cell), (row, &key), reason));
        }
        if let Some(at) = keys.clash(&statement)? {
            let cell = statement.cell(at).doing(doing)?;
            let key = shown_key(plan, &statement)?;
            let (row, reason) = (found.rows, CLASH.to_owned());
            found.add(how.most, || misfit(plan, (at, cell), (row, &key), reason));
        }
    }
    Ok(found)
}

fn shown_key(plan: &TablePlan, row: &SqliteStatement<'_>) -> Result<Vec<String>, CopyError> {
    let cells = plan.key.iter().map(|at| Ok(shown(row.cell(*at)?)));
    let cells: Result<Vec<_>, db_core::Error> = cells.collect();
    cells.doing(|| format!("reading {}", plan.source.shown()))
}

/// Whether a policy has changed a text.
fn is_mapped(cell: CellRef<'_>, read: CellRef<'_>) -> bool {
    match (cell, read) {
        (CellRef::Text(before), CellRef::Text(after)) => {
            before.len() != after.len() || before != after
        }
        _ => false,
    }
}

fn in_postgres(
    reader: &mut PostgresBulk,
    plan: &TablePlan,
    how: How<'_>,
    (course, stop): (&Course<'_>, &AtomicBool),
) -> Result<Found, CopyError> {
    let doing = || format!("reading {}", plan.source.shown());
    let sql = format!("COPY ({}) TO STDOUT", plan.select_source());
    let mut rows = reader.copy_out(&sql).doing(doing)?;
    let bench = Bench::of(plan)?;
    let mut trial = bench.as_ref().map(Bench::begin).transpose()?;
    let mut found = Found::default();
    let mut made = vec![Vec::new(); plan.columns.len()];
    while let Some(row) = rows.next().doing(doing)? {
        found.rows += 1;
        let due = found.rows.is_multiple_of(BETWEEN_LOOKS);
        if due && !course.on(plan, stop, (BETWEEN_LOOKS, 0)) {
            break;
        }
        let mut cells: Vec<CellRef<'_>> = Vec::with_capacity(plan.columns.len());
        let columns = plan.columns.iter().zip(postgres::fields(row));
        for (at, ((column, field), made)) in columns.zip(&mut made).enumerate() {
            let read = postgres::read(column.form, field, how.policies, made);
            let wrong = match read {
                Ok(CellRef::Null) => {
                    let is_mapped = field != b"\\N";
                    found.mapped += u64::from(is_mapped);
                    not_null(column, is_mapped)
                }
                Ok(_) => how.letters.refuse(field),
                Err(Reason::NotANumber) => Some("NaN, for which SQLite stores NULL".to_owned()),
                Err(reason) => Some(reason.to_string()),
            };
            match (wrong, read) {
                (None, Ok(cell)) => cells.push(sqlite::write(column.form, cell)),
                (None, Err(_)) => {}
                (Some(reason), _) => {
                    let fields: Vec<&[u8]> = postgres::fields(row).collect();
                    let keys = plan.key.iter().filter_map(|at| fields.get(*at));
                    let keys = keys.map(|key| String::from_utf8_lossy(key).into_owned());
                    let key: Vec<String> = keys.collect();
                    let number = found.rows;
                    let cell = CellRef::Text(field);
                    found.add(how.most, || {
                        misfit(plan, (at, cell), (number, &key), reason)
                    });
                }
            }
        }
        match &mut trial {
            Some(trial) if cells.len() == plan.columns.len() => trial.row(&cells)?,
            Some(trial) => trial.pass_over(),
            None => {}
        }
    }
    if let Some(trial) = trial {
        found.broken = trial.end()?;
    }
    Ok(found)
}

/// Why NULL has no place in a column.
fn not_null(column: &ColumnPlan, is_mapped: bool) -> Option<String> {
    let reason = if is_mapped {
        "NaN, which would be NULL, and NULL is not allowed there"
    } else {
        "NULL, which is not allowed there"
    };
    column.required.then(|| reason.to_owned())
}

fn misfit(
    plan: &TablePlan,
    (at, cell): (usize, CellRef<'_>),
    (row, key): (u64, &[String]),
    reason: String,
) -> Misfit {
    Misfit {
        table: plan.source.shown(),
        key: if key.is_empty() {
            format!("number {row}")
        } else {
            key.join(", ")
        },
        column: Some(plan.columns[at].source.clone()),
        value: shown(cell),
        reason,
    }
}
