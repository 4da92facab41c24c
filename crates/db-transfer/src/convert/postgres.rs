//! Fields of PostgreSQL's `COPY` in text form, read and written as their column means them.

use std::io::Write as _;

use super::{CellRef, Form, OnNan, Policies, Reason, decimal, moment};

/// The fields of one row, without the line's end, still escaped.
pub(crate) fn fields(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.split(|byte| *byte == b'\t')
}

/// A field as it goes on its way to SQLite.
///
/// # Errors
/// Why it has no place there.
pub(crate) fn read<'a>(
    form: Form,
    field: &'a [u8],
    policies: Policies,
    made: &'a mut Vec<u8>,
) -> Result<CellRef<'a>, Reason> {
    if field == b"\\N" {
        return Ok(CellRef::Null);
    }
    match form {
        Form::Raw | Form::Stored => Ok(CellRef::Text(field)),
        Form::Integer(_) => decimal::integer(field)
            .map(CellRef::Integer)
            .ok_or(Reason::Unreadable("whole number")),
        Form::Real => number(real(field)?, policies),
        Form::Float => {
            let text = str::from_utf8(field).unwrap_or_default();
            let number: f32 = text.parse().map_err(|_| Reason::Unreadable("number"))?;
            self::number(f64::from(number), policies)
        }
        Form::Numeric => {
            made.clear();
            if decimal::normal(field, made) {
                Ok(CellRef::Text(made))
            } else {
                Err(Reason::OutOfRange("numbers that SQLite has"))
            }
        }
        Form::Bool => match field {
            b"t" => Ok(CellRef::Integer(1)),
            b"f" => Ok(CellRef::Integer(0)),
            _ => Err(Reason::Unreadable("truth value")),
        },
        Form::Moment => moment::parse(field)
            .map(CellRef::Integer)
            .ok_or(Reason::OutOfRange("microseconds since 1970 in 64 bits")),
        Form::Blob => {
            made.clear();
            let digits = field.strip_prefix(b"\\\\x");
            let read = digits.is_some_and(|digits| from_hex(digits, made));
            if read {
                Ok(CellRef::Blob(made))
            } else {
                Err(Reason::Unreadable("bytea"))
            }
        }
        Form::MomentText => {
            made.clear();
            unescape(field, made);
            if made.ends_with(b"+00") {
                made.extend_from_slice(b":00");
            }
            Ok(CellRef::Text(made))
        }
        Form::Text | Form::Json | Form::Jsonb | Form::Other => {
            if memchr::memchr(b'\\', field).is_none() {
                return Ok(CellRef::Text(field));
            }
            made.clear();
            unescape(field, made);
            Ok(CellRef::Text(made))
        }
    }
}

fn real(field: &[u8]) -> Result<f64, Reason> {
    let text = str::from_utf8(field).unwrap_or_default();
    text.parse().map_err(|_| Reason::Unreadable("number"))
}

fn number(number: f64, policies: Policies) -> Result<CellRef<'static>, Reason> {
    match policies.nan {
        // SQLite stores -0.0 as 0.0.
        _ if !number.is_nan() => Ok(CellRef::Real(number + 0.0)),
        OnNan::Null => Ok(CellRef::Null),
        OnNan::Refuse => Err(Reason::NotANumber),
    }
}

/// Appends a field, escaped as `COPY` wants it.
pub(crate) fn write(form: Form, cell: CellRef<'_>, out: &mut Vec<u8>) {
    match cell {
        CellRef::Null => out.extend_from_slice(b"\\N"),
        CellRef::Integer(number) => match form {
            Form::Bool => out.push(if number == 0 { b'f' } else { b't' }),
            Form::Moment => moment::write(number, out),
            _ => integer(number, out),
        },
        CellRef::Real(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
        CellRef::Real(number) if number.is_infinite() => {
            out.extend_from_slice(if number > 0.0 {
                b"Infinity"
            } else {
                b"-Infinity"
            });
        }
        // Writing to memory does not fail.
        CellRef::Real(number) => drop(write!(out, "{number:e}")),
        CellRef::Text(text) if form == Form::Raw => out.extend_from_slice(text),
        CellRef::Text(text) => escape(text, out),
        CellRef::Blob(bytes) => {
            out.extend_from_slice(b"\\\\x");
            out.reserve(bytes.len() * 2);
            for byte in bytes {
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        // All that is escaped is below the letters, but for the backslash.
        if *byte >= b' ' && *byte != b'\\' {
            continue;
        }
        let escaped = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(&[b'\\', escaped]);
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
}

fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend(rest.get(at + 1).map(|byte| match byte {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => *other,
        }));
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn from_hex(digits: &[u8], out: &mut Vec<u8>) -> bool {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return false;
    }
    for pair in pairs {
        match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => return false,
        }
    }
    true
}
