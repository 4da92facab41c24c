//! What a copy from one engine to the other makes of types, taken back to compare two schemas.

use db_migrate::catalog::model::{Column, LogicalType, Model, Table};

use super::ddl::{self, literal, literal_of};
use super::names::Name;
use super::types::{self, Classes};
use crate::convert::Form;

/// Gives tables of SQLite the types, defaults and names of those of PostgreSQL wherever a copy, in
/// either direction, makes the one of the other, and takes its checks of lengths away. What still
/// differs no copy has made.
pub fn take_back_mapping(sqlite: &mut Model, postgres: &Model) {
    let twin = |name: &str| {
        let shown = Name::parse(name).shown();
        let same = |table: &&Table| Name::parse(&table.name).shown() == shown;
        let exact = postgres.table(name);
        exact.or_else(|| postgres.tables.iter().find(same))
    };
    for table in &mut sqlite.tables {
        if let Some(other) = twin(&table.name) {
            table.name.clone_from(&other.name);
            take_back(table, other);
        }
        for key in &mut table.foreign_keys {
            if let Some(other) = twin(&key.references) {
                key.references.clone_from(&other.name);
            }
        }
    }
    sqlite.tables.sort_unstable_by(|a, b| a.name.cmp(&b.name));
}

fn take_back(table: &mut Table, other: &Table) {
    let is_key = |table: &Table, name: &String| {
        let key = table.primary_key.as_ref();
        key.is_some_and(|key| key.columns.contains(name))
    };
    for at in 0..table.columns.len() {
        let Some(there) = other.column(&table.columns[at].name) else {
            continue;
        };
        let is_key = is_key(table, &there.name) && is_key(other, &there.name);
        let here = &mut table.columns[at];
        if is_same_default(here, there) {
            here.default.clone_from(&there.default);
        }
        if is_made_of(here, there) {
            here.logical_type.clone_from(&there.logical_type);
        }
        // A key of SQLite may hold NULL unless it says otherwise.
        if is_key {
            here.nullable = there.nullable;
        }
        let Some(length) = ddl::length_check(there) else {
            continue;
        };
        let is_length = |text: &str| bare(text) == bare(&length);
        let said = other.checks.iter().map(|c| ddl::for_sqlite(&c.expression));
        if !said.into_iter().any(|text| is_length(&text)) {
            table
                .checks
                .retain(|check| check.name.is_some() || !is_length(&check.expression));
        }
    }
}

/// Whether a copy gives one of the columns the type of the other.
fn is_made_of(sqlite: &Column, postgres: &Column) -> bool {
    let into_sqlite = [true, false].into_iter().any(|exact| {
        let (name, _) = types::in_sqlite(postgres, exact);
        name.eq_ignore_ascii_case(&sqlite.declared_type)
    });
    // What there was in the column is no longer known.
    let seen = if types::is_open(sqlite) { 32 } else { 1 };
    let into_postgres = (0_u8..seen).any(|bits| {
        let has = |bit: u8| bits >> bit & 1 == 1;
        let classes = Classes {
            integer: has(0),
            real: has(1),
            text: has(2),
            blob: has(3),
            counts: has(4),
        };
        types::in_postgres(sqlite, classes).0 == postgres.declared_type
    });
    into_sqlite || into_postgres
}

/// Whether two columns have one default, if each says it in its own words.
fn is_same_default(sqlite: &Column, postgres: &Column) -> bool {
    // Both engines number it, of which SQLite says nothing.
    if sqlite.numbered && postgres.numbered {
        return true;
    }
    let said = |column: &Column| {
        let text = column.default.clone();
        text.filter(|text| !text.eq_ignore_ascii_case("null"))
    };
    let (here, there) = match (said(sqlite), said(postgres)) {
        (None, None) => return true,
        (Some(here), Some(there)) => (here, there),
        _ => return false,
    };
    let Some(there) = literal(&there) else {
        return false;
    };
    let form = types::of_postgres(postgres);
    if form == Form::Blob {
        let there = literal_of(form, there);
        return there.is_some_and(|there| bare(&there).eq_ignore_ascii_case(&bare(&here)));
    }
    let Some(here) = literal(&here) else {
        return false;
    };
    let number = |text: &str| text.trim_matches('\'').parse::<f64>().ok();
    match form {
        _ if here == there => true,
        Form::Bool => ddl::truth(&here).is_some() && ddl::truth(&here) == ddl::truth(&there),
        _ if postgres.logical_type == LogicalType::Text => {
            here.trim_matches('\'') == there.trim_matches('\'')
        }
        _ => number(&here).is_some() && number(&here) == number(&there),
    }
}

/// A text without what engines add to it: spaces, quotes of names, parentheses.
fn bare(text: &str) -> String {
    let is_added = |c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')');
    text.chars().filter(|c| !is_added(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(logical_type: LogicalType, declared: &str, default: Option<&str>) -> Column {
        Column {
            name: "c".to_owned(),
            position: 1,
            declared_type: declared.to_owned(),
            logical_type,
            nullable: true,
            default: default.map(str::to_owned),
            numbered: false,
            generated: None,
            comment: None,
        }
    }

    fn pair(
        (here, said): (&str, Option<&str>),
        (there, default): (&str, Option<&str>),
    ) -> (Column, Column) {
        (
            column(LogicalType::of_sqlite(here), here, said),
            column(LogicalType::of_postgres(there), there, default),
        )
    }

    #[test]
    fn types_are_what_a_copy_makes_in_either_direction() {
        for (here, there, expected) in [
            ("TEXT", "timestamp with time zone", true),
            ("TEXT", "shop.price", true),
            ("TEXT", "character varying(9)", true),
            ("NUMERIC", "numeric(10,2)", true),
            ("TEXT", "numeric(10,2)", true),
            ("DATETIME", "text", true),
            ("DATETIME", "bigint", true),
            ("", "bytea", true),
            ("", "bigint", true),
            ("BOOLEAN", "boolean", true),
            ("INTEGER", "text", false),
            ("TEXT", "bigint", false),
            ("REAL", "numeric", false),
            ("BLOB", "text", false),
        ] {
            let (here, there) = pair((here, None), (there, None));
            assert_eq!(is_made_of(&here, &there), expected, "{here:?} {there:?}");
        }
    }

    #[test]
    fn defaults_are_what_a_copy_makes_of_them() {
        for (here, there, expected) in [
            (("TEXT", Some("null")), ("text", None), true),
            (
                ("BLOB", Some("x '00FF'")),
                ("bytea", Some("'\\x00ff'::bytea")),
                true,
            ),
            (("BOOLEAN", Some("'true'")), ("boolean", Some("true")), true),
            (("BOOLEAN", Some("0")), ("boolean", Some("true")), false),
            (("", Some("5")), ("text", Some("'5'::text")), true),
            (
                ("REAL", Some("1e3")),
                ("double precision", Some("'1000'::double precision")),
                true,
            ),
            (("TEXT", Some("'05'")), ("text", Some("'5'::text")), false),
            (("TEXT", None), ("text", Some("'x'::text")), false),
            (
                ("TEXT", None),
                ("timestamp with time zone", Some("now()")),
                false,
            ),
        ] {
            let (here, there) = pair(here, there);
            assert_eq!(
                is_same_default(&here, &there),
                expected,
                "{here:?} {there:?}"
            );
        }
    }
}
