//! Cells of SQLite, read and written as their column means them.

use super::{CellRef, Form, OnInvalidUtf8, OnNul, Policies, Reason, class, decimal, json, moment};

/// The largest whole number below which every one is a real number, too.
const EXACT: i64 = 1 << 53;

/// A cell of SQLite as it goes on its way to PostgreSQL.
///
/// # Errors
/// Why it has no place there.
pub(crate) fn read<'a>(
    form: Form,
    cell: CellRef<'a>,
    policies: Policies,
    made: &'a mut Vec<u8>,
) -> Result<CellRef<'a>, Reason> {
    let wrong = |wanted| {
        let found = class(cell);
        Err(Reason::Class { found, wanted })
    };
    match (form, cell) {
        (Form::Stored | Form::Raw, _)
        | (_, CellRef::Null)
        | (Form::Real, CellRef::Real(_))
        | (Form::Bool, CellRef::Integer(0 | 1))
        | (Form::Blob, CellRef::Blob(_)) => Ok(cell),
        (Form::Integer(bits), CellRef::Integer(number)) => {
            let unused = 64 - bits;
            if (number << unused) >> unused == number {
                Ok(cell)
            } else {
                Err(Reason::OutOfRange(if bits == 16 {
                    "smallint"
                } else {
                    "integer"
                }))
            }
        }
        (Form::Integer(_), _) => wrong("an integer"),
        (Form::Real, CellRef::Integer(number)) => real(number),
        (Form::Real | Form::Float, CellRef::Text(_) | CellRef::Blob(_)) => wrong("a real number"),
        (Form::Float, CellRef::Real(number)) => float(number),
        (Form::Float, CellRef::Integer(number)) => match real(number)? {
            CellRef::Real(number) => float(number),
            other => Ok(other),
        },
        (Form::Numeric, CellRef::Integer(number)) => {
            made.clear();
            decimal::normal(number.to_string().as_bytes(), made);
            Ok(CellRef::Text(made))
        }
        (Form::Numeric, CellRef::Real(number)) => {
            made.clear();
            if decimal::of_real(number, made) {
                Ok(CellRef::Text(made))
            } else {
                Err(Reason::OutOfRange("numeric"))
            }
        }
        (Form::Numeric, _) => wrong("a number"),
        (Form::Bool, CellRef::Integer(_)) => {
            Err(Reason::OutOfRange("true and false, which are 1 and 0"))
        }
        (Form::Bool, _) => wrong("0 or 1"),
        (Form::Moment, CellRef::Integer(micros)) if moment::fits(micros) => Ok(cell),
        (Form::Moment, CellRef::Integer(_)) => Err(Reason::OutOfRange("timestamptz")),
        (Form::Moment, _) => wrong("a time in microseconds"),
        (Form::Blob, _) => wrong("a blob"),
        (Form::Text | Form::Other | Form::MomentText, CellRef::Text(text)) => {
            held(text, policies, made).map(CellRef::Text)
        }
        (Form::Json | Form::Jsonb, CellRef::Text(text)) => {
            if memchr::memchr(0, text).is_some() {
                return Err(Reason::Nul);
            }
            if str::from_utf8(text).is_err() {
                return Err(Reason::InvalidUtf8);
            }
            made.clear();
            json::normal(text, made).map_err(Reason::Json)?;
            Ok(cell)
        }
        (_, _) => wrong("a text"),
    }
}

fn real(number: i64) -> Result<CellRef<'static>, Reason> {
    #[expect(clippy::cast_precision_loss, reason = "it is checked")]
    let real = number as f64;
    if number.unsigned_abs() <= EXACT.unsigned_abs() {
        Ok(CellRef::Real(real))
    } else {
        Err(Reason::OutOfRange(
            "whole numbers that double precision holds",
        ))
    }
}

fn float(number: f64) -> Result<CellRef<'static>, Reason> {
    #[expect(clippy::cast_possible_truncation, reason = "it is checked")]
    let short = number as f32;
    if f64::from(short).to_bits() == number.to_bits() {
        Ok(CellRef::Real(number))
    } else {
        Err(Reason::OutOfRange("real, which has 32 bits"))
    }
}

/// The text as PostgreSQL can hold it.
fn held<'a>(text: &'a [u8], policies: Policies, made: &'a mut Vec<u8>) -> Result<&'a [u8], Reason> {
    let has_nul = memchr::memchr(0, text).is_some();
    let is_utf8 = str::from_utf8(text).is_ok();
    if has_nul && policies.nul == OnNul::Refuse {
        return Err(Reason::Nul);
    }
    if !is_utf8 && policies.invalid_utf8 == OnInvalidUtf8::Refuse {
        return Err(Reason::InvalidUtf8);
    }
    if is_utf8 && !has_nul {
        return Ok(text);
    }
    made.clear();
    made.extend(String::from_utf8_lossy(text).bytes().filter(|b| *b != 0));
    Ok(made)
}

/// A cell as SQLite stores it, from the form between the engines.
pub(crate) fn write(form: Form, cell: CellRef<'_>) -> CellRef<'_> {
    let (Form::Numeric, CellRef::Text(text)) = (form, cell) else {
        return cell;
    };
    number(text).unwrap_or(cell)
}

/// A decimal in its one form as a number of SQLite, if one is exactly that.
pub(crate) fn number(text: &[u8]) -> Option<CellRef<'static>> {
    let plain = str::from_utf8(text).ok()?;
    if let Some(whole) = whole(text) {
        return Some(CellRef::Integer(whole));
    }
    let real: f64 = plain.parse().ok()?;
    let mut again = Vec::new();
    (decimal::of_real(real, &mut again) && again == text).then_some(CellRef::Real(real))
}

/// `12e3` as 12000, if it fits.
fn whole(text: &[u8]) -> Option<i64> {
    let split = memchr::memchr(b'e', text);
    let (digits, exponent) = match split {
        Some(at) => (&text[..at], decimal::integer(&text[at + 1..])?),
        None => (text, 0),
    };
    let exponent = u32::try_from(exponent).ok()?;
    decimal::integer(digits)?.checked_mul(10_i64.checked_pow(exponent)?)
}
