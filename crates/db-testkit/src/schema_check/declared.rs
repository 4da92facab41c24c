//! The `table!` declarations: written from a schema, and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use db_migrate::catalog::model::{LogicalType, Model, Table};

use super::Finding;

/// How the file begins; what follows depends on the schema alone.
const HEADER: &str = "\
//! The tables, as Diesel sees them on both engines.
//!
//! Written by `cargo xtask schema generate` from the catalog of PostgreSQL, which tells time,
//! truth and JSON apart, and checked against both. Not to be edited: change the migrations.
#![expect(
    missing_docs,
    reason = \"a column without a comment is what its name says\"
)]
";

/// The SQL types that this workspace defines.
const OURS: [&str; 2] = ["JsonDoc", "UtcTimestamp"];

/// Where a comment breaks, with its indentation and `/// `.
const WIDTH: usize = 100;

/// Words that Rust keeps for itself and that a column could be named by.
const KEYWORDS: [&str; 12] = [
    "abstract", "as", "box", "const", "final", "in", "match", "move", "ref", "type", "use", "where",
];

/// A table as the declarations have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTable {
    /// Its name.
    pub name: String,
    /// The columns of its primary key.
    pub primary_key: Vec<String>,
    /// The columns in order.
    pub columns: Vec<DeclaredColumn>,
}

/// A column as the declarations have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredColumn {
    /// Its name in the database.
    pub name: String,
    /// The SQL type without `Nullable`, such as `BigInt`.
    pub sql_type: String,
    /// Whether the type is `Nullable`.
    pub nullable: bool,
}

/// Writes the declarations of all tables.
///
/// # Errors
/// The columns whose type has no declaration.
pub fn write(model: &Model) -> Result<String, Vec<Finding>> {
    let (mut out, mut problems) = (HEADER.to_owned(), Vec::new());
    for table in &model.tables {
        write_table(table, &mut out, &mut problems);
    }
    write_joins(model, &mut out);
    out.push_str("\ndiesel::allow_tables_to_appear_in_same_query!(\n");
    for table in &model.tables {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "    {},", table.name);
    }
    out.push_str(");\n");
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

/// Reads what [`write()`] wrote; of other text it understands nothing.
#[must_use]
pub fn read(text: &str) -> Vec<DeclaredTable> {
    let mut tables: Vec<DeclaredTable> = Vec::new();
    let mut sql_name = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            sql_name = name.strip_suffix("\"]").map(ToOwned::to_owned);
        } else if let (4, Some((name, key))) = (indent, table_line(line)) {
            tables.push(DeclaredTable {
                name: name.to_owned(),
                primary_key: key.split(", ").map(ToOwned::to_owned).collect(),
                columns: Vec::new(),
            });
        } else if let (8, Some((name, sql_type))) = (indent, line.split_once(" -> ")) {
            let sql_type = sql_type.trim_end_matches(',');
            let inner = sql_type
                .strip_prefix("Nullable<")
                .and_then(|inner| inner.strip_suffix('>'));
            if let Some(table) = tables.last_mut() {
                table.columns.push(DeclaredColumn {
                    name: sql_name.take().unwrap_or_else(|| name.to_owned()),
                    sql_type: inner.unwrap_or(sql_type).to_owned(),
                    nullable: inner.is_some(),
                });
            }
        }
    }
    tables
}

/// The SQL type of a meaning, if there is one.
#[must_use]
pub const fn sql_type(logical: &LogicalType) -> Option<&'static str> {
    Some(match logical {
        LogicalType::SmallInt => "SmallInt",
        LogicalType::Integer => "Integer",
        LogicalType::BigInt => "BigInt",
        LogicalType::Float => "Float",
        LogicalType::Real => "Double",
        LogicalType::Text => "Text",
        LogicalType::Blob => "Binary",
        LogicalType::Bool => "Bool",
        LogicalType::Timestamp => "UtcTimestamp",
        LogicalType::Json => "JsonDoc",
        LogicalType::Other(_) => return None,
    })
}

/// `users (id) {` as name and key.
fn table_line(line: &str) -> Option<(&str, &str)> {
    line.strip_suffix(") {")?.split_once(" (")
}

fn write_table(table: &Table, out: &mut String, problems: &mut Vec<Finding>) {
    let types: Vec<_> = table
        .columns
        .iter()
        .map(|c| sql_type(&c.logical_type))
        .collect();
    out.push_str("\ndiesel::table! {\n");
    let used: BTreeSet<&str> = types.iter().copied().flatten().collect();
    let (ours, mut diesels): (Vec<&str>, Vec<&str>) =
        used.into_iter().partition(|name| OURS.contains(name));
    if table.columns.iter().any(|column| column.nullable) {
        diesels.push("Nullable");
        diesels.sort_unstable();
    }
    import("diesel::sql_types", &diesels, out);
    import("crate::types", &ours, out);
    out.push('\n');
    comment(table.comment.as_deref(), 4, out);
    let key = table
        .primary_key
        .as_ref()
        .map_or(&[][..], |key| &key.columns);
    let _ = writeln!(out, "    {} ({}) {{", table.name, key.join(", "));
    for (column, sql_type) in table.columns.iter().zip(types) {
        comment(column.comment.as_deref(), 8, out);
        let Some(sql_type) = sql_type else {
            problems.push(Finding::new(
                format!("column {}.{}", table.name, column.name),
                format!("the type {} has no SQL type in Rust", column.declared_type),
            ));
            continue;
        };
        let mut name = column.name.clone();
        if KEYWORDS.contains(&name.as_str()) {
            let _ = writeln!(out, "        #[sql_name = \"{name}\"]");
            name.push('_');
        }
        let _ = if column.nullable {
            writeln!(out, "        {name} -> Nullable<{sql_type}>,")
        } else {
            writeln!(out, "        {name} -> {sql_type},")
        };
    }
    out.push_str("    }\n}\n");
}

/// Names what a table uses; a glob would hide which is whose.
fn import(from: &str, names: &[&str], out: &mut String) {
    let _ = match names {
        [] => Ok(()),
        [one] => writeln!(out, "    use {from}::{one};"),
        _ => writeln!(out, "    use {from}::{{{}}};", names.join(", ")),
    };
}

/// A comment of the database as documentation, broken between words.
fn comment(text: Option<&str>, indent: usize, out: &mut String) {
    let start = format!("{}///", " ".repeat(indent));
    let mut line = start.clone();
    for word in text.unwrap_or_default().split_whitespace() {
        let word = as_code(word);
        if line != start && line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{line}");
            line.clone_from(&start);
        }
        line.push(' ');
        line.push_str(&word);
    }
    if line != start {
        let _ = writeln!(out, "{line}");
    }
}

/// A word in backticks if it is a name of the database, as its underscore shows.
fn as_code(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    if core.contains('_') {
        word.replacen(core, &format!("`{core}`"), 1)
    } else {
        word.to_owned()
    }
}

/// The joins that Diesel can find by itself: one key between two tables, to a primary key.
fn write_joins(model: &Model, out: &mut String) {
    let mut pairs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for table in &model.tables {
        for key in &table.foreign_keys {
            let target = model.table(&key.references);
            let whole = target.and_then(|t| t.primary_key.as_ref());
            if let ([column], true, true) = (
                &key.columns[..],
                table.name != key.references,
                whole.is_some_and(|whole| whole.columns == key.referenced_columns),
            ) {
                let pair = (table.name.as_str(), key.references.as_str());
                pairs.entry(pair).or_default().push(column);
            }
        }
    }
    out.push('\n');
    for ((child, parent), columns) in pairs {
        if let [column] = columns[..] {
            let _ = writeln!(out, "diesel::joinable!({child} -> {parent} ({column}));");
        }
    }
}
