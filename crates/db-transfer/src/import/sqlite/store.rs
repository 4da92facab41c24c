//! The statements by which the rows of a table are stored.

use std::collections::HashMap;

use db_core::bulk::{CellRef, SqliteBulk, SqliteStatement};
use db_core::{ConstraintKind, Error as DbError};

use crate::Error;
use crate::import::OnConflict;
use crate::import::names::quote;
use crate::import::plan::Plan;

/// Statements for rows that leave columns to their defaults, of which a file may have any number.
const MOST_STATEMENTS: usize = 64;

/// What the statements say, as far as it is the same for every row.
pub(super) struct Texts {
    conflict: String,
    update: Option<String>,
    /// Whether a row that is there already stays.
    skips: bool,
}

/// What stores the rows of one table.
pub(super) struct Store<'b> {
    bulk: &'b SqliteBulk,
    plan: &'b Plan,
    texts: &'b Texts,
    insert: SqliteStatement<'b>,
    /// The same for rows that do not speak of these columns, which get their defaults.
    fewer: HashMap<Vec<usize>, SqliteStatement<'b>>,
    /// Changes a row that is there, where a new one would lack something.
    update: Option<SqliteStatement<'b>>,
}

impl Texts {
    pub(super) fn of(plan: &Plan, policy: OnConflict) -> Result<Self, Error> {
        let update = plan.changes_only.then(|| update(plan)).transpose()?;
        let conflict = plan.on_conflict(policy)?;
        let skips = policy == OnConflict::Skip;
        Ok(Self {
            conflict,
            update,
            skips,
        })
    }

    /// An INSERT of all columns of the file but these.
    fn insert(&self, plan: &Plan, left: &[usize]) -> String {
        let puts = plan.puts.iter().enumerate();
        let said = puts.filter(|(at, _)| !left.contains(at));
        let columns: Vec<_> = said.map(|(_, put)| quote(&put.column.name)).collect();
        // ABORT, whatever the table's own constraints say to do on a conflict.
        let into = format!("INSERT OR ABORT INTO {}", plan.sql_name);
        if columns.is_empty() {
            // SQLite takes no ON CONFLICT here; what it refuses is told apart afterwards.
            return format!("{into} DEFAULT VALUES");
        }
        let places: Vec<_> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        format!(
            "{into} ({}) VALUES ({}){}",
            columns.join(", "),
            places.join(", "),
            self.conflict
        )
    }
}

impl<'b> Store<'b> {
    pub(super) fn new(
        bulk: &'b SqliteBulk,
        plan: &'b Plan,
        texts: &'b Texts,
    ) -> Result<Self, DbError> {
        let update = texts.update.as_ref();
        Ok(Self {
            bulk,
            plan,
            texts,
            insert: bulk.prepare(&texts.insert(plan, &[]))?,
            fewer: HashMap::new(),
            update: update.map(|sql| bulk.prepare(sql)).transpose()?,
        })
    }

    /// Stores a row without the columns that are left to their defaults; none if it was there and stays
    /// as it is.
    pub(super) fn row(&mut self, cells: &[CellRef<'_>], left: &[usize]) -> Result<u64, DbError> {
        if let Some(update) = &mut self.update {
            let changed = update.run(cells)?;
            if changed > 0 {
                return Ok(changed);
            }
        }
        if left.is_empty() {
            // Of a row that is not there it says what it lacks.
            return self.insert.run(cells);
        }
        if !self.fewer.contains_key(left) {
            if self.fewer.len() >= MOST_STATEMENTS {
                self.fewer.clear();
            }
            let insert = self.bulk.prepare(&self.texts.insert(self.plan, left))?;
            self.fewer.insert(left.to_vec(), insert);
        }
        let Some(insert) = self.fewer.get_mut(left) else {
            return Ok(0);
        };
        match insert.run(cells) {
            Err(error) if cells.is_empty() && self.texts.skips && is_there_already(&error) => Ok(0),
            done => done,
        }
    }
}

fn is_there_already(error: &DbError) -> bool {
    let violation = error.violation();
    violation.is_some_and(|violation| violation.kind() == ConstraintKind::Unique)
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
