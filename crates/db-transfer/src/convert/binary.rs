//! Rows in PostgreSQL's binary form of `COPY`
//! (<https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4>).

use super::{CellRef, Form, Reason, class, moment};

/// What stands before the first row.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands behind the last row.
pub(crate) const TRAILER: &[u8] = &[0xff, 0xff];

/// A type whose binary form is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    Bool,
    /// Microseconds since 2000.
    Moment,
    /// As it is: texts, JSON and blobs.
    Bytes,
    /// A text behind the number of a version.
    Jsonb,
}

impl Type {
    /// The type of a column of this name, if it is one of them. A domain has a name of its own.
    pub(crate) fn of(form: Form, declared: &str) -> Option<Self> {
        let is_text = |declared: &str| {
            matches!(declared, "text" | "character varying")
                || declared.starts_with("character varying(") && declared.ends_with(')')
        };
        Some(match (form, declared) {
            (Form::Integer(16), "smallint") => Self::SmallInt,
            (Form::Integer(32), "integer") => Self::Integer,
            (Form::Integer(64), "bigint") => Self::BigInt,
            (Form::Float, "real") => Self::Real,
            (Form::Real, "double precision") => Self::Double,
            (Form::Bool, "boolean") => Self::Bool,
            (Form::Moment, "timestamp with time zone") => Self::Moment,
            (Form::Blob, "bytea") | (Form::Json, "json") => Self::Bytes,
            (Form::Text, declared) if is_text(declared) => Self::Bytes,
            (Form::Jsonb, "jsonb") => Self::Jsonb,
            _ => return None,
        })
    }
}

/// Begins a row of so many columns.
pub(crate) fn begin_row(columns: usize, out: &mut Vec<u8>) {
    // No table has more than 1,600.
    let count = i16::try_from(columns).unwrap_or(i16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
}

/// Appends a field.
///
/// # Errors
/// Why the type does not hold it; what [`sqlite::read`](super::sqlite::read) gives fits, but for a
/// value of 2 GiB.
#[inline]
pub(crate) fn write(is: Type, cell: CellRef<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    match (is, cell) {
        (_, CellRef::Null) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        (Type::BigInt, CellRef::Integer(number)) => fixed(number.to_be_bytes(), out),
        (Type::Integer, CellRef::Integer(number)) => {
            let number = i32::try_from(number).map_err(|_| Reason::OutOfRange("integer"))?;
            fixed(number.to_be_bytes(), out);
        }
        (Type::SmallInt, CellRef::Integer(number)) => {
            let number = i16::try_from(number).map_err(|_| Reason::OutOfRange("smallint"))?;
            fixed(number.to_be_bytes(), out);
        }
        (Type::Bool, CellRef::Integer(number)) => fixed([u8::from(number != 0)], out),
        (Type::Moment, CellRef::Integer(micros)) => {
            let since = moment::since_2000(micros).ok_or(Reason::OutOfRange("timestamptz"))?;
            fixed(since.to_be_bytes(), out);
        }
        (Type::Double, CellRef::Real(number)) => fixed(number.to_be_bytes(), out),
        #[expect(clippy::cast_possible_truncation, reason = "it was looked at before")]
        (Type::Real, CellRef::Real(number)) => fixed((number as f32).to_be_bytes(), out),
        (Type::Bytes, CellRef::Text(bytes) | CellRef::Blob(bytes)) => {
            length(bytes.len(), out)?;
            out.extend_from_slice(bytes);
        }
        (Type::Jsonb, CellRef::Text(text)) => {
            length(text.len() + 1, out)?;
            out.push(1);
            out.extend_from_slice(text);
        }
        (_, cell) => {
            return Err(Reason::Class {
                found: class(cell),
                wanted: "another value",
            });
        }
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) {
    let length = i32::try_from(N).unwrap_or(i32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn length(bytes: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    let length = i32::try_from(bytes).map_err(|_| Reason::OutOfRange("values below 1 GiB"))?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is: Type, cell: CellRef<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write(is, cell, &mut out).unwrap();
        out
    }

    #[test]
    fn fields_have_their_length_and_the_order_of_the_network() {
        assert_eq!(HEADER.len(), 19);
        assert_eq!(
            written(Type::BigInt, CellRef::Integer(-2)),
            b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe"
        );
        assert_eq!(
            written(Type::SmallInt, CellRef::Integer(258)),
            b"\0\0\0\x02\x01\x02"
        );
        assert_eq!(written(Type::Bool, CellRef::Integer(1)), b"\0\0\0\x01\x01");
        assert_eq!(
            written(Type::Double, CellRef::Real(1.0)),
            b"\0\0\0\x08\x3f\xf0\0\0\0\0\0\0"
        );
        assert_eq!(written(Type::Bytes, CellRef::Text(b"ab")), b"\0\0\0\x02ab");
        assert_eq!(
            written(Type::Jsonb, CellRef::Text(b"{}")),
            b"\0\0\0\x03\x01{}"
        );
        assert_eq!(written(Type::Bytes, CellRef::Null), b"\xff\xff\xff\xff");
        // 2000-01-01 00:00:00 UTC.
        assert_eq!(
            written(Type::Moment, CellRef::Integer(946_684_800_000_000)),
            b"\0\0\0\x08\0\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut out = Vec::new();
        for (is, cell) in [
            (Type::SmallInt, CellRef::Integer(40_000)),
            (Type::Integer, CellRef::Integer(1 << 31)),
            (Type::BigInt, CellRef::Text(b"1")),
            (Type::Moment, CellRef::Integer(i64::MIN)),
        ] {
            write(is, cell, &mut out).unwrap_err();
        }
    }

    #[test]
    fn only_types_that_are_known_by_name_are_binary() {
        for (form, declared, expected) in [
            (Form::Integer(64), "bigint", Some(Type::BigInt)),
            (Form::Integer(64), "a_domain", None),
            (Form::Text, "character varying(20)", Some(Type::Bytes)),
            (Form::Text, "character(20)", None),
            (Form::Numeric, "numeric", None),
            (Form::Other, "uuid", None),
        ] {
            assert_eq!(Type::of(form, declared), expected, "{declared}");
        }
    }
}
