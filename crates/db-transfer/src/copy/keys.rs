//! Keys that a policy changes on their way to PostgreSQL.

use std::collections::HashSet;

use db_core::bulk::{SqliteBulk, SqliteStatement};

use super::error::{CopyError, Doing as _};
use super::names::{literal, quoted};
use super::plan::TablePlan;
use crate::convert::CellRef;

/// Why a key that a policy has changed does not fit.
pub(super) const CLASH: &str =
    "changed as you said it is the key of another row, and a key tells rows apart";

/// Keys that a policy changes: afterwards they still have to tell the rows apart.
pub(super) struct ChangedKeys<'r> {
    reader: &'r SqliteBulk,
    plan: &'r TablePlan,
    /// The columns of the row that are changed, and what they become.
    pub(super) changed: Vec<(usize, String)>,
    /// What all rows until now have become, as conditions on the table, by key.
    seen: HashSet<(usize, String)>,
}

impl<'r> ChangedKeys<'r> {
    pub(super) fn new(reader: &'r SqliteBulk, plan: &'r TablePlan) -> Self {
        Self {
            reader,
            plan,
            changed: Vec::new(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn note(&mut self, at: usize, becomes: CellRef<'_>) {
        if self.plan.unique.iter().any(|key| key.contains(&at)) {
            self.changed.push((at, sql_of(becomes)));
        }
    }

    /// The column by which a row becomes another one.
    pub(super) fn clash(&mut self, row: &SqliteStatement<'_>) -> Result<Option<usize>, CopyError> {
        let doing = || format!("reading {}", self.plan.source.shown());
        for (number, key) in self.plan.unique.iter().enumerate() {
            let becomes = |at: usize| self.changed.iter().find(|(changed, _)| *changed == at);
            let Some(first) = key.iter().copied().find(|at| becomes(*at).is_some()) else {
                continue;
            };
            let mut same = Vec::new();
            let mut is_null = false;
            for at in key.iter().copied() {
                let cell = row.cell(at).doing(doing)?;
                is_null |= matches!(cell, CellRef::Null);
                let value = becomes(at).map_or_else(|| sql_of(cell), |(_, text)| text.clone());
                same.push(format!(
                    "{} = {value}",
                    quoted(&self.plan.columns[at].source)
                ));
            }
            if is_null {
                continue;
            }
            let same = same.join(" AND ");
            let table = self.plan.source.sql();
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {same})");
            let mut other = self.reader.prepare(&sql).doing(doing)?;
            let is_there = other.step().doing(doing)?
                && matches!(other.cell(0).doing(doing)?, CellRef::Integer(1));
            if !self.seen.insert((number, same)) || is_there {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

/// A cell as an expression of SQLite.
fn sql_of(cell: CellRef<'_>) -> String {
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect::<String>()
    };
    match cell {
        CellRef::Null => "NULL".to_owned(),
        CellRef::Integer(number) => number.to_string(),
        CellRef::Real(number) => format!("{number:?}"),
        CellRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) if !text.contains('\0') => literal(text),
            _ => format!("CAST(x'{}' AS TEXT)", hex(text)),
        },
        CellRef::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}
