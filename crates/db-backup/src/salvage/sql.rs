//! Salvage through SQLite itself, for files whose pages only it can read.

use std::path::Path;

use db_core::{Access, Conn, Connection, DatabaseUrl, EncryptionKey, Engine, ErrorKind, Interrupt};
use diesel::deserialize::{self, FromSql};
use diesel::row::{Field, NamedRow};
use diesel::sql_types::{BigInt, Binary, Double, Text};
use diesel::sqlite::{Sqlite, SqliteType};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::pages::{Encoding, Header};
use super::record::{Row, Value};
use super::schema::{Entry, Kind};
use super::target::{Stray, Table, Target, quote};
use super::{Report, TableReport, define_rest, finish, is_internal};
use crate::Error;

const DOING: &str = "salvage";

/// Rows read at once while nothing is in the way.
const BATCH: u32 = 256;

/// How often a gap is looked into, for each table.
const PROBES: u32 = 2_000;

/// How many lines of damage are shown.
const MOST_FINDINGS: u32 = 20;

#[derive(QueryableByName)]
struct Object {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    sql: String,
    #[diesel(sql_type = BigInt)]
    rootpage: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Any row; the first column is its rowid.
struct AnyRow(Vec<Value>);

impl QueryableByName<Sqlite> for AnyRow {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let mut values = Vec::with_capacity(row.field_count());
        for at in 0..row.field_count() {
            let field = diesel::row::Row::get(row, at);
            let value = field.as_ref().and_then(Field::value);
            let Some(value) = value else {
                values.push(Value::Null);
                continue;
            };
            values.push(match value.value_type() {
                None => Value::Null,
                Some(SqliteType::Text) => {
                    let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
                    Value::Text(text.into_bytes())
                }
                Some(SqliteType::Float | SqliteType::Double) => {
                    Value::Real(<f64 as FromSql<Double, Sqlite>>::from_sql(value)?)
                }
                Some(SqliteType::Binary) => {
                    Value::Blob(<Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?)
                }
                Some(_) => Value::Integer(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?),
            });
        }
        Ok(Self(values))
    }
}

/// What SQLite finds wrong.
pub(super) fn findings(connection: &mut Connection) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT integrity_check AS line FROM pragma_integrity_check
         WHERE integrity_check <> 'ok' LIMIT {MOST_FINDINGS}"
    );
    let lines = sql_query(sql).load::<Line>(sqlite(connection)?);
    Ok(lines
        .map_err(|e| trouble(&e))?
        .into_iter()
        .map(|row| row.line)
        .collect())
}

/// Reads the copy through SQLite into a new file.
pub(super) fn read(
    copy: &Path,
    draft: &Path,
    key: Option<&EncryptionKey>,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let url = DatabaseUrl::SqliteFile(copy.to_owned());
    let mut source = Connection::open_encrypted(&url, Access::ReadWrite, interrupt, key)
        .map_err(|e| Error::database(DOING, e))?;
    let conn = sqlite(&mut source)?;
    let number = |conn: &mut SqliteConnection, pragma: &str| {
        let sql = format!("SELECT CAST({pragma} AS TEXT) AS line FROM pragma_{pragma}");
        let rows = sql_query(sql).load::<Line>(conn).map_err(|e| trouble(&e))?;
        let parsed = rows.first().and_then(|row| row.line.parse::<i64>().ok());
        Ok::<i64, Error>(parsed.unwrap_or(0))
    };
    let header = Header {
        is_intact: true,
        page_size: u32::try_from(number(conn, "page_size")?).unwrap_or(4096),
        reserved: 0,
        // SQLite hands text out as UTF-8.
        encoding: Encoding::Utf8,
        freelist: 0,
        free_pages: 0,
        user_version: i32::try_from(number(conn, "user_version")?).unwrap_or(0),
        application_id: i32::try_from(number(conn, "application_id")?).unwrap_or(0),
    };
    let entries = entries(conn)?;
    let mut report = Report {
        page_size: header.page_size,
        header_is_intact: true,
        schema_is_whole: true,
        freelist_is_whole: true,
        ..Report::default()
    };
    let mut target = Target::create(draft, &header, key, interrupt)?;
    for planned in super::define_tables(&mut target, &entries, &mut report)? {
        let Some(table) = &planned.table else {
            continue;
        };
        let mut reading = Reading {
            conn: sqlite(&mut source)?,
            target: &mut target,
            table,
            told: TableReport {
                name: table.name.clone(),
                ..TableReport::default()
            },
            probes: PROBES,
        };
        reading.run()?;
        let told = reading.told;
        report.lost_and_found_rows += told.refused_rows;
        if !is_internal(&told.name) {
            report.tables.push(told);
        }
    }
    define_rest(&mut target, &entries, &mut report)?;
    finish(target, &mut report)?;
    Ok(report)
}

fn entries(conn: &mut SqliteConnection) -> Result<Vec<Entry>, Error> {
    let sql =
        "SELECT type AS kind, name, coalesce(sql, '') AS sql, coalesce(rootpage, 0) AS rootpage
               FROM sqlite_schema";
    let rows = sql_query(sql)
        .load::<Object>(conn)
        .map_err(|e| trouble(&e))?;
    let entry = |row: Object| {
        Some(Entry {
            kind: match row.kind.as_str() {
                "table" => Kind::Table,
                "index" => Kind::Index,
                "view" => Kind::View,
                "trigger" => Kind::Trigger,
                _ => return None,
            },
            name: row.name,
            root: u32::try_from(row.rootpage).ok()?,
            sql: row.sql,
        })
    };
    Ok(rows.into_iter().filter_map(entry).collect())
}

/// One table, read around what is damaged.
struct Reading<'r> {
    conn: &'r mut SqliteConnection,
    target: &'r mut Target,
    table: &'r Table,
    told: TableReport,
    probes: u32,
}

/// Which way to read.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<(), Error> {
        if !self.table.has_rowid {
            return self.keyed();
        }
        self.range(i64::MIN, i64::MAX)
    }

    /// Reads from both ends to the damage, and then looks into the gap.
    fn range(&mut self, low: i64, high: i64) -> Result<(), Error> {
        let mut open = vec![(low, high)];
        while let Some((low, high)) = open.pop() {
            if low > high || self.probes == 0 {
                continue;
            }
            self.probes -= 1;
            let Err(low) = self.run_of(Way::Up, low, high)? else {
                continue;
            };
            let Err(high) = self.run_of(Way::Down, low, high)? else {
                continue;
            };
            self.told.damaged_cells += 1;
            if low >= high {
                continue;
            }
            // Half of the way, which 64 bits may not hold.
            let middle = (low & high) + ((low ^ high) >> 1);
            open.push((low.saturating_add(1), middle));
            open.push((middle.saturating_add(1), high.saturating_sub(1)));
        }
        Ok(())
    }

    /// Reads one way; `Err` is the rowid at which it could not go on.
    fn run_of(&mut self, way: Way, low: i64, high: i64) -> Result<Result<(), i64>, Error> {
        let (mut low, mut high) = (low, high);
        let mut batch = BATCH;
        loop {
            let columns = self.table.columns();
            let order = if way == Way::Up { "" } else { "DESC" };
            let rowid = self.table.rowid();
            let sql = format!(
                "SELECT {rowid}, {columns} FROM main.{} NOT INDEXED
                 WHERE {rowid} BETWEEN {low} AND {high} ORDER BY {rowid} {order} LIMIT {batch}",
                quote(&self.table.name)
            );
            match sql_query(sql).load::<AnyRow>(self.conn) {
                Ok(rows) => {
                    let is_last = rows.len() < batch as usize;
                    for AnyRow(mut values) in rows {
                        let Value::Integer(id) = values.remove(0) else {
                            continue;
                        };
                        self.keep(Some(id), values)?;
                        match way {
                            Way::Up if id == i64::MAX => return Ok(Ok(())),
                            Way::Up => low = id + 1,
                            Way::Down if id == i64::MIN => return Ok(Ok(())),
                            Way::Down => high = id - 1,
                        }
                    }
                    if is_last || low > high {
                        return Ok(Ok(()));
                    }
                }
                Err(error) => {
                    damage(&error)?;
                    if batch == 1 {
                        return Ok(Err(if way == Way::Up { low } else { high }));
                    }
                    batch = 1;
                }
            }
        }
    }

    /// A table WITHOUT ROWID is read from its beginning to the damage.
    fn keyed(&mut self) -> Result<(), Error> {
        let mut offset = 0_u64;
        let mut batch = BATCH;
        loop {
            let sql = format!(
                "SELECT {} FROM main.{} NOT INDEXED LIMIT {batch} OFFSET {offset}",
                self.table.columns(),
                quote(&self.table.name)
            );
            match sql_query(sql).load::<AnyRow>(self.conn) {
                Ok(rows) => {
                    let is_last = rows.len() < batch as usize;
                    offset += rows.len() as u64;
                    for AnyRow(values) in rows {
                        self.keep(None, values)?;
                    }
                    if is_last {
                        return Ok(());
                    }
                }
                Err(error) => {
                    damage(&error)?;
                    if batch == 1 {
                        self.told.damaged_cells += 1;
                        return Ok(());
                    }
                    batch = 1;
                }
            }
        }
    }

    fn keep(&mut self, rowid: Option<i64>, values: Vec<Value>) -> Result<(), Error> {
        let row = Row { rowid, values };
        let refused = if is_internal(&self.table.name) {
            super::set_sequence(self.target, &row)?
        } else {
            self.target.insert(self.table, &row)?
        };
        match refused {
            None => self.told.rows += 1,
            Some(reason) => {
                self.told.refused_rows += 1;
                let stray = Stray {
                    root: 0,
                    page: 0,
                    table: Some(&self.table.name),
                    reason: &reason,
                };
                self.target.keep_stray(stray, &row)?;
            }
        }
        Ok(())
    }
}

/// Goes on after damage, and after nothing else.
fn damage(error: &diesel::result::Error) -> Result<(), Error> {
    let error = db_core::Error::classify(Engine::Sqlite, error);
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::NotADatabase | ErrorKind::Io | ErrorKind::Other => Ok(()),
        _ => Err(Error::database(DOING, error)),
    }
}

fn trouble(error: &diesel::result::Error) -> Error {
    Error::database(DOING, db_core::Error::classify(Engine::Sqlite, error))
}

fn sqlite(connection: &mut Connection) -> Result<&mut SqliteConnection, Error> {
    match connection.conn() {
        Conn::Sqlite(conn) => Ok(conn),
        Conn::Postgres(_) => Err(Error::usage("salvage is for SQLite files", "")),
    }
}
