//! From a value in a file to a cell of SQLite.

use std::borrow::Cow;

use db_core::bulk::CellRef;
use db_migrate::catalog::model::{Column, LogicalType};

use crate::format::Value;
use crate::import::number;

/// What a column asks of its values, from the type that it declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Integer,
    Real,
    Text,
    /// A number, as `NUMERIC` and `DECIMAL` say.
    Number,
    /// True or false, which SQLite keeps as 1 and 0.
    Bool,
    Blob,
    /// Whatever comes; a number is one.
    Any,
}

impl Asks {
    pub(super) fn of(column: &Column) -> Self {
        let declared = column.declared_type.to_ascii_uppercase();
        match &column.logical_type {
            LogicalType::Integer => Self::Integer,
            LogicalType::Real => Self::Real,
            LogicalType::Text => Self::Text,
            LogicalType::Blob if declared.is_empty() => Self::Any,
            LogicalType::Blob => Self::Blob,
            _ if declared.starts_with("BOOL") => Self::Bool,
            _ if declared.starts_with("NUM") || declared.starts_with("DEC") => Self::Number,
            _ => Self::Any,
        }
    }
}

/// What is wrong with a value.
pub(super) type Problem = Cow<'static, str>;

/// A cell, which may own what was unpacked for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'v> {
    Ref(CellRef<'v>),
    Blob(Vec<u8>),
}

/// The cell that a value becomes; with `check` only if it is of the column's type.
pub(super) fn cell(asks: Asks, value: Value<'_>, check: bool) -> Result<Cell<'_>, Problem> {
    let found = match value {
        Value::Null => CellRef::Null,
        Value::Bare(text) | Value::Quoted(text) => {
            let quoted = matches!(value, Value::Quoted(_));
            return of_text(asks, text, quoted, check);
        }
        Value::Text(text) => return of_typed(asks, CellRef::Text(text), check).map(Cell::Ref),
        Value::Blob(bytes) => CellRef::Blob(bytes),
        Value::Json(text) => CellRef::Text(text),
        Value::Bool(value) => match asks {
            Asks::Text => CellRef::Text(if value { b"true" } else { b"false" }),
            _ => CellRef::Integer(i64::from(value)),
        },
        // SQLite stores it as NULL, which nobody has asked for.
        Value::Special(value) if value.is_nan() && check => {
            return Err("SQLite cannot hold what is not a number".into());
        }
        Value::Special(value) => CellRef::Real(value),
        Value::Number(text) => match (asks, number::integer(text)) {
            (Asks::Text, _) => CellRef::Text(text),
            (_, Some(value)) => CellRef::Integer(value),
            (Asks::Integer, None) if check && number::is_whole(text) => return Err(too_large()),
            (Asks::Number | Asks::Any, None) => {
                CellRef::Real(exact(text, check)?.unwrap_or_default())
            }
            (_, None) => CellRef::Real(number::real(text).unwrap_or_default()),
        },
    };
    of_typed(asks, found, check).map(Cell::Ref)
}

/// A cell of a form that knows types.
fn of_typed(asks: Asks, found: CellRef<'_>, check: bool) -> Result<CellRef<'_>, Problem> {
    if !check {
        return Ok(found);
    }
    match (asks, found) {
        (Asks::Text, CellRef::Text(text)) => utf8(text).map(|()| found),
        (Asks::Any, _)
        | (_, CellRef::Null)
        | (Asks::Integer | Asks::Number | Asks::Bool | Asks::Real, CellRef::Integer(_))
        | (Asks::Real | Asks::Number, CellRef::Real(_))
        | (Asks::Blob, CellRef::Blob(_)) => Ok(found),
        // SQLite makes it the integer that it is.
        (Asks::Integer | Asks::Bool, CellRef::Real(value)) if value.fract() == 0.0 => Ok(found),
        (Asks::Number, CellRef::Text(text)) if number::integer(text).is_some() => Ok(found),
        (Asks::Number, CellRef::Text(text)) if exact(text, true)?.is_some() => Ok(found),
        _ => Err(wanted(asks)),
    }
}

/// A cell of CSV.
fn of_text(asks: Asks, text: &[u8], quoted: bool, check: bool) -> Result<Cell<'_>, Problem> {
    let plain = number::trimmed(text);
    let as_text = Cell::Ref(CellRef::Text(text));
    let found = match asks {
        Asks::Integer => number::integer(plain).map(CellRef::Integer),
        Asks::Real => number::real(plain).map(CellRef::Real),
        Asks::Number => match number::integer(plain) {
            Some(value) => Some(CellRef::Integer(value)),
            None => exact(plain, check)?.map(CellRef::Real),
        },
        Asks::Bool => truth(plain)
            .or_else(|| number::integer(plain))
            .map(CellRef::Integer),
        Asks::Text => {
            if check {
                utf8(text)?;
            }
            return Ok(as_text);
        }
        Asks::Blob => match unhex(text) {
            Some(bytes) => return Ok(Cell::Blob(bytes)),
            None => None,
        },
        Asks::Any if quoted => None,
        Asks::Any => match (unhex(text), number::integer(text)) {
            (Some(bytes), _) => return Ok(Cell::Blob(bytes)),
            (None, Some(value)) if canonical(text) => Some(CellRef::Integer(value)),
            // Words such as `inf` are texts here.
            (None, _) if canonical(text) && text.iter().any(u8::is_ascii_digit) => {
                exact(text, check)?.map(CellRef::Real)
            }
            _ => None,
        },
    };
    match found {
        Some(CellRef::Real(value)) if value.is_nan() && check => {
            Err("SQLite cannot hold what is not a number".into())
        }
        Some(found) => Ok(Cell::Ref(found)),
        None if asks == Asks::Any => {
            if check {
                utf8(text)?;
            }
            Ok(as_text)
        }
        None if !check => Ok(as_text),
        None if asks == Asks::Integer && number::is_whole(plain) => Err(too_large()),
        None => Err(wanted(asks)),
    }
}

/// A real, with `check` only if it keeps all digits: the column did not ask for one that is rounded.
fn exact(text: &[u8], check: bool) -> Result<Option<f64>, Problem> {
    match number::real(text) {
        Some(value) if check && !number::keeps(value, text) => {
            Err("has more digits than SQLite keeps of a number; store it as text".into())
        }
        found => Ok(found),
    }
}

/// Whether a number is written as one would be: `007`, `+1` and ` 1` may be something else.
fn canonical(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !matches!(digits, [b'0', b'0'..=b'9', ..] | [b'+' | b' ' | b'.', ..])
        && !digits.ends_with(b".")
        && !digits.ends_with(b" ")
}

fn truth(text: &[u8]) -> Option<i64> {
    let is = |words: &[&str]| {
        words
            .iter()
            .any(|w| text.eq_ignore_ascii_case(w.as_bytes()))
    };
    if is(&["true", "t", "yes"]) {
        Some(1)
    } else if is(&["false", "f", "no"]) {
        Some(0)
    } else {
        None
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x")?;
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    crate::format::unhex(digits, &mut bytes).then_some(bytes)
}

fn utf8(text: &[u8]) -> Result<(), Problem> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err("the text is no UTF-8; save the file as UTF-8".into()),
    }
}

fn too_large() -> Problem {
    "does not fit into 64 bits".into()
}

fn wanted(asks: Asks) -> Problem {
    match asks {
        Asks::Integer => "is no integer".into(),
        Asks::Real | Asks::Number => "is no number".into(),
        Asks::Text => "is no text".into(),
        Asks::Bool => "is neither true nor false".into(),
        Asks::Blob => "is no blob; write \\x and two hexadecimal digits for each byte".into(),
        Asks::Any => "cannot be stored".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(asks: Asks, text: &str) -> Result<Cell<'_>, Problem> {
        cell(asks, Value::Bare(text.as_bytes()), true)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what it is compared with is a result"
    )]
    const fn of(cell: CellRef<'_>) -> Result<Cell<'_>, Problem> {
        Ok(Cell::Ref(cell))
    }

    #[test]
    fn texts_become_what_the_column_asks_for() {
        assert_eq!(bare(Asks::Integer, " 7"), of(CellRef::Integer(7)));
        assert_eq!(bare(Asks::Real, "1e3"), of(CellRef::Real(1000.0)));
        assert_eq!(
            bare(Asks::Real, "Infinity"),
            of(CellRef::Real(f64::INFINITY))
        );
        assert_eq!(bare(Asks::Text, "007"), of(CellRef::Text(b"007")));
        assert_eq!(bare(Asks::Bool, "TRUE"), of(CellRef::Integer(1)));
        assert_eq!(bare(Asks::Blob, "\\x00fF"), Ok(Cell::Blob(vec![0, 255])));
        assert_eq!(bare(Asks::Any, "007"), of(CellRef::Text(b"007")));
        assert_eq!(bare(Asks::Any, "-7"), of(CellRef::Integer(-7)));
        assert_eq!(bare(Asks::Any, "0.5"), of(CellRef::Real(0.5)));
        assert_eq!(bare(Asks::Any, "inf"), of(CellRef::Text(b"inf")));
        assert_eq!(bare(Asks::Text, "=1+1"), of(CellRef::Text(b"=1+1")));
    }

    #[test]
    fn what_is_of_another_type_is_refused_and_passed_on_unchecked() {
        for (asks, text) in [
            (Asks::Integer, "1.5"),
            (Asks::Integer, "9223372036854775808"),
            (Asks::Integer, "=1+1"),
            (Asks::Real, "NaN"),
            (Asks::Real, "a"),
            (Asks::Number, "1,5"),
            (Asks::Number, "1234567890.123456789"),
            (Asks::Any, "12345678901234567890"),
            (Asks::Bool, "maybe"),
            (Asks::Blob, "\\x0"),
            (Asks::Blob, "abc"),
        ] {
            bare(asks, text).expect_err(text);
            let is_real = matches!(asks, Asks::Number | Asks::Any) && text != "1,5";
            if text != "NaN" && !is_real {
                let unchecked = cell(asks, Value::Bare(text.as_bytes()), false);
                assert_eq!(unchecked, of(CellRef::Text(text.as_bytes())));
            }
        }
        for value in [
            Value::Number(b"0.1234567890123456789"),
            Value::Text(b"0.1234567890123456789"),
        ] {
            cell(Asks::Number, value, true).unwrap_err();
            cell(Asks::Number, value, false).unwrap();
        }
        cell(Asks::Text, Value::Bare(b"\xff"), true).unwrap_err();
        cell(Asks::Integer, Value::Text(b"1"), true).unwrap_err();
        cell(Asks::Integer, Value::Blob(b"1"), true).unwrap_err();
    }
}
