//! The new database that salvaged rows are put into.

use std::path::Path;

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine, ErrorKind, Interrupt};
use diesel::connection::SimpleConnection;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{BigInt, Binary, Double, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::definition;
use super::pages::Header;
use super::record::{Row, Value};
use super::schema::Entry;
use crate::Error;

const DOING: &str = "salvage";

/// Columns of `lost_and_found` before those of the row.
const OWN_COLUMNS: &str =
    "root INTEGER, page INTEGER, of_table TEXT, reason TEXT, row_id INTEGER, fields INTEGER";

/// SQLite's limit of columns, without ours.
const MOST_FIELDS: usize = 1_900;

/// A table of the new database.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) has_rowid: bool,
    /// The columns in the order in which a record holds them; `None` for one that is computed.
    stored: Vec<Option<String>>,
    /// Where the record has nothing because the column is the rowid.
    alias: Option<usize>,
    /// A name by which the rowid can be set, if a column has not taken all of them.
    rowid_name: Option<&'static str>,
}

impl Table {
    /// How many values a whole record has.
    pub(super) const fn width(&self) -> usize {
        self.stored.len()
    }

    /// The columns in the order of a record, for a SELECT.
    pub(super) fn columns(&self) -> String {
        let columns = self.stored.iter().map(|column| match column {
            Some(name) => quote(name),
            None => "NULL".to_owned(),
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The rowid, by whichever name it goes.
    pub(super) fn rowid(&self) -> String {
        let alias = self.alias.and_then(|at| self.stored.get(at)?.as_deref());
        match (self.rowid_name, alias) {
            (Some(name), _) => name.to_owned(),
            (None, Some(alias)) => quote(alias),
            (None, None) => "rowid".to_owned(),
        }
    }
}

/// Where a row without a table came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stray<'s> {
    pub(super) root: u32,
    pub(super) page: u32,
    pub(super) table: Option<&'s str>,
    pub(super) reason: &'s str,
}

/// The new file, until it is whole.
pub(super) struct Target {
    connection: Connection,
    lost_table: Option<String>,
    lost_width: usize,
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    pk: i64,
    #[diesel(sql_type = BigInt)]
    hidden: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

impl Target {
    /// An empty database with the page size, encoding and marks of the damaged one.
    pub(super) fn create(
        path: &Path,
        header: &Header,
        key: Option<&db_core::EncryptionKey>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let url = DatabaseUrl::SqliteFile(path.to_owned());
        let connection = Connection::open_encrypted(&url, Access::Create, interrupt, key)
            .map_err(|e| Error::database(DOING, e))?;
        let mut target = Self {
            connection,
            lost_table: None,
            lost_width: 0,
        };
        // Nothing here has to survive a crash, but a refused row must be undone.
        let page_size = if key.is_some() {
            String::new()
        } else {
            format!("PRAGMA page_size = {};", header.page_size)
        };
        target.execute(&format!(
            "{page_size}
             PRAGMA encoding = '{}';
             PRAGMA journal_mode = MEMORY;
             PRAGMA synchronous = OFF;
             PRAGMA foreign_keys = OFF;
             PRAGMA user_version = {};
             PRAGMA application_id = {};
             BEGIN",
            header.encoding.pragma(),
            header.user_version,
            header.application_id
        ))?;
        Ok(target)
    }

    /// Runs one statement of the old schema; `Some` is why it cannot be.
    pub(super) fn define(&mut self, entry: &Entry) -> Result<Option<String>, Error> {
        if let Some(objection) = definition::objection(entry) {
            return Ok(Some(objection.to_owned()));
        }
        // One statement only: what follows a semicolon is never run.
        let done = sql_query(&entry.sql).execute(self.sqlite()?);
        done.map_or_else(
            |e| refused(db_core::Error::classify(Engine::Sqlite, &e)),
            |_| Ok(None),
        )
    }

    /// The columns of a table that was defined.
    pub(super) fn table(&mut self, name: &str) -> Result<Table, Error> {
        let columns = self.load_with::<Column>(
            "SELECT name, upper(type) AS kind, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid",
            name,
        )?;
        let has_rowid = self
            .load_with::<Number>(
                "SELECT wr AS n FROM pragma_table_list WHERE schema = 'main' AND name = ?",
                name,
            )?
            .first()
            .is_none_or(|row| row.n == 0);
        let mut stored: Vec<&Column> = columns.iter().filter(|c| c.hidden != 2).collect();
        if !has_rowid {
            // The key first, in its own order.
            stored.sort_by_key(|c| if c.pk > 0 { c.pk } else { i64::MAX });
        }
        let mut keys = columns.iter().filter(|c| c.pk > 0);
        let alias = match (keys.next(), keys.next()) {
            (Some(key), None) if has_rowid && key.kind == "INTEGER" => {
                stored.iter().position(|c| c.name == key.name)
            }
            _ => None,
        };
        let rowid_name = ["rowid", "_rowid_", "oid"].into_iter().find(|name| {
            let is_taken = columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
            has_rowid && !is_taken
        });
        Ok(Table {
            name: name.to_owned(),
            has_rowid,
            stored: stored
                .iter()
                .map(|c| (c.hidden == 0).then(|| c.name.clone()))
                .collect(),
            alias,
            rowid_name,
        })
    }

    /// Puts a row into its table; `Some` is why it cannot be there.
    pub(super) fn insert(&mut self, table: &Table, row: &Row) -> Result<Option<String>, Error> {
        if row.values.len() > table.width() {
            return Ok(Some(
                "it has more values than the table has columns".to_owned(),
            ));
        }
        let mut names = Vec::new();
        let mut values = Vec::new();
        let rowid = row.rowid.map(Value::Integer);
        if let (Some(name), Some(rowid)) = (table.rowid_name, &rowid) {
            names.push(name.to_owned());
            values.push(rowid);
        }
        for (at, (column, value)) in table.stored.iter().zip(&row.values).enumerate() {
            let Some(column) = column else { continue };
            let value = match (table.alias, &rowid) {
                (Some(alias), Some(rowid)) if alias == at => {
                    if table.rowid_name.is_some() {
                        continue;
                    }
                    rowid
                }
                _ => value,
            };
            names.push(quote(column));
            values.push(value);
        }
        let sql = format!(
            "INSERT INTO main.{} ({}) VALUES ({})",
            quote(&table.name),
            names.join(", "),
            places(&values)
        );
        self.put(&sql, &[], &values)
    }

    /// Keeps a row that belongs to no table, or that its table refuses.
    pub(super) fn keep_stray(&mut self, stray: Stray<'_>, row: &Row) -> Result<(), Error> {
        let width = row.values.len().min(MOST_FIELDS);
        let table = self.lost_and_found(width)?;
        let values: Vec<&Value> = row.values.iter().take(width).collect();
        let mut names = String::from("root, page, of_table, reason, row_id, fields");
        names.extend((0..width).map(|at| format!(", c{at}")));
        let of_table = stray.table.map_or(Value::Null, text);
        let own = [
            Value::Integer(stray.root.into()),
            Value::Integer(stray.page.into()),
            of_table,
            text(stray.reason),
            row.rowid.map_or(Value::Null, Value::Integer),
            Value::Integer(i64::try_from(row.values.len()).unwrap_or(i64::MAX)),
        ];
        let own: Vec<&Value> = own.iter().collect();
        let all: Vec<&Value> = own.iter().chain(&values).copied().collect();
        // Ours are in UTF-8, whatever the encoding of the file.
        let places = std::iter::repeat_n("?", own.len())
            .map(ToOwned::to_owned)
            .chain((!values.is_empty()).then(|| places(&values)))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "INSERT INTO main.{} ({names}) VALUES ({places})",
            quote(&table)
        );
        match self.put(&sql, &all[..own.len()], &all[own.len()..])? {
            None => Ok(()),
            Some(reason) => Err(Error::Unsound {
                name: table,
                findings: vec![reason],
            }),
        }
    }

    /// The table for rows without a table, with so many columns.
    fn lost_and_found(&mut self, width: usize) -> Result<String, Error> {
        let name = if let Some(name) = self.lost_table.clone() {
            name
        } else {
            let mut number = 0;
            let name = loop {
                let name = match number {
                    0 => "lost_and_found".to_owned(),
                    n => format!("lost_and_found_{n}"),
                };
                let taken = self.load_with::<Number>(
                    "SELECT count(*) AS n FROM sqlite_schema WHERE name = ? COLLATE NOCASE",
                    &name,
                )?;
                if taken.first().is_none_or(|row| row.n == 0) {
                    break name;
                }
                number += 1;
            };
            self.execute(&format!(
                "CREATE TABLE main.{} ({OWN_COLUMNS})",
                quote(&name)
            ))?;
            self.lost_table = Some(name.clone());
            name
        };
        while self.lost_width < width {
            let sql = format!(
                "ALTER TABLE main.{} ADD COLUMN c{}",
                quote(&name),
                self.lost_width
            );
            self.execute(&sql)?;
            self.lost_width += 1;
        }
        Ok(name)
    }

    /// Ends the writing, and looks at what has become of it: what is wrong, and which rows have no
    /// parent.
    pub(super) fn finish(&mut self) -> Result<(Vec<String>, Vec<String>), Error> {
        self.execute("COMMIT")?;
        let integrity = self.load::<Line>(
            "SELECT integrity_check AS line FROM pragma_integrity_check
             WHERE integrity_check <> 'ok'",
        )?;
        let orphans = self.load::<Line>(
            "SELECT count(*) || ' rows of ' || \"table\" || ' have no parent in ' || parent AS line
             FROM pragma_foreign_key_check GROUP BY \"table\", parent",
        )?;
        let lines = |rows: Vec<Line>| rows.into_iter().map(|row| row.line).collect();
        self.execute("PRAGMA journal_mode = DELETE")?;
        Ok((lines(integrity), lines(orphans)))
    }

    /// The name of the table for rows without a table, if there are any.
    pub(super) fn lost_table(&self) -> Option<&str> {
        self.lost_table.as_deref()
    }

    pub(super) fn execute(&mut self, sql: &str) -> Result<(), Error> {
        let done = self.sqlite()?.batch_execute(sql);
        done.map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Sqlite, &e)))
    }

    fn put(
        &mut self,
        sql: &str,
        own: &[&Value],
        values: &[&Value],
    ) -> Result<Option<String>, Error> {
        let mut query: BoxedSqlQuery<'_, Sqlite, _> = sql_query(sql).into_boxed();
        for value in own {
            query = match value {
                Value::Null => query.bind::<Nullable<BigInt>, _>(None::<i64>),
                Value::Integer(n) => query.bind::<BigInt, _>(*n),
                Value::Real(n) => query.bind::<Double, _>(*n),
                Value::Text(bytes) => {
                    query.bind::<Text, _>(String::from_utf8_lossy(bytes).into_owned())
                }
                Value::Blob(bytes) => query.bind::<Binary, _>(bytes.as_slice()),
            };
        }
        for value in values {
            query = match value {
                Value::Null => query.bind::<Nullable<BigInt>, _>(None::<i64>),
                Value::Integer(n) => query.bind::<BigInt, _>(*n),
                Value::Real(n) => query.bind::<Double, _>(*n),
                // Cast back to text in the statement, so that no byte of it is lost.
                Value::Text(bytes) | Value::Blob(bytes) => {
                    query.bind::<Binary, _>(bytes.as_slice())
                }
            };
        }
        let done = query.execute(self.sqlite()?);
        done.map_or_else(
            |e| refused(db_core::Error::classify(Engine::Sqlite, &e)),
            |_| Ok(None),
        )
    }

    fn load<T>(&mut self, sql: &str) -> Result<Vec<T>, Error>
    where
        T: QueryableByName<Sqlite> + 'static,
    {
        let rows = sql_query(sql).load::<T>(self.sqlite()?);
        rows.map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Sqlite, &e)))
    }

    fn load_with<T>(&mut self, sql: &str, name: &str) -> Result<Vec<T>, Error>
    where
        T: QueryableByName<Sqlite> + 'static,
    {
        let rows = sql_query(sql)
            .bind::<Text, _>(name)
            .load::<T>(self.sqlite()?);
        rows.map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Sqlite, &e)))
    }

    fn sqlite(&mut self) -> Result<&mut SqliteConnection, Error> {
        match self.connection.conn() {
            Conn::Sqlite(conn) => Ok(conn),
            Conn::Postgres(_) => Err(Error::usage("salvage is for SQLite files", "")),
        }
    }
}

/// A refusal of the row or the definition itself; everything else is an error.
fn refused(error: db_core::Error) -> Result<Option<String>, Error> {
    match error.kind() {
        ErrorKind::Constraint
        | ErrorKind::InvalidValue
        | ErrorKind::Statement
        | ErrorKind::AlreadyExists
        | ErrorKind::Other => Ok(Some(error.message().to_owned())),
        _ => Err(Error::database(DOING, error)),
    }
}

/// A place for each value; text comes as bytes, and is text again in the encoding of the file.
fn places(values: &[&Value]) -> String {
    let places: Vec<&str> = values
        .iter()
        .map(|value| match value {
            Value::Text(_) => "CAST(? AS TEXT)",
            _ => "?",
        })
        .collect();
    places.join(", ")
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
