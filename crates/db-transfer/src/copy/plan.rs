//! Which table goes where, column by column.

use std::collections::BTreeSet;

use db_core::Engine;
use db_migrate::catalog::model::{Check, Column, Index, Model, Table};

use super::error::{CopyError, Doing as _};
use super::names::{Name, list, quoted};
use super::side::Bulk;
use super::types::{self, Classes};
use crate::convert::{CellRef, Form, Policies, postgres, sqlite};

/// A table on its way.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    pub(super) source: Name,
    pub(super) target: Name,
    pub(super) columns: Vec<ColumnPlan>,
    /// Which of the columns are the primary key.
    pub(super) key: Vec<usize>,
    /// Which of them have to tell its rows apart: the primary key, and each that is unique.
    pub(super) unique: Vec<Vec<usize>>,
    /// The checks that its rows are tried with beforehand: those of the target's table, or of the source's
    /// where that is SQLite.
    pub(super) checks: Vec<CheckPlan>,
    /// How many rows there are.
    pub(super) rows: u64,
    /// `ONLY ` where the source is a plain table of PostgreSQL, which may have heirs.
    pub(super) only: &'static str,
}

/// A column on its way.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) form: Form,
    /// The type in the target, where it is made from the catalog.
    pub(super) target_type: String,
    /// The target takes no NULL there, whatever the source allows, or a policy makes of a value.
    pub(super) required: bool,
}

/// A check on its way.
#[derive(Debug, Clone)]
pub(super) struct CheckPlan {
    /// Its table and its name, for a person.
    pub(super) shown: String,
    pub(super) name: Option<String>,
    /// In the words of SQLite.
    pub(super) text: String,
    /// Whether rows may break it: those of the source need not hold it, or in other words.
    pub(super) is_open: bool,
}

impl ColumnPlan {
    /// As it begins in the `CREATE TABLE` of SQLite.
    pub(super) fn declaration(&self) -> String {
        format!("{} {}", quoted(&self.target), self.target_type)
    }
}

impl TablePlan {
    pub(super) fn select_source(&self) -> String {
        let columns: Vec<&String> = self.columns.iter().map(|c| &c.source).collect();
        super::side::select(&self.source, &columns, self.only)
    }

    pub(super) fn select_target(&self) -> String {
        let columns: Vec<&String> = self.columns.iter().map(|c| &c.target).collect();
        super::side::select(&self.target, &columns, "")
    }

    pub(super) fn target_columns(&self) -> String {
        list(self.columns.iter().map(|c| &c.target))
    }
}

/// Pairs the tables of the source with those that migrations have made in the target.
///
/// # Errors
/// [`CopyError::NotMigrated`] for tables and columns that have no place; where tables are `chosen`,
/// [`CopyError::NotChosen`] for those that they refer to.
pub(super) fn pair(
    (from, to): (Engine, Engine),
    source: &Model,
    target: &Model,
    chosen: bool,
) -> Result<Vec<TablePlan>, CopyError> {
    if chosen {
        refuse_not_chosen(source, target)?;
    }
    let mut plans = Vec::new();
    let mut homeless = Vec::new();
    for table in &source.tables {
        let Some(other) = target.table(&table.name) else {
            homeless.push(format!("the table {}", table.name));
            continue;
        };
        let mut columns = Vec::new();
        for column in &table.columns {
            let Some(there) = other.column(&column.name) else {
                homeless.push(format!("the column {}.{}", table.name, column.name));
                continue;
            };
            if there.generated.is_some() {
                continue;
            }
            let form = match (from, to) {
                (Engine::Sqlite, Engine::Sqlite) => Form::Stored,
                (Engine::Postgres, Engine::Postgres) => Form::Raw,
                (Engine::Sqlite, Engine::Postgres) => types::of_postgres(there),
                (Engine::Postgres, Engine::Sqlite) => types::of_postgres(column),
            };
            columns.push(ColumnPlan {
                source: column.name.clone(),
                target: there.name.clone(),
                form,
                target_type: there.declared_type.clone(),
                required: from != to && !there.nullable,
            });
        }
        let mut plan = plan(table, Name::parse(&other.name), columns);
        plan.checks = match (from, to) {
            (Engine::Postgres, Engine::Sqlite) => checks_of(other, |_| true),
            (Engine::Sqlite, _) => checks_of(table, |check| {
                let is_same = |there: &Check| match &check.name {
                    Some(name) => there.name.as_ref() == Some(name),
                    None => there == check,
                };
                other.checks.iter().any(is_same)
            }),
            (Engine::Postgres, Engine::Postgres) => Vec::new(),
        };
        plans.push(plan);
    }
    if homeless.is_empty() {
        Ok(plans)
    } else {
        Err(CopyError::NotMigrated(homeless))
    }
}

/// The checks of a table of SQLite that are wanted.
fn checks_of(table: &Table, is_wanted: impl Fn(&Check) -> bool) -> Vec<CheckPlan> {
    let shown = Name::parse(&table.name).shown();
    let check = |check: &Check| {
        let name = check.name.as_deref().unwrap_or(&check.expression);
        CheckPlan {
            shown: format!("{shown}.{name}"),
            name: check.name.clone(),
            text: check.expression.clone(),
            is_open: true,
        }
    };
    let wanted = table.checks.iter().filter(|check| is_wanted(check));
    wanted.map(check).collect()
}

/// The migrations make every table, but only those that are chosen get rows: what one of these refers
/// to has to be among them, or what that refers to in turn.
fn refuse_not_chosen(source: &Model, target: &Model) -> Result<(), CopyError> {
    let mut needed: BTreeSet<&str> = source.tables.iter().map(|t| t.name.as_str()).collect();
    let mut open: Vec<&str> = needed.iter().copied().collect();
    while let Some(name) = open.pop() {
        let keys = target.table(name).map_or(&[][..], |t| &t.foreign_keys);
        for key in keys {
            if needed.insert(&key.references) {
                open.push(&key.references);
            }
        }
    }
    needed.retain(|name| source.table(name).is_none());
    if needed.is_empty() {
        return Ok(());
    }
    let missing = needed.into_iter().map(str::to_owned).collect();
    Err(CopyError::NotChosen(missing))
}

/// Gives the tables of the source their form in a target that does not have them.
///
/// # Errors
/// What reading the source says.
pub(super) fn derive(
    (from, to): (Engine, Engine),
    source: &Model,
    reader: &mut Bulk,
) -> Result<Vec<TablePlan>, CopyError> {
    let mut plans = Vec::new();
    for table in &source.tables {
        let name = Name::parse(&table.name);
        let open: Vec<&Column> = table.columns.iter().filter(|c| types::is_open(c)).collect();
        let classes = if (from, to) == (Engine::Sqlite, Engine::Postgres) && !open.is_empty() {
            classes(reader, &name, &open)?
        } else {
            Vec::new()
        };
        let mut columns = Vec::new();
        for column in &table.columns {
            // Computed anew by the same engine; a plain column with its values in another.
            if column.generated.is_some() && from == to {
                continue;
            }
            let (target_type, form) = match (from, to) {
                (Engine::Sqlite, Engine::Sqlite) => (column.declared_type.clone(), Form::Stored),
                (Engine::Postgres, Engine::Postgres) => (column.declared_type.clone(), Form::Raw),
                (Engine::Sqlite, Engine::Postgres) => {
                    let at = open.iter().position(|c| c.name == column.name);
                    let seen = at
                        .and_then(|at| classes.get(at).copied())
                        .unwrap_or_default();
                    let (name, form) = types::in_postgres(column, seen);
                    (name.to_owned(), form)
                }
                (Engine::Postgres, Engine::Sqlite) => {
                    let is_numeric = types::of_postgres(column) == Form::Numeric;
                    let exact = is_numeric && is_exact(reader, &name, column)?;
                    let (name, form) = types::in_sqlite(column, exact);
                    (name.to_owned(), form)
                }
            };
            let keys = table.primary_key.as_ref();
            let is_key = keys.is_some_and(|key| key.columns.contains(&column.name));
            columns.push(ColumnPlan {
                source: column.name.clone(),
                target: column.name.clone(),
                form,
                target_type,
                required: from != to && (is_key || !column.nullable),
            });
        }
        let target = match (from, to) {
            // SQLite has no schemas; the name keeps it.
            (Engine::Postgres, Engine::Sqlite) => Name {
                schema: None,
                table: name.shown(),
            },
            _ => name,
        };
        let mut plan = plan(table, target, columns);
        if from == Engine::Sqlite {
            plan.checks = checks_of(table, |_| true);
        }
        plans.push(plan);
    }
    Ok(plans)
}

fn plan(table: &Table, target: Name, columns: Vec<ColumnPlan>) -> TablePlan {
    let place = |name: &String| {
        columns
            .iter()
            .position(|c| c.source.eq_ignore_ascii_case(name))
    };
    let names = table.primary_key.iter().flat_map(|key| &key.columns);
    let key = names.filter_map(place).collect();
    let keys = table.primary_key.iter().chain(&table.uniques);
    let keys = keys.map(|key| key.columns.iter().map(place).collect::<Option<Vec<_>>>());
    let whole = |index: &&Index| index.unique && index.predicate.is_none();
    let indexes = table.indexes.iter().filter(whole);
    let indexes = indexes.map(|index| {
        let places = index.keys.iter().map(|key| place(key.column.as_ref()?));
        places.collect()
    });
    let unique = keys.chain(indexes).flatten().collect();
    TablePlan {
        source: Name::parse(&table.name),
        target,
        key,
        unique,
        checks: Vec::new(),
        columns,
        rows: 0,
        only: "",
    }
}

/// Which storage classes these columns hold.
fn classes(
    reader: &mut Bulk,
    table: &Name,
    columns: &[&Column],
) -> Result<Vec<Classes>, CopyError> {
    let mut asked = Vec::new();
    for column in columns {
        let name = quoted(&column.name);
        for class in ["integer", "real", "text", "blob"] {
            asked.push(format!("coalesce(max(typeof({name}) = '{class}'), 0)"));
        }
        asked.push(format!(
            "coalesce(max(typeof({name}) = 'integer' AND {name} NOT IN (0, 1)), 0)"
        ));
    }
    let sql = format!("SELECT {} FROM {}", asked.join(", "), table.sql());
    let rows = reader
        .rows(&sql)
        .doing(|| format!("looking into {}", table.shown()))?;
    let row = rows.into_iter().next().unwrap_or_default();
    let flags: Vec<bool> = row
        .iter()
        .map(|value| value.as_deref() == Some("1"))
        .collect();
    Ok(flags
        .chunks_exact(5)
        .map(|seen| Classes {
            integer: seen[0],
            real: seen[1],
            text: seen[2],
            blob: seen[3],
            counts: seen[4],
        })
        .collect())
}

/// Whether SQLite has exactly each number of a column of PostgreSQL.
fn is_exact(reader: &mut Bulk, table: &Name, column: &Column) -> Result<bool, CopyError> {
    let Bulk::Postgres(reader) = reader else {
        return Ok(false);
    };
    let doing = || format!("looking into {}", table.shown());
    let name = quoted(&column.name);
    let sql = format!("COPY (SELECT {name} FROM {}) TO STDOUT", table.sql());
    let mut rows = reader.copy_out(&sql).doing(doing)?;
    let mut made = Vec::new();
    let mut exact = true;
    while let Some(row) = rows.next().doing(doing)? {
        for field in postgres::fields(row) {
            exact &= match postgres::read(Form::Numeric, field, Policies::default(), &mut made) {
                Ok(CellRef::Text(text)) => sqlite::number(text).is_some(),
                Ok(_) => true,
                Err(_) => false,
            };
        }
    }
    Ok(exact)
}
