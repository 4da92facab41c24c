//! From a value in a file to the text that COPY reads.

use std::borrow::Cow;

use db_migrate::catalog::model::{Column, LogicalType};

use crate::format::{Value, quote};
use crate::import::number;

/// NULL, as COPY reads it.
pub(super) const NULL: &[u8] = b"\\N";

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a column asks of its values, as far as it is looked at here; the server looks at the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Whole { least: i64, most: i64 },
    Real,
    Bool,
    Text { most: Option<usize> },
    Blob,
    Json,
    Other,
}

impl Asks {
    pub(super) fn of(column: &Column) -> Self {
        match &column.logical_type {
            LogicalType::SmallInt => Self::Whole {
                least: i16::MIN.into(),
                most: i16::MAX.into(),
            },
            LogicalType::Integer => Self::Whole {
                least: i32::MIN.into(),
                most: i32::MAX.into(),
            },
            LogicalType::BigInt => Self::Whole {
                least: i64::MIN,
                most: i64::MAX,
            },
            LogicalType::Float | LogicalType::Real => Self::Real,
            LogicalType::Text => Self::Text {
                most: length(&column.declared_type),
            },
            LogicalType::Blob => Self::Blob,
            LogicalType::Bool => Self::Bool,
            LogicalType::Json => Self::Json,
            LogicalType::Timestamp | LogicalType::Other(_) => Self::Other,
        }
    }
}

/// The length in `character varying(20)`.
fn length(declared: &str) -> Option<usize> {
    let (_, rest) = declared.split_once('(')?;
    rest.strip_suffix(')')?.parse().ok()
}

/// Writes a value as COPY reads it, with `check` only if it is of the column's type.
pub(super) fn write(
    asks: Asks,
    value: Value<'_>,
    check: bool,
    out: &mut Vec<u8>,
) -> Result<(), Cow<'static, str>> {
    match value {
        Value::Null => out.extend_from_slice(NULL),
        Value::Bool(_)
            if check
                && !matches!(
                    asks,
                    Asks::Bool | Asks::Json | Asks::Text { .. } | Asks::Other
                ) =>
        {
            return Err(wanted(asks));
        }
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Special(value) => {
            if check && !matches!(asks, Asks::Real | Asks::Other) {
                return Err(wanted(asks));
            }
            let word: &[u8] = if value.is_nan() {
                b"NaN"
            } else if value > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            };
            out.extend_from_slice(word);
        }
        Value::Blob(bytes) => {
            if check && asks != Asks::Blob {
                return Err(wanted(asks));
            }
            out.extend_from_slice(b"\\\\x");
            for byte in bytes {
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        // A text of JSON is not the JSON that stands in it.
        Value::Text(text) if asks == Asks::Json => {
            let mut quoted = Vec::with_capacity(text.len() + 2);
            quote(text, &mut quoted);
            checked(asks, &quoted, check)?;
            escape(&quoted, out);
        }
        Value::Json(text) => {
            if check && !matches!(asks, Asks::Json | Asks::Text { .. } | Asks::Other) {
                return Err(wanted(asks));
            }
            escape(text, out);
        }
        Value::Bare(text) | Value::Quoted(text) | Value::Number(text) | Value::Text(text) => {
            checked(asks, text, check)?;
            escape(text, out);
        }
    }
    Ok(())
}

/// Whether the server could not take the value either, whoever looks at it.
pub(super) fn is_hopeless(problem: &str) -> bool {
    matches!(problem, NUL | NOT_UTF8)
}

const NUL: &str = "PostgreSQL cannot hold a NUL in a text";
const NOT_UTF8: &str = "the text is no UTF-8; save the file as UTF-8";

/// Looks at a text that is to become a value of the column's type.
fn checked(asks: Asks, text: &[u8], check: bool) -> Result<(), Cow<'static, str>> {
    if !check {
        return Ok(());
    }
    let plain = number::trimmed(text);
    match asks {
        Asks::Whole { least, most } => match number::integer(plain) {
            Some(value) if (least..=most).contains(&value) => Ok(()),
            Some(_) => Err(out_of_range(least, most)),
            None if number::is_whole(plain) => Err(out_of_range(least, most)),
            None => Err("is no integer".into()),
        },
        Asks::Real if number::real(plain).is_none() => Err("is no number".into()),
        Asks::Bool if !is_truth(plain) => Err("is neither true nor false".into()),
        Asks::Blob if !is_blob(text) => Err(wanted(asks)),
        Asks::Text { most } => {
            let text = readable(text)?;
            match most {
                Some(most) if text.trim_end_matches(' ').chars().nth(most).is_some() => {
                    Err(format!("is longer than {most} characters").into())
                }
                _ => Ok(()),
            }
        }
        Asks::Real | Asks::Bool | Asks::Blob => Ok(()),
        Asks::Json | Asks::Other => readable(text).map(|_| ()),
    }
}

fn readable(text: &[u8]) -> Result<&str, Cow<'static, str>> {
    if memchr::memchr(0, text).is_some() {
        return Err(NUL.into());
    }
    std::str::from_utf8(text).map_err(|_| NOT_UTF8.into())
}

fn is_truth(text: &[u8]) -> bool {
    let words: [&str; 10] = [
        "t", "f", "true", "false", "y", "n", "yes", "no", "on", "off",
    ];
    text == b"0"
        || text == b"1"
        || words
            .iter()
            .any(|w| text.eq_ignore_ascii_case(w.as_bytes()))
}

fn is_blob(text: &[u8]) -> bool {
    text.strip_prefix(b"\\x")
        .is_some_and(|digits| digits.len() % 2 == 0 && digits.iter().all(u8::is_ascii_hexdigit))
}

fn out_of_range(least: i64, most: i64) -> Cow<'static, str> {
    format!("is not between {least} and {most}").into()
}

fn wanted(asks: Asks) -> Cow<'static, str> {
    match asks {
        Asks::Whole { .. } => "is no integer".into(),
        Asks::Real => "is no number".into(),
        Asks::Bool => "is neither true nor false".into(),
        Asks::Blob => "is no blob; write \\x and two hexadecimal digits for each byte".into(),
        Asks::Json => "is no JSON".into(),
        Asks::Text { .. } | Asks::Other => "is no text".into(),
    }
}

/// The text format of COPY (<https://www.postgresql.org/docs/current/sql-copy.html>).
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|b| matches!(b, b'\\' | b'\n' | b'\r' | b'\t'))
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(asks: Asks, value: Value<'_>) -> Result<String, Cow<'static, str>> {
        let mut out = Vec::new();
        write(asks, value, true, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    const TEXT: Asks = Asks::Text { most: Some(3) };

    #[test]
    fn values_are_written_as_copy_reads_them() {
        assert_eq!(
            written(TEXT, Value::Quoted(b"\\\t\n")).unwrap(),
            "\\\\\\t\\n"
        );
        assert_eq!(written(TEXT, Value::Null).unwrap(), "\\N");
        assert_eq!(written(Asks::Other, Value::Bare(b"\\N")).unwrap(), "\\\\N");
        assert_eq!(
            written(Asks::Blob, Value::Blob(b"\0\xff")).unwrap(),
            "\\\\x00ff"
        );
        assert_eq!(
            written(Asks::Json, Value::Text(b"a\"")).unwrap(),
            "\"a\\\\\"\""
        );
        assert_eq!(
            written(Asks::Json, Value::Bare(b"{\"a\":1}")).unwrap(),
            "{\"a\":1}"
        );
        assert_eq!(
            written(Asks::Real, Value::Special(f64::NAN)).unwrap(),
            "NaN"
        );
    }

    #[test]
    fn what_is_of_another_type_is_refused() {
        let small = Asks::Whole { least: -1, most: 1 };
        for (asks, text) in [
            (small, "2"),
            (small, "a"),
            (small, "99999999999999999999"),
            (Asks::Bool, "maybe"),
            (Asks::Real, "1,5"),
            (Asks::Blob, "abc"),
            (TEXT, "abcd"),
            (TEXT, "a\0"),
        ] {
            written(asks, Value::Bare(text.as_bytes())).expect_err(text);
        }
        written(TEXT, Value::Bare(b"\xff")).unwrap_err();
        written(TEXT, Value::Bare(b"abc  ")).unwrap();
        written(small, Value::Bool(true)).unwrap_err();
    }
}
