//! Which type a column gets in the other engine; `docs/transfer.md` has it as a table.

use db_migrate::catalog::model::{Column, LogicalType};

use crate::convert::Form;

/// What is stored in a column of SQLite whose declared type does not say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each storage class")]
pub(super) struct Classes {
    pub(super) integer: bool,
    pub(super) real: bool,
    pub(super) text: bool,
    pub(super) blob: bool,
    /// There is an integer other than 0 and 1.
    pub(super) counts: bool,
}

/// Whether the type of a column of SQLite depends on what is in it.
pub(super) fn is_open(column: &Column) -> bool {
    let declared = column.declared_type.to_ascii_uppercase();
    match column.logical_type {
        LogicalType::Other(_) => true,
        LogicalType::Blob => !declared.contains("BLOB"),
        _ => false,
    }
}

/// The type in PostgreSQL of a column of SQLite, and what its values mean.
pub(super) fn in_postgres(column: &Column, classes: Classes) -> (&'static str, Form) {
    let declared = column.declared_type.to_ascii_uppercase();
    let json = ("json", Form::Json);
    match column.logical_type {
        LogicalType::SmallInt | LogicalType::Integer | LogicalType::BigInt => {
            ("bigint", Form::Integer(64))
        }
        LogicalType::Text if declared.contains("JSON") => json,
        LogicalType::Text => ("text", Form::Text),
        LogicalType::Real | LogicalType::Float => ("double precision", Form::Real),
        LogicalType::Blob if declared.contains("BLOB") => ("bytea", Form::Blob),
        _ => {
            let Classes {
                integer,
                real,
                text,
                blob,
                counts,
            } = classes;
            let is_bool = declared.starts_with("BOOL");
            match (text, blob) {
                (true, false) if !integer && !real && declared.starts_with("JSON") => json,
                (true, _) => ("text", Form::Text),
                (false, true) => ("bytea", Form::Blob),
                _ if is_bool && !real && !counts => ("boolean", Form::Bool),
                _ if declared.starts_with("DECIMAL") || declared.starts_with("NUMERIC") => {
                    ("numeric", Form::Numeric)
                }
                _ if real => ("double precision", Form::Real),
                _ if integer => ("bigint", Form::Integer(64)),
                // Nothing is in it: the name of the type is all there is.
                _ if declared.contains("TIME") || declared.contains("DATE") => ("text", Form::Text),
                _ if declared.is_empty() => ("bytea", Form::Blob),
                _ => ("numeric", Form::Numeric),
            }
        }
    }
}

/// The type in SQLite of a column of PostgreSQL, and what its values mean. `exact` says whether every
/// number of a `numeric` is one that SQLite has.
pub(super) fn in_sqlite(column: &Column, exact: bool) -> (&'static str, Form) {
    match of_postgres(column) {
        Form::Numeric if exact => ("NUMERIC", Form::Numeric),
        Form::Numeric => ("TEXT", Form::Other),
        Form::Moment => ("TEXT", Form::MomentText),
        form @ Form::Integer(_) => ("INTEGER", form),
        form @ (Form::Real | Form::Float) => ("REAL", form),
        Form::Bool => ("BOOLEAN", Form::Bool),
        Form::Blob => ("BLOB", Form::Blob),
        form => ("TEXT", form),
    }
}

/// What the values of a column of PostgreSQL mean, where SQLite has them as the house does.
pub(super) fn of_postgres(column: &Column) -> Form {
    match &column.logical_type {
        LogicalType::SmallInt => Form::Integer(16),
        LogicalType::Integer => Form::Integer(32),
        LogicalType::BigInt => Form::Integer(64),
        LogicalType::Float => Form::Float,
        LogicalType::Real => Form::Real,
        LogicalType::Text => Form::Text,
        LogicalType::Blob => Form::Blob,
        LogicalType::Bool => Form::Bool,
        LogicalType::Timestamp if column.declared_type.ends_with("with time zone") => Form::Moment,
        LogicalType::Json if column.declared_type == "jsonb" => Form::Jsonb,
        LogicalType::Json => Form::Json,
        LogicalType::Other(declared) if is_numeric(declared) => Form::Numeric,
        LogicalType::Timestamp | LogicalType::Other(_) => Form::Other,
    }
}

/// Not an array of them.
fn is_numeric(declared: &str) -> bool {
    declared == "numeric" || (declared.starts_with("numeric(") && declared.ends_with(')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(declared: &str, logical_type: LogicalType) -> Column {
        Column {
            name: "c".to_owned(),
            position: 1,
            declared_type: declared.to_owned(),
            logical_type,
            nullable: true,
            default: None,
            numbered: false,
            generated: None,
            comment: None,
        }
    }

    #[test]
    fn what_is_declared_decides_and_what_is_stored_where_it_does_not() {
        let none = Classes::default();
        let text = Classes { text: true, ..none };
        let real = Classes {
            real: true,
            integer: true,
            counts: true,
            ..none
        };
        let flags = Classes {
            integer: true,
            ..none
        };
        for (declared, classes, expected) in [
            ("INTEGER", text, "bigint"),
            ("NVARCHAR(160)", none, "text"),
            ("DATETIME", text, "text"),
            (
                "DATETIME",
                Classes {
                    counts: true,
                    ..flags
                },
                "bigint",
            ),
            ("NUMERIC(10,2)", real, "numeric"),
            ("DECIMAL(10,2)", text, "text"),
            ("BOOLEAN", flags, "boolean"),
            (
                "BOOLEAN",
                Classes {
                    counts: true,
                    ..flags
                },
                "bigint",
            ),
            ("", Classes { blob: true, ..none }, "bytea"),
            ("", flags, "bigint"),
            ("BLOB", none, "bytea"),
            ("DOUBLE", none, "double precision"),
            ("JSON", text, "json"),
            ("DATE", none, "text"),
        ] {
            let column = column(declared, LogicalType::of_sqlite(declared));
            let classes = if is_open(&column) { classes } else { none };
            assert_eq!(in_postgres(&column, classes).0, expected, "{declared}");
        }
    }

    #[test]
    fn types_that_sqlite_does_not_have_are_texts() {
        for (declared, exact, expected) in [
            ("bigint", true, ("INTEGER", Form::Integer(64))),
            ("numeric(10,2)", true, ("NUMERIC", Form::Numeric)),
            ("numeric(10,2)", false, ("TEXT", Form::Other)),
            ("numeric[]", true, ("TEXT", Form::Other)),
            ("boolean", true, ("BOOLEAN", Form::Bool)),
            ("timestamp with time zone", true, ("TEXT", Form::MomentText)),
            (
                "timestamp(3) without time zone",
                true,
                ("TEXT", Form::Other),
            ),
            ("uuid", true, ("TEXT", Form::Other)),
            ("jsonb", true, ("TEXT", Form::Jsonb)),
            ("bytea", true, ("BLOB", Form::Blob)),
        ] {
            let column = column(declared, LogicalType::of_postgres(declared));
            assert_eq!(in_sqlite(&column, exact), expected, "{declared}");
        }
    }
}
