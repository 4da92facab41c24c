//! JSON: one document with all tables, or an object on each line.
//!
//! What JSON has no value for stands in an object with one member: `{"$blob": "hex"}`, `{"$real":
//! "NaN"}`, `{"$text": "hex"}` for a text that is not UTF-8, and `{"$json": ..}` for a document of
//! PostgreSQL that is a string, null, or looks like one of these objects.

use db_core::bulk::CellRef;

use super::csv::{hex, integer, real, special};
use super::sink::Sink;
use super::stream::Stream;
use super::{Form, Plan};
use crate::error::Error;
use crate::shape::Table;
use crate::source::{EngineSource, Fields};

/// Whether each row is a line of its own, or all are in one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Document,
    Lines,
}

impl Layout {
    pub(super) const fn of(form: Form) -> Self {
        match form {
            Form::Ndjson => Self::Lines,
            Form::Sql | Form::Json | Form::Csv => Self::Document,
        }
    }
}

pub(super) fn export(
    engine: &mut EngineSource,
    plan: &Plan<'_>,
    layout: Layout,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    let lines = layout == Layout::Lines;
    if !lines {
        let name = match engine {
            EngineSource::Sqlite(_) => "sqlite",
            EngineSource::Postgres(..) => "postgres",
        };
        let start = format!(
            "{{\"format\":\"bitcraps-db\",\"version\":1,\"engine\":\"{name}\",\"tables\":["
        );
        stream.buffer.extend_from_slice(start.as_bytes());
    }
    if lines && plan.tables.is_empty() {
        // A file without a line may be one that was cut off, and is not imported.
        stream.buffer.extend_from_slice(b"{\"$table\":null}\n");
    }
    for (at, table) in plan.tables.iter().enumerate() {
        header(table, lines, at == 0, &mut stream.buffer);
        if plan.has_data() {
            let rows = rows(engine, table, lines, sink, stream)?;
            stream.report.tables.push((table.name.to_string(), rows));
        }
        if !lines {
            stream.buffer.extend_from_slice(b"\n]}");
        }
    }
    if !lines {
        stream.buffer.extend_from_slice(b"\n]}\n");
    }
    stream.flush(sink)
}

fn header(table: &Table, lines: bool, is_first: bool, out: &mut Vec<u8>) {
    if lines {
        out.extend_from_slice(b"{\"$table\":");
    } else {
        out.extend_from_slice(if is_first {
            b"\n{\"name\":"
        } else {
            b",\n{\"name\":"
        });
    }
    string(table.name.to_string().as_bytes(), out);
    out.extend_from_slice(b",\"columns\":[");
    for (at, column) in table.stored_columns().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        string(column.name.as_bytes(), out);
        out.extend_from_slice(b",\"type\":");
        string(column.declared_type.as_bytes(), out);
        out.extend_from_slice(if column.nullable {
            b",\"nullable\":true}"
        } else {
            b",\"nullable\":false}"
        });
    }
    out.extend_from_slice(if lines { b"]}\n" } else { b"],\"rows\":[" });
}

/// What stands around the values of a row.
struct Frame {
    lines: bool,
    /// What stands before each value: a comma but for the first, and a key if there are keys.
    before: Vec<Vec<u8>>,
    is_first: bool,
}

impl Frame {
    fn new(table: &Table, lines: bool) -> Self {
        let before = table.stored_columns().enumerate().map(|(at, column)| {
            let mut text = Vec::new();
            if at > 0 {
                text.push(b',');
            }
            if lines {
                string(column.name.as_bytes(), &mut text);
                text.push(b':');
            }
            text
        });
        Self {
            lines,
            before: before.collect(),
            is_first: true,
        }
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        if self.lines {
            out.push(b'{');
            return;
        }
        out.extend_from_slice(if self.is_first { b"\n[" } else { b",\n[" });
        self.is_first = false;
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.lines { b"}\n" } else { b"]" });
    }
}

fn rows(
    engine: &mut EngineSource,
    table: &Table,
    lines: bool,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<u64, Error> {
    let mut frame = Frame::new(table, lines);
    match engine {
        EngineSource::Sqlite(bulk) => stream.sqlite(bulk, table, sink, |row, out| {
            frame.open(out);
            for (at, before) in frame.before.iter().enumerate() {
                out.extend_from_slice(before);
                cell(row.cell(at)?, out);
            }
            frame.close(out);
            Ok(())
        }),
        EngineSource::Postgres(bulk, _) => {
            let kinds: Vec<_> = table
                .stored_columns()
                .map(|c| Kind::of(&c.base_type))
                .collect();
            let mut fields = Fields::default();
            stream.postgres(bulk, (table, "text"), sink, |row, out| {
                fields.read(row);
                frame.open(out);
                for (at, (before, kind)) in frame.before.iter().zip(&kinds).enumerate() {
                    out.extend_from_slice(before);
                    match fields.get(at) {
                        Some(field) => kind.write(field, out),
                        None => out.extend_from_slice(b"null"),
                    }
                }
                frame.close(out);
            })
        }
    }
}

fn cell(cell: CellRef<'_>, out: &mut Vec<u8>) {
    match cell {
        CellRef::Null => out.extend_from_slice(b"null"),
        CellRef::Integer(number) => integer(number, out),
        CellRef::Real(number) if number.is_finite() => real(number, out),
        CellRef::Real(number) => marked("real", special(number).as_bytes(), out),
        CellRef::Text(bytes) => text(bytes, out),
        CellRef::Blob(bytes) => hex_object("blob", bytes, out),
    }
}

/// How a type of PostgreSQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    /// Digits, which are exact however many there are.
    Number,
    /// The same, with a point or an exponent.
    Float,
    Json,
    Bytes,
    Text,
}

impl Kind {
    fn of(base_type: &str) -> Self {
        match base_type {
            "boolean" => Self::Bool,
            "smallint" | "integer" | "bigint" | "oid" | "numeric" => Self::Number,
            "real" | "double precision" => Self::Float,
            "json" | "jsonb" => Self::Json,
            "bytea" => Self::Bytes,
            _ => Self::Text,
        }
    }

    fn write(self, field: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Bool if field == b"t" => out.extend_from_slice(b"true"),
            Self::Bool => out.extend_from_slice(b"false"),
            Self::Number | Self::Float if !field.last().is_some_and(u8::is_ascii_digit) => {
                marked("real", field, out);
            }
            Self::Number => out.extend_from_slice(field),
            Self::Float => {
                out.extend_from_slice(field);
                if !field.iter().any(|byte| matches!(byte, b'.' | b'e')) {
                    out.extend_from_slice(b".0");
                }
            }
            Self::Json => document(field, out),
            Self::Bytes => marked("blob", field.strip_prefix(b"\\x").unwrap_or(field), out),
            Self::Text => text(field, out),
        }
    }
}

/// A text, or what stands for it if it is not UTF-8.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    if std::str::from_utf8(bytes).is_ok() {
        string(bytes, out);
    } else {
        hex_object("text", bytes, out);
    }
}

fn hex_object(mark: &str, bytes: &[u8], out: &mut Vec<u8>) {
    let mut digits = Vec::with_capacity(2 * bytes.len());
    hex(bytes, &mut digits);
    marked(mark, &digits, out);
}

/// `{"$mark":"plain"}`.
fn marked(mark: &str, plain: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$");
    out.extend_from_slice(mark.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(plain);
    out.extend_from_slice(b"\"}");
}

/// A document of PostgreSQL, without the white space between its parts.
fn document(json: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    compact(json, out);
    let written = out.get(start..).unwrap_or_default();
    let is_ambiguous =
        written.starts_with(b"\"") || written == b"null" || written.starts_with(b"{\"$");
    if is_ambiguous {
        let written = out.split_off(start);
        out.extend_from_slice(b"{\"$json\":");
        out.extend_from_slice(&written);
        out.push(b'}');
    }
}

fn compact(json: &[u8], out: &mut Vec<u8>) {
    let (mut is_string, mut is_escaped) = (false, false);
    for &byte in json {
        if !is_string && matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        }
        if byte == b'"' && !is_escaped {
            is_string = !is_string;
        }
        is_escaped = is_string && byte == b'\\' && !is_escaped;
        out.push(byte);
    }
}

/// A string of JSON.
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = bytes;
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    while let Some(at) = rest.iter().position(special) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                hex(&[*control], out);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, field: &str) -> String {
        let mut out = Vec::new();
        kind.write(field.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_json_has_no_value_for_is_marked() {
        for (kind, field, value) in [
            (Kind::Bool, "t", "true"),
            (Kind::Bool, "f", "false"),
            (
                Kind::Number,
                "123456789012345678901234567890.10",
                "123456789012345678901234567890.10",
            ),
            (Kind::Number, "NaN", "{\"$real\":\"NaN\"}"),
            (Kind::Float, "1", "1.0"),
            (Kind::Float, "1e+20", "1e+20"),
            (Kind::Float, "-Infinity", "{\"$real\":\"-Infinity\"}"),
            (Kind::Bytes, "\\x00ff", "{\"$blob\":\"00ff\"}"),
            (
                Kind::Json,
                "{\"a b\" : [1, \"x \\\" y\"]}\n",
                "{\"a b\":[1,\"x \\\" y\"]}",
            ),
            (Kind::Json, "null", "{\"$json\":null}"),
            (Kind::Json, "\"x\"", "{\"$json\":\"x\"}"),
            (
                Kind::Json,
                "{\"$blob\": \"00\"}",
                "{\"$json\":{\"$blob\":\"00\"}}",
            ),
            (Kind::Json, "[\"\\\\\", 1]", "[\"\\\\\",1]"),
            (
                Kind::Text,
                "a\"\\\u{1}\n\u{1f3b2}",
                "\"a\\\"\\\\\\u0001\\n\u{1f3b2}\"",
            ),
        ] {
            let value_written = written(kind, field);
            assert_eq!(value_written, value);
            serde_json::from_str::<serde_json::Value>(&value_written).unwrap();
        }
        let mut out = Vec::new();
        cell(CellRef::Text(b"\xff"), &mut out);
        cell(CellRef::Real(f64::INFINITY), &mut out);
        assert_eq!(out, b"{\"$text\":\"ff\"}{\"$real\":\"Infinity\"}");
    }
}
