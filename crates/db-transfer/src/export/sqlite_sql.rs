//! SQL that `sqlite3` loads into an empty database.

use db_core::bulk::{CellRef, SqliteBulk};

use super::csv::{hex, integer, real};
use super::sink::Sink;
use super::stream::Stream;
use super::{Plan, sqlite_few};
use crate::error::{Doing as _, Error};
use crate::shape::{Shape, Table, TableKind, is_among, literal, not_shadows, quoted};
use crate::source::columns;

/// What belongs to a table or stands alone, in the order in which it came to be. Views may be over
/// views, and triggers on views.
const LATER: &str = "SELECT tbl_name, sql FROM main.sqlite_schema \
     WHERE type IN ('index', 'view', 'trigger') AND sql IS NOT NULL \
     ORDER BY CASE type WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid";

pub(super) fn export(
    bulk: &SqliteBulk,
    plan: &Plan<'_>,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    let catalog = || "reading the catalog".to_owned();
    let start: &[u8] = if plan.has_schema() {
        b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"
    } else {
        b"BEGIN TRANSACTION;\nPRAGMA defer_foreign_keys=ON;\n"
    };
    stream.buffer.extend_from_slice(start);
    if plan.has_schema() && plan.is_whole {
        for pragma in ["application_id", "user_version"] {
            let rows = texts(bulk, &format!("SELECT {pragma} FROM pragma_{pragma}"), 1);
            for row in rows.doing(catalog)? {
                let line = format!("PRAGMA {pragma}={};\n", row.concat());
                stream.buffer.extend_from_slice(line.as_bytes());
            }
        }
    }
    for table in &plan.tables {
        if plan.has_schema() {
            let name = literal(&table.name.name);
            let of = format!(
                "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = {name}"
            );
            statements(&texts(bulk, &of, 1).doing(catalog)?, stream);
        }
        let rows = match table.kind {
            _ if !plan.has_data() => continue,
            // Without its definition it is a table like another, which its module fills.
            TableKind::Virtual if plan.has_schema() => {
                shadows(bulk, table, sink, stream)?;
                continue;
            }
            _ => insert(bulk, table, sink, stream)?,
        };
        stream.report.tables.push((table.name.to_string(), rows));
    }
    if plan.has_data() {
        sequences(bulk, plan, stream).doing(catalog)?;
    }
    if plan.has_schema() && !plan.is_whole {
        let missing = sqlite_few::missing(bulk, plan).doing(catalog)?;
        stream.report.warnings.extend(missing);
    }
    if plan.has_schema() {
        let wanted =
            |owner: &str| plan.is_whole || plan.tables.iter().any(|table| table.name.name == owner);
        let later = texts(bulk, LATER, 2).doing(catalog)?.into_iter();
        let later = later.filter(|row| row.first().is_some_and(|owner| wanted(owner)));
        let later: Vec<Vec<String>> = later.map(|row| row.into_iter().skip(1).collect()).collect();
        statements(&later, stream);
    }
    stream.buffer.extend_from_slice(b"COMMIT;\n");
    stream.flush(sink)
}

/// The tables in which a module keeps what it shows, made by it and filled by us.
fn shadows(
    bulk: &SqliteBulk,
    table: &Table,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    let catalog = || "reading the catalog".to_owned();
    let start = format!("{}_", table.name.name);
    let named = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow' ORDER BY name";
    let somebodys = not_shadows(bulk).doing(catalog)?;
    for name in texts(bulk, named, 1).doing(catalog)?.concat() {
        let is_its = name
            .get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(&start));
        if is_its && !is_among(&somebodys, &name) {
            let shadow = Shape::sqlite_table(bulk, &name).doing(catalog)?;
            let line = format!("DELETE FROM {};\n", quoted(&name));
            stream.buffer.extend_from_slice(line.as_bytes());
            insert(bulk, &shadow, sink, stream)?;
        }
    }
    Ok(())
}

/// The numbers that AUTOINCREMENT must not give again.
fn sequences(
    bulk: &SqliteBulk,
    plan: &Plan<'_>,
    stream: &mut Stream<'_>,
) -> Result<(), db_core::Error> {
    let there = "SELECT name FROM main.sqlite_schema WHERE name = 'sqlite_sequence'";
    if texts(bulk, there, 1)?.is_empty() {
        return Ok(());
    }
    for row in texts(
        bulk,
        "SELECT name, seq FROM main.sqlite_sequence ORDER BY name",
        2,
    )? {
        let [name, number] = row.as_slice() else {
            continue;
        };
        if plan.tables.iter().any(|table| table.name.name == *name) {
            let (name, number) = (literal(name), number.parse::<i64>().unwrap_or_default());
            let line = format!(
                "DELETE FROM sqlite_sequence WHERE name={name};\n\
                 INSERT INTO sqlite_sequence(name,seq) VALUES({name},{number});\n"
            );
            stream.buffer.extend_from_slice(line.as_bytes());
        }
    }
    Ok(())
}

fn statements(rows: &[Vec<String>], stream: &mut Stream<'_>) {
    for sql in rows.concat() {
        stream.buffer.extend_from_slice(sql.as_bytes());
        // A comment at its end must not take the semicolon with it.
        stream
            .buffer
            .extend_from_slice(if sql.contains("--") { b"\n;\n" } else { b";\n" });
    }
}

fn insert(
    bulk: &SqliteBulk,
    table: &Table,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<u64, Error> {
    let width = table.stored_columns().count();
    let names = if width == table.columns.len() && table.kind == TableKind::Plain {
        String::new()
    } else {
        format!(
            "({})",
            columns(table.stored_columns().map(|column| &column.name))
        )
    };
    let start = format!("INSERT INTO {}{names} VALUES(", table.name.quoted());
    stream.sqlite(bulk, table, sink, |row, out| {
        out.extend_from_slice(start.as_bytes());
        for at in 0..width {
            if at > 0 {
                out.push(b',');
            }
            value(row.cell(at)?, out);
        }
        out.extend_from_slice(b");\n");
        Ok(())
    })
}

/// A literal that reads as the same value of the same kind.
fn value(cell: CellRef<'_>, out: &mut Vec<u8>) {
    match cell {
        CellRef::Null => out.extend_from_slice(b"NULL"),
        CellRef::Integer(number) => integer(number, out),
        CellRef::Real(f64::INFINITY) => out.extend_from_slice(b"9e999"),
        CellRef::Real(f64::NEG_INFINITY) => out.extend_from_slice(b"-9e999"),
        CellRef::Real(number) => real(number, out),
        CellRef::Text(bytes) if is_plain(bytes) => {
            out.push(b'\'');
            for (at, part) in bytes.split(|byte| *byte == b'\'').enumerate() {
                if at > 0 {
                    out.extend_from_slice(b"''");
                }
                out.extend_from_slice(part);
            }
            out.push(b'\'');
        }
        CellRef::Text(bytes) => {
            out.extend_from_slice(b"CAST(X'");
            hex(bytes, out);
            out.extend_from_slice(b"' AS TEXT)");
        }
        CellRef::Blob(bytes) => {
            out.extend_from_slice(b"X'");
            hex(bytes, out);
            out.push(b'\'');
        }
    }
}

/// Whether a text can stand in a script as it is: a NUL ends one, and the shell drops a carriage
/// return before a line end.
fn is_plain(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, 0 | b'\r')) && std::str::from_utf8(text).is_ok()
}

/// The cells of a small answer as texts; NULL is an empty one.
pub(super) fn texts(
    bulk: &SqliteBulk,
    sql: &str,
    width: usize,
) -> Result<Vec<Vec<String>>, db_core::Error> {
    let mut statement = bulk.prepare(sql)?;
    let mut rows = Vec::new();
    while statement.step()? {
        let mut row = Vec::with_capacity(width);
        for at in 0..width {
            row.push(match statement.cell(at)? {
                CellRef::Text(text) | CellRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
                CellRef::Integer(number) => number.to_string(),
                CellRef::Real(number) => number.to_string(),
                CellRef::Null => String::new(),
            });
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals() {
        for (cell, literal) in [
            (CellRef::Null, "NULL"),
            (CellRef::Real(1.0), "1.0"),
            (CellRef::Real(f64::NEG_INFINITY), "-9e999"),
            (CellRef::Text(b"it's\n"), "'it''s\n'"),
            (CellRef::Text(b""), "''"),
            (CellRef::Text(b"a\0"), "CAST(X'6100' AS TEXT)"),
            (CellRef::Text(b"\r\n"), "CAST(X'0d0a' AS TEXT)"),
            (CellRef::Text(b"\xff"), "CAST(X'ff' AS TEXT)"),
            (CellRef::Blob(b""), "X''"),
            (CellRef::Blob(b"\xab"), "X'ab'"),
        ] {
            let mut out = Vec::new();
            value(cell, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), literal);
        }
    }
}
