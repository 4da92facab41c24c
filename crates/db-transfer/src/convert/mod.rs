//! A value on its way from one engine to the other.
//!
//! Between the engines a value has the form in which SQLite stores it: truth is 0 or 1, a moment the
//! microseconds since 1970, JSON a text. What a column means is its [`Form`], which both sides share;
//! so a row that is read from either side gives the same cells, and the two sides can be compared.

pub(crate) mod binary;
pub(crate) mod decimal;
pub(crate) mod json;
pub(crate) mod moment;
pub(crate) mod postgres;
pub(crate) mod sqlite;

#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use db_core::bulk::CellRef;

/// What the values of a column mean, to both sides of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// From SQLite to SQLite: every value as it is stored.
    Stored,
    /// From PostgreSQL to PostgreSQL: the server's text, not looked into.
    Raw,
    /// A whole number of so many bits.
    Integer(u32),
    /// A floating-point number of 64 bits.
    Real,
    /// A floating-point number of 32 bits.
    Float,
    /// A number of any length.
    Numeric,
    /// True or false; 1 or 0 on SQLite.
    Bool,
    /// A moment; microseconds since 1970 on SQLite.
    Moment,
    /// A moment that SQLite has as a text, with `+00:00` for the server's `+00`.
    MomentText,
    /// Characters.
    Text,
    /// Bytes.
    Blob,
    /// JSON that stays as it was written.
    Json,
    /// JSON that the server writes anew: compared by what it says.
    Jsonb,
    /// A type that only PostgreSQL has, as the server's text.
    Other,
}

/// Why a value has no place in the other database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Nul,
    InvalidUtf8,
    NotANumber,
    OutOfRange(&'static str),
    Class {
        found: &'static str,
        wanted: &'static str,
    },
    Json(&'static str),
    Unreadable(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul => f.write_str("a NUL character, which PostgreSQL cannot hold in a text"),
            Self::InvalidUtf8 => f.write_str("text that is not UTF-8"),
            Self::NotANumber => f.write_str("not a number, which would become NULL"),
            Self::OutOfRange(what) => write!(f, "outside the range of {what}"),
            Self::Class { found, wanted } => write!(f, "{found} where {wanted} belongs"),
            Self::Json(why) => write!(f, "JSON that PostgreSQL refuses: {why}"),
            Self::Unreadable(what) => write!(f, "no {what} that can be read"),
        }
    }
}

/// What to do with values that have no place in the other database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policies {
    /// A NUL character in a text, on the way to PostgreSQL.
    pub nul: OnNul,
    /// A text that is not UTF-8, on the way to PostgreSQL.
    pub invalid_utf8: OnInvalidUtf8,
    /// Not a number, on the way to SQLite.
    pub nan: OnNan,
}

/// What to do with a NUL character that PostgreSQL cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnNul {
    /// Copy nothing, and name the values.
    #[default]
    Refuse,
    /// Leave the character out.
    Strip,
}

/// What to do with a text that is not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnInvalidUtf8 {
    /// Copy nothing, and name the values.
    #[default]
    Refuse,
    /// Put U+FFFD in the place of what cannot be read.
    Replace,
}

/// What to do with `NaN`, for which SQLite stores NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnNan {
    /// Copy nothing, and name the values.
    #[default]
    Refuse,
    /// Store NULL.
    Null,
}

/// The name of the storage class.
pub(crate) const fn class(cell: CellRef<'_>) -> &'static str {
    match cell {
        CellRef::Null => "NULL",
        CellRef::Integer(_) => "an integer",
        CellRef::Real(_) => "a real number",
        CellRef::Text(_) => "a text",
        CellRef::Blob(_) => "a blob",
    }
}

/// The value for a person, not too much of it.
pub(crate) fn shown(cell: CellRef<'_>) -> String {
    const MOST: usize = 40;
    let cut = |text: String| match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    match cell {
        CellRef::Null => "NULL".to_owned(),
        CellRef::Integer(number) => number.to_string(),
        CellRef::Real(number) => format!("{number:?}"),
        CellRef::Text(text) => {
            let end = text.len().min(MOST * 4);
            cut(format!("{:?}", String::from_utf8_lossy(&text[..end])))
        }
        CellRef::Blob(bytes) => {
            let mut text = String::from("x'");
            for byte in bytes.iter().take(MOST / 2) {
                let digits = [byte >> 4, byte & 15].map(|d| char::from_digit(d.into(), 16));
                text.extend(digits.into_iter().flatten());
            }
            text.push_str(if bytes.len() > MOST / 2 { "…" } else { "'" });
            text
        }
    }
}
