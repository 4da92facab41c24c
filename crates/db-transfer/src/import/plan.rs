//! Which column of a file goes where, and how the rows of one table are stored.

use std::collections::HashMap;

use db_core::{ConstraintKind, Engine};
use db_migrate::catalog::model::{Column, ForeignKey, Table};

use super::fault::Faults;
use super::names::{quote, shell, sql_name};
use super::table::Tables;
use super::{Import, OnConflict};
use crate::Error;
use crate::format::{Record, Section};
use crate::nearest::listed;

/// A column of a file that goes into one of the table.
#[derive(Debug, Clone)]
pub(super) struct Put {
    /// Which value of a row.
    pub(super) index: usize,
    pub(super) column: Column,
    /// Whether a row that does not say the value gets one from the database.
    pub(super) has_default: bool,
    /// Whether NULL is a fault.
    pub(super) required: bool,
}

/// How the rows of one table are stored.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) table: Table,
    /// The table's name as SQL has it.
    pub(super) sql_name: String,
    pub(super) puts: Vec<Put>,
    /// Columns of the file that the engine computes itself.
    pub(super) computed: Vec<String>,
    /// Whether a module of SQLite keeps the rows.
    is_virtual: bool,
    /// Whether the file lacks what a new row needs, so that rows which are there can only be changed.
    pub(super) changes_only: bool,
}

impl Put {
    /// Whether a row does not speak of this value, so that the database gives one.
    pub(super) fn is_left_to_default(&self, record: &Record) -> bool {
        self.has_default && record.is_absent(self.index)
    }
}

impl Plan {
    /// Puts the columns of a file and of a table together; what does not fit is a fault.
    pub(super) fn new(
        tables: &Tables,
        table: &Table,
        section: &Section,
        import: &Import,
        faults: &mut Faults,
    ) -> Option<Self> {
        let check = import.validate;
        let mut failed = false;
        let map: HashMap<&str, &str> = import
            .map
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let (mut puts, mut computed) = (Vec::<Put>::new(), Vec::new());
        for (index, name) in section.columns.iter().enumerate() {
            let wanted = map.get(name.as_str()).copied().unwrap_or(name);
            if wanted.is_empty() {
                continue;
            }
            let Some(column) = column(table, wanted) else {
                failed = true;
                let there = listed(table.columns.iter().map(|c| c.name.as_str()));
                let problem = match other_separator(table, section) {
                    Some(separator) => format!(
                        "the fields of the file are separated by {separator}, and not by commas as CSV has \
                         them; save it with commas"
                    ),
                    None => format!(
                        "the table has no column {wanted:?}, but {there}; --map {}=COLUMN says where its \
                         values go, and --map {}= leaves them out",
                        shell(name),
                        shell(name)
                    ),
                };
                faults.add(Some(section.place), problem);
                continue;
            };
            if column.generated.is_some() {
                computed.push(column.name.clone());
                continue;
            }
            if puts.iter().any(|put| put.column.name == column.name) {
                failed = true;
                let problem = format!("two columns of the file go into {:?}", column.name);
                faults.add(Some(section.place), problem);
                continue;
            }
            // SQLite numbers a row whose key is NULL.
            let numbers = tables.engine == Engine::Sqlite && column.numbered;
            puts.push(Put {
                index,
                has_default: column.default.is_some() || column.numbered,
                required: check && !column.nullable && !numbers,
                column: column.clone(),
            });
        }
        let has = |name: &str| puts.iter().any(|put| put.column.name == name);
        // By it rows that are there are found.
        let key = match import.on_conflict {
            OnConflict::Update => key(table).unwrap_or_default(),
            OnConflict::Error | OnConflict::Skip => &[],
        };
        for name in key.iter().filter(|name| !has(name)) {
            failed = true;
            let problem = format!(
                "the file has no values for {name:?}, by which rows of {} are found",
                table.name
            );
            faults.add(Some(section.place), problem);
        }
        let sets = puts.iter().any(|put| !key.contains(&put.column.name));
        let updates = !key.is_empty() && sets;
        let mut changes_only = false;
        for column in &table.columns {
            let needed = !column.nullable
                && column.default.is_none()
                && !column.numbered
                && column.generated.is_none();
            if !needed || has(&column.name) || key.contains(&column.name) {
                continue;
            }
            changes_only |= updates;
            if check && !updates {
                failed = true;
                let problem = format!(
                    "the column {:?} is missing, which cannot be NULL and has no default",
                    column.name
                );
                faults.add(Some(section.place), problem);
            }
        }
        // PostgreSQL has tables without columns.
        if puts.is_empty() && !failed && !table.columns.is_empty() {
            failed = true;
            faults.add(Some(section.place), "there is no column to import");
        }
        (!failed).then(|| Self {
            sql_name: sql_name(&table.name),
            table: table.clone(),
            puts,
            computed,
            is_virtual: tables.is_virtual(table),
            changes_only,
        })
    }

    /// The columns as SQL has them.
    pub(super) fn columns(&self) -> String {
        let names: Vec<_> = self
            .puts
            .iter()
            .map(|put| quote(&put.column.name))
            .collect();
        names.join(", ")
    }

    /// Whether a row can be known to be there already.
    pub(super) fn has_key(&self) -> bool {
        let table = &self.table;
        table.primary_key.is_some()
            || !table.uniques.is_empty()
            || table.indexes.iter().any(|index| index.unique)
    }

    /// What follows an INSERT, so that a row that is there already is left or changed.
    pub(super) fn on_conflict(&self, policy: OnConflict) -> Result<String, Error> {
        match policy {
            OnConflict::Error => Ok(String::new()),
            // Virtual tables know no such clause, and have no keys.
            OnConflict::Skip if self.is_virtual => Ok(String::new()),
            OnConflict::Skip => Ok(" ON CONFLICT DO NOTHING".to_owned()),
            OnConflict::Update => {
                let key = self.update_key()?;
                let list: Vec<_> = key.iter().map(|name| quote(name)).collect();
                let list = list.join(", ");
                let set: Vec<_> = self
                    .updated(key)
                    .iter()
                    .map(|(_, name)| format!("{name} = excluded.{name}"))
                    .collect();
                Ok(if set.is_empty() {
                    format!(" ON CONFLICT ({list}) DO NOTHING")
                } else {
                    format!(" ON CONFLICT ({list}) DO UPDATE SET {}", set.join(", "))
                })
            }
        }
    }

    /// The key by which rows are updated, all of which the file has.
    pub(super) fn update_key(&self) -> Result<&[String], Error> {
        key(&self.table).ok_or_else(|| {
            Error::Usage(format!(
                "{} has no key by which a row could be found and updated; --table names the tables that \
                 are to be imported, without it",
                self.table.name
            ))
        })
    }

    /// The columns that an update gives new values, as SQL has them, with their places in a row.
    pub(super) fn updated(&self, key: &[String]) -> Vec<(usize, String)> {
        let puts = self.puts.iter().enumerate();
        puts.filter(|(_, put)| !key.contains(&put.column.name))
            .map(|(place, put)| (place, quote(&put.column.name)))
            .collect()
    }

    /// What helps against a row that the engine refuses for such a reason.
    pub(super) fn help(&self, policy: OnConflict, broken: Option<ConstraintKind>) -> &'static str {
        match broken {
            Some(ConstraintKind::Unique) => policy.help(),
            Some(ConstraintKind::NotNull) if self.changes_only => {
                "; no row with this key is there, and the file lacks what a new one needs"
            }
            _ => "",
        }
    }

    /// The columns that hold the parts of a foreign key, if the file has all of them.
    pub(super) fn of_key(&self, key: &ForeignKey) -> Option<Vec<&Put>> {
        key.columns
            .iter()
            .map(|name| self.puts.iter().find(|put| put.column.name == *name))
            .collect()
    }

    /// A query for the values of a foreign key to which there is no row, at most so many.
    pub(super) fn orphans(&self, tables: &Tables, key: &ForeignKey, most: usize) -> Option<String> {
        let parent = tables.find(&key.references)?;
        let parent_columns = if key.referenced_columns.is_empty() {
            &parent.primary_key.as_ref()?.columns
        } else {
            &key.referenced_columns
        };
        let own: Vec<_> = key
            .columns
            .iter()
            .map(|name| format!("c.{}", quote(name)))
            .collect();
        let there: Vec<_> = own
            .iter()
            .map(|name| format!("{name} IS NOT NULL"))
            .collect();
        let same: Vec<_> = own
            .iter()
            .zip(parent_columns)
            .map(|(own, theirs)| format!("p.{} = {own}", quote(theirs)))
            .collect();
        Some(format!(
            "SELECT DISTINCT {} FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}) \
             LIMIT {most}",
            own.join(", "),
            self.sql_name,
            there.join(" AND "),
            sql_name(&parent.name),
            same.join(" AND "),
        ))
    }
}

/// The key by which a row that is there already is found: the primary key, else the only unique
/// constraint.
fn key(table: &Table) -> Option<&[String]> {
    let only = match table.uniques.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    Some(&table.primary_key.as_ref().or(only)?.columns)
}

/// What separates the fields of a file that seems to have one column only.
fn other_separator(table: &Table, section: &Section) -> Option<&'static str> {
    let [header] = section.columns.as_slice() else {
        return None;
    };
    let separators = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    let found = separators.into_iter().find(|(separator, _)| {
        let mut names = header.split(*separator);
        let is_column = |name: &str| column(table, name.trim_matches('"')).is_some();
        header.contains(*separator) && names.any(is_column)
    });
    found.map(|(_, told)| told)
}

fn column<'t>(table: &'t Table, name: &str) -> Option<&'t Column> {
    table.column(name).or_else(|| {
        let mut alike = table
            .columns
            .iter()
            .filter(|c| c.name.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    })
}
