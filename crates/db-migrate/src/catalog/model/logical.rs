//! What a column's type means, whatever the engine calls it.

use serde::{Deserialize, Serialize};

/// The meaning of a type, as far as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogicalType {
    /// 16 bits.
    SmallInt,
    /// 32 bits on PostgreSQL; any integer on SQLite, where it may also hold a bool or a time.
    Integer,
    /// 64 bits.
    BigInt,
    /// 32 bits, floating.
    Float,
    /// 64 bits, floating.
    Real,
    /// Characters; on SQLite perhaps JSON.
    Text,
    /// Bytes.
    Blob,
    /// True or false.
    Bool,
    /// A moment.
    Timestamp,
    /// A JSON document.
    Json,
    /// Anything else, as the engine writes it.
    Other(String),
}

/// How SQLite stores a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Up to 64 bits.
    Integer,
    /// 64 bits, floating.
    Real,
    /// Characters.
    Text,
    /// Bytes.
    Blob,
    /// Whatever comes.
    Any,
}

impl LogicalType {
    /// The meaning of a type as PostgreSQL's `format_type` writes it.
    #[must_use]
    pub fn of_postgres(declared: &str) -> Self {
        let base = declared.split('(').next().unwrap_or_default().trim_end();
        match base {
            "smallint" => Self::SmallInt,
            "integer" => Self::Integer,
            "bigint" => Self::BigInt,
            "real" => Self::Float,
            "double precision" => Self::Real,
            "text" | "character varying" | "character" => Self::Text,
            "bytea" => Self::Blob,
            "boolean" => Self::Bool,
            "json" | "jsonb" => Self::Json,
            _ if base.starts_with("timestamp") => Self::Timestamp,
            _ => Self::Other(declared.to_owned()),
        }
    }

    /// The meaning of a type as a SQLite table declares it: its affinity
    /// (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>).
    #[must_use]
    pub fn of_sqlite(declared: &str) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| upper.contains(part));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if upper.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Other(declared.to_owned())
        }
    }

    /// How SQLite stores values of that meaning, which is what the two engines can be compared
    /// by: times are integers there, JSON is text, and what SQLite calls BOOLEAN is 0 and 1.
    #[must_use]
    pub fn storage(&self) -> Storage {
        match self {
            Self::SmallInt | Self::Integer | Self::BigInt | Self::Bool | Self::Timestamp => {
                Storage::Integer
            }
            Self::Float | Self::Real => Storage::Real,
            Self::Text | Self::Json => Storage::Text,
            Self::Blob => Storage::Blob,
            Self::Other(declared) if declared.to_ascii_uppercase().starts_with("BOOL") => {
                Storage::Integer
            }
            Self::Other(_) => Storage::Any,
        }
    }
}
