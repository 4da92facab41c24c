//! The tables of the target.

use std::collections::HashMap;

use db_core::bulk::{PostgresBulk, SqliteBulk};
use db_core::{Conn, Engine};
use db_migrate::catalog::Scope;
use db_migrate::catalog::model::{Column, LogicalType, Model, Table};

use super::names::{decoded, parts, quote};
use crate::Error;
use crate::nearest;
use crate::shape::{Shape, TableKind};

/// The defaults of columns that have none but that of their domain: the schema unless it is home, table,
/// column, default.
const DOMAINS: &str = "SELECT CASE WHEN n.nspname <> 'public' THEN n.nspname END, c.relname, a.attname, \
     pg_get_expr(t.typdefaultbin, 0) FROM pg_catalog.pg_attribute AS a \
     JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid AND t.typtype = 'd' AND t.typdefaultbin IS NOT NULL \
     JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT a.atthasdef";

/// The tables that there are.
pub(super) struct Tables {
    pub(super) engine: Engine,
    model: Model,
    /// Those whose rows a module of SQLite keeps.
    virtual_tables: Vec<String>,
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

    /// Adds the defaults of domains to the columns of PostgreSQL's tables that have them.
    pub(super) fn with_domains(mut self, bulk: &mut PostgresBulk) -> Result<Self, Error> {
        let rows = bulk
            .rows(DOMAINS)
            .map_err(|source| super::database("reading the tables", source))?;
        for row in rows {
            let [schema, name, column, default] = row.as_slice() else {
                continue;
            };
            let whole: Vec<&String> = schema.iter().chain(name).collect();
            let is_same =
                |table: &&mut Table| parts(&table.name).iter().collect::<Vec<_>>() == whole;
            let table = self.model.tables.iter_mut().find(is_same);
            let columns = table.into_iter().flat_map(|table| &mut table.columns);
            for there in columns.filter(|there| Some(&there.name) == column.as_ref()) {
                there.default.clone_from(default);
            }
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

    /// What is said of a table that is not there.
    pub(super) fn missing(&self, name: &str) -> String {
        nearest::no_table(name, self.model.tables.iter().map(|t| t.name.as_str()))
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

    /// Whether a module of SQLite keeps the rows of this table.
    pub(super) fn is_virtual(&self, table: &Table) -> bool {
        self.virtual_tables.contains(&table.name)
    }
}
