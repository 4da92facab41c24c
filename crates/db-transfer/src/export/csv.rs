//! Comma-separated values: RFC 4180, a file for each table.
//!
//! NULL is an empty field and the empty text `""`; quotes stand only where they are needed. A blob is
//! `\x` and hexadecimal digits, without quotes, by which it can be told from a text.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use db_core::bulk::{CellRef, SqliteStatement};

use super::room::Room;
use super::sink::{Finished, Output, Sink, is_folder, make_folder};
use super::stream::Stream;
use super::{Form, Plan};
use crate::error::Error;
use crate::shape::Table;
use crate::source::EngineSource;

/// Whoever reads the file passes over it at the start, unless it stands in quotes.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub(super) fn export(
    engine: &mut EngineSource,
    plan: &Plan<'_>,
    (output, room): (Output, &mut Room),
    stream: &mut Stream<'_>,
) -> Result<Vec<Finished>, Error> {
    let is_one = plan.tables.len() == 1 && !plan.is_whole;
    let folder = match output {
        Output::File(path) if !is_one || is_folder(&path) => path,
        _ if !is_one => {
            let reason = "CSV holds one table: name it, or a folder for a file of each";
            return Err(Error::Usage(reason.to_owned()));
        }
        output => {
            let mut sink = Sink::open(output, room)?;
            for table in &plan.tables {
                write_table(engine, table, &mut sink, stream)?;
            }
            return Ok(vec![sink.finish()?]);
        }
    };
    refuse_file_names(&folder)?;
    make_folder(&folder)?;
    refuse_others(&folder, plan)?;
    let mut finished = Vec::new();
    for table in &plan.tables {
        if table.stored_columns().next().is_none() {
            let name = &table.name;
            let warning = format!("{name} has no columns, so CSV cannot hold its rows; json can");
            stream.report.warnings.push(warning);
            continue;
        }
        let mut sink = Sink::open(Output::File(file_of(&folder, table)), room)?;
        write_table(engine, table, &mut sink, stream)?;
        finished.push(sink.finish()?);
    }
    Ok(finished)
}

/// A name that is a file's cannot be the folder's.
fn refuse_file_names(folder: &Path) -> Result<(), Error> {
    let shown = folder.display();
    let ending = folder.extension().and_then(|ending| ending.to_str());
    let is_packed = ending.is_some_and(|it| {
        ["gz", "zst"]
            .iter()
            .any(|packed| it.eq_ignore_ascii_case(packed))
    });
    let why = if folder.exists() && !folder.is_dir() {
        "is a file"
    } else if is_packed {
        "is the name of a packed file, and a folder is not packed"
    } else if Form::of_path(folder).is_some() && !is_folder(folder) {
        "is the name of one file"
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!(
        "{shown} {why}; CSV of several tables goes to a folder, or choose one with --table"
    )))
}

/// Whoever imports the folder takes all of its files: there must be none of another export.
fn refuse_others(folder: &Path, plan: &Plan<'_>) -> Result<(), Error> {
    let failed = |source| Error::File {
        path: folder.to_owned(),
        source,
    };
    let own: Vec<PathBuf> = plan.tables.iter().map(|t| file_of(folder, t)).collect();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if Form::of_path(&path) == Some(Form::Csv) && !own.contains(&path) {
            others.push(path.file_name().unwrap_or_default().display().to_string());
        }
    }
    others.sort();
    let Some(first) = others.first() else {
        return Ok(());
    };
    let more = match others.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    Err(Error::Usage(format!(
        "{} holds {first}{more}, which this export does not write and an import of the folder would take \
         with it; name an empty folder, or take away what is there",
        folder.display()
    )))
}

/// The file of a table: its name, with `%` and two digits for what file systems or shells may refuse.
fn file_of(folder: &Path, table: &Table) -> PathBuf {
    let mut name = String::new();
    for (at, c) in table.name.to_string().chars().enumerate() {
        let plain = c.is_alphanumeric() || matches!(c, '_' | '-') || (c == '.' && at > 0);
        if plain {
            name.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a String cannot fail.
            let _infallible = write!(name, "%{byte:02X}");
        }
    }
    folder.join(format!("{name}.csv"))
}

fn write_table(
    engine: &mut EngineSource,
    table: &Table,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    for (at, column) in table.stored_columns().enumerate() {
        if at > 0 {
            stream.buffer.push(b',');
        }
        let name = column.name.as_bytes();
        if at == 0 && column.name.starts_with(BYTE_ORDER_MARK) {
            quoted(name, &mut stream.buffer);
        } else {
            text(name, &mut stream.buffer);
        }
    }
    stream.buffer.extend_from_slice(b"\r\n");
    let rows = match engine {
        EngineSource::Sqlite(bulk) => {
            let mut seen = vec![Classes::default(); table.stored_columns().count()];
            let rows = stream.sqlite(bulk, table, sink, |row, out| {
                sqlite_row(row, &mut seen, out)
            })?;
            for (column, seen) in table.stored_columns().zip(&seen) {
                if let Some(kinds) = seen.mixed() {
                    stream.report.warnings.push(format!(
                        "{}.{} holds {kinds}, which CSV cannot always tell apart; json, ndjson and \
                         sql can",
                        table.name, column.name
                    ));
                }
            }
            rows
        }
        EngineSource::Postgres(bulk, _) => {
            stream.postgres(bulk, (table, "csv"), sink, |row, out| {
                out.extend_from_slice(row.strip_suffix(b"\n").unwrap_or(row));
                out.extend_from_slice(b"\r\n");
            })?
        }
    };
    stream.report.tables.push((table.name.to_string(), rows));
    Ok(())
}

/// Which kinds of values a column of SQLite held.
#[derive(Debug, Clone, Copy, Default)]
struct Classes(u8);

const INTEGERS: u8 = 1;
const REALS: u8 = 2;
const TEXTS: u8 = 4;
const BLOBS: u8 = 8;

impl Classes {
    /// What they are called, if there were several.
    fn mixed(self) -> Option<String> {
        let names = [
            (INTEGERS, "integers"),
            (REALS, "reals"),
            (TEXTS, "texts"),
            (BLOBS, "blobs"),
        ];
        let held = names.iter().filter(|(bit, _)| self.0 & bit != 0);
        let held: Vec<_> = held.map(|(_, name)| *name).collect();
        (held.len() > 1).then(|| held.join(" and "))
    }
}

fn sqlite_row(
    row: &SqliteStatement<'_>,
    seen: &mut [Classes],
    out: &mut Vec<u8>,
) -> Result<(), db_core::Error> {
    for (at, seen) in seen.iter_mut().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match row.cell(at)? {
            CellRef::Null => {}
            CellRef::Integer(number) => {
                seen.0 |= INTEGERS;
                integer(number, out);
            }
            CellRef::Real(number) => {
                seen.0 |= REALS;
                real(number, out);
            }
            CellRef::Text(bytes) => {
                seen.0 |= TEXTS;
                text(bytes, out);
            }
            CellRef::Blob(bytes) => {
                seen.0 |= BLOBS;
                out.extend_from_slice(b"\\x");
                hex(bytes, out);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !bytes.is_empty() && !bytes.iter().any(special) && !bytes.starts_with(b"\\x") {
        out.extend_from_slice(bytes);
    } else {
        quoted(bytes, out);
    }
}

fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (at, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}

/// Decimal digits.
pub(super) fn integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The shortest text that reads as the same number, with a point or an exponent.
pub(super) fn real(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        // Writing to a Vec cannot fail.
        let _infallible = write!(out, "{number:?}");
        return;
    }
    out.extend_from_slice(special(number).as_bytes());
}

/// What a number is called that is none.
pub(super) const fn special(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{TableKind, TableName};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_stand_where_they_are_needed() {
        for (value, field) in [
            ("", "\"\""),
            ("a", "a"),
            (" a ", " a "),
            ("=1+1", "=1+1"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("\"", "\"\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("\r", "\"\r\""),
            ("\\x00", "\"\\x00\""),
        ] {
            assert_eq!(written(|out| text(value.as_bytes(), out)), field);
        }
    }

    #[test]
    fn numbers_read_as_the_same() {
        for (number, shown) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e21, "1e21"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(written(|out| real(number, out)), shown);
        }
        assert_eq!(
            written(|out| integer(i64::MIN, out)),
            "-9223372036854775808"
        );
    }

    #[test]
    fn a_file_has_a_name_that_every_system_takes() {
        for (name, file) in [
            ("users", "users.csv"),
            ("Würfe 2", "Würfe%202.csv"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.csv"),
            ("a\\b:c", "a%5Cb%3Ac.csv"),
        ] {
            let table = Table {
                name: TableName {
                    schema: None,
                    name: name.to_owned(),
                },
                kind: TableKind::Plain,
                columns: Vec::new(),
                primary_key: Vec::new(),
                parents: Vec::new(),
                without_rowid: false,
                rows_estimate: None,
            };
            assert_eq!(file_of(Path::new(""), &table), Path::new(file));
        }
    }
}
