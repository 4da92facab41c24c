//! The tables of the target, and which column of a file goes where.

use std::collections::HashMap;

use db_core::bulk::SqliteBulk;
use db_core::{Conn, ConstraintKind, Engine, ErrorKind};
use db_migrate::catalog::Scope;
use db_migrate::catalog::model::{Column, ForeignKey, LogicalType, Model, Table};

use super::OnConflict;
use super::fault::Faults;
use crate::Error;
use crate::format::Section;
use crate::shape::{Shape, TableKind};

pub(super) use crate::shape::quoted as quote;

/// The tables that there are.
pub(super) struct Tables {
    pub(super) engine: Engine,
    model: Model,
    /// Those whose rows a module of SQLite keeps.
    virtual_tables: Vec<String>,
}

/// A column of a file that goes into one of the table.
#[derive(Debug, Clone)]
pub(super) struct Put {
    /// Which value of a row.
    pub(super) index: usize,
    pub(super) column: Column,
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

impl Tables {
    /// Reads the catalog.
    pub(super) fn read(conn: &mut Conn<'_>) -> Result<Self, Error> {
        let engine = conn.engine();
        let model = Model::read(conn, &Scope::default()).map_err(|error| Error::Database {
            doing: "reading the tables".to_owned(),
            source: db_core::Error::classify(engine, &error),
        })?;
        Ok(Self {
            engine,
            model,
            virtual_tables: Vec::new(),
        })
    }

    /// Adds the virtual tables of a SQLite database, which take rows like others.
    pub(super) fn with_virtual(mut self, bulk: &SqliteBulk) -> Result<Self, Error> {
        let shape = Shape::of_sqlite(bulk)
            .map_err(|source| super::database("reading the tables", source))?;
        let tables = shape.tables.into_iter();
        for table in tables.filter(|table| table.kind == TableKind::Virtual) {
            let name = table.name.name.as_str();
            let name = if name.contains(['.', '"']) {
                quote(name)
            } else {
                name.to_owned()
            };
            let columns = table.columns.into_iter().zip(1..);
            let columns = columns.map(|(column, position)| Column {
                name: column.name,
                position,
                // Whatever comes: the module says what it takes.
                declared_type: String::new(),
                logical_type: LogicalType::Blob,
                nullable: true,
                default: None,
                numbered: false,
                generated: None,
                comment: None,
            });
            self.virtual_tables.push(name.clone());
            self.model.tables.push(Table {
                name,
                columns: columns.collect(),
                ..Table::default()
            });
        }
        Ok(self)
    }

    /// The table of this name: as it is written, else the only one that differs in case alone.
    pub(super) fn find(&self, name: &str) -> Option<&Table> {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let decoded = decoded(name);
        let exact = |table: &&Table| table.name == name || table.name == quoted;
        // As an export names it: its schema, a point and its name, and in the name of a file encoded.
        let plain = |table: &&Table| {
            let plain = parts(&table.name).join(".");
            plain == name || Some(&plain) == decoded.as_ref()
        };
        let tables = &self.model.tables;
        let found = tables.iter().find(exact);
        found.or_else(|| tables.iter().find(plain)).or_else(|| {
            let mut alike = self.model.tables.iter().filter(|table| {
                table.name.eq_ignore_ascii_case(name) || table.name.eq_ignore_ascii_case(&quoted)
            });
            alike.next().filter(|_| alike.next().is_none())
        })
    }

    /// The names of all tables, for a message.
    pub(super) fn listed(&self) -> String {
        listed(self.model.tables.iter().map(|table| table.name.as_str()))
    }

    /// How far each table stands behind those that it refers to; a circle has no first one.
    pub(super) fn ranks(&self) -> HashMap<&str, usize> {
        let tables = &self.model.tables;
        let mut ranks: HashMap<&str, usize> = tables
            .iter()
            .map(|table| (table.name.as_str(), 0))
            .collect();
        // The longest way through the tables has no more steps than there are tables.
        for _ in tables {
            let mut changed = false;
            for table in tables {
                let parents = table
                    .foreign_keys
                    .iter()
                    .filter(|k| k.references != table.name);
                let rank = parents
                    .filter_map(|key| ranks.get(key.references.as_str()))
                    .max()
                    .map_or(0, |rank| rank + 1);
                if rank <= tables.len() && ranks.insert(&table.name, rank) != Some(rank) {
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        ranks
    }

    /// Puts the columns of a file and of a table together; what does not fit is a fault.
    pub(super) fn plan(
        &self,
        table: &Table,
        section: &Section,
        import: &super::Import,
        faults: &mut Faults,
    ) -> Option<Plan> {
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
            let numbers = self.engine == Engine::Sqlite && column.numbered;
            puts.push(Put {
                index,
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
        (!failed).then(|| Plan {
            sql_name: sql_name(&table.name),
            table: table.clone(),
            puts,
            computed,
            is_virtual: self.virtual_tables.contains(&table.name),
            changes_only,
        })
    }
}

impl Plan {
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

/// The name that the catalog gives to a table, as SQL has it.
///
/// The catalog quotes the parts of a name where they would be ambiguous, and separates them by a
/// point.
fn sql_name(name: &str) -> String {
    let parts: Vec<_> = parts(name).iter().map(|part| quote(part)).collect();
    parts.join(".")
}

/// The parts of a name that the catalog gives, without quotes.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut letters) = (false, name.chars().peekable());
    while let Some(letter) = letters.next() {
        let part = parts.last_mut();
        match (letter, quoted, part) {
            ('"', true, Some(part)) if letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            ('"', true, _) => quoted = false,
            ('"', false, Some(part)) if part.is_empty() => quoted = true,
            ('.', false, _) => parts.push(String::new()),
            (letter, _, Some(part)) => part.push(letter),
            (_, _, None) => {}
        }
    }
    parts
}

/// A name in which `%` and two digits stand for a byte.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match behind {
            [high, low, behind @ ..] if first == b'%' => {
                if !crate::format::unhex(&[*high, *low], &mut bytes) {
                    return None;
                }
                rest = behind;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A name in an example of a command.
fn shell(name: &str) -> String {
    if name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const MOST: usize = 40;
    let names: Vec<_> = names.collect();
    let shown = names
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0 => "none".to_owned(),
        n if n > MOST => format!("{shown} and {} more", n - MOST),
        _ => shown,
    }
}

/// Whether it is the data that the engine refuses, and not something that happened to it.
pub(super) fn is_refusal(error: &db_core::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Constraint | ErrorKind::InvalidValue | ErrorKind::Statement
    )
}

/// Whether a foreign key of SQLite refers to columns that are neither primary key nor unique, for which
/// every write to either table is refused where keys are enforced.
pub(super) fn mismatch(error: &db_core::Error) -> bool {
    error.message().contains("foreign key mismatch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_catalog_become_identifiers() {
        assert_eq!(sql_name("users"), "\"users\"");
        assert_eq!(sql_name("s.t"), "\"s\".\"t\"");
        assert_eq!(sql_name("\"a.b\""), "\"a.b\"");
        assert_eq!(sql_name("s.\"a\"\"; DROP\""), "\"s\".\"a\"\"; DROP\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
