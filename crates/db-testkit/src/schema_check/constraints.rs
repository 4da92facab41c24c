//! The map of named constraints: written from the schemas of both engines, and checked.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use db_migrate::catalog::model::{Index, Model, Table};

use super::Finding;

const FILE: &str = "crates/db-schema/src/constraints.rs";

const HEADER: &str = "\
//! The named constraints: what an engine leaves out when it says which one a row broke.
//!
//! Written by `cargo xtask schema generate` from the catalogs of both engines, and checked against
//! them. Not to be edited: change the migrations. For `db_core::ConstraintMap`.

/// A table, columns in the order of the constraint, and the constraint's name.
type Row = (&'static str, &'static [&'static str], &'static str);
";

/// Table, columns, name.
type Row<'m> = (&'m str, Vec<&'m str>, &'m str);

/// The file that holds the map.
#[must_use]
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("db-schema")
        .join("src/constraints.rs")
}

/// Writes the map: what either engine has, since some checks are of one alone.
#[must_use]
pub fn write(sqlite: &Model, postgres: &Model) -> String {
    let mut out = HEADER.to_owned();
    let both = [sqlite, postgres];
    for (name, says, rows) in [
        (
            "UNIQUE",
            "Primary keys, unique constraints and unique indexes; those over expressions without\n\
             /// their columns.",
            collect(both, uniques),
        ),
        ("FOREIGN_KEY", "Foreign keys.", collect(both, foreign_keys)),
        ("CHECK", "Checks, without columns.", collect(both, checks)),
    ] {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            out,
            "\n/// {says}\n#[rustfmt::skip]\npub const {name}: &[Row] = &[\n"
        );
        for (table, columns, name) in rows {
            let _ = writeln!(out, "    ({table:?}, &{columns:?}, {name:?}),");
        }
        out.push_str("];\n");
    }
    out
}

/// All checks of the committed map.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn check(sqlite: &Model, postgres: &Model) -> Vec<Finding> {
    let path = path();
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let mut found = ambiguous(sqlite, postgres);
    if text.replace("\r\n", "\n") != write(sqlite, postgres) {
        found.push(Finding::new(
            FILE,
            "it is not what the migrations give; run `cargo xtask schema generate`",
        ));
    }
    found
}

/// Uniques of one table over the same columns, which SQLite's errors cannot tell apart; also where
/// the engines name one differently.
#[must_use]
pub fn ambiguous(sqlite: &Model, postgres: &Model) -> Vec<Finding> {
    let rows: Vec<_> = collect([sqlite, postgres], uniques).into_iter().collect();
    let twins = rows.windows(2).filter_map(|pair| match pair {
        [one, two] if (one.0, &one.1) == (two.0, &two.1) && !one.1.is_empty() => Some((one, two)),
        _ => None,
    });
    twins
        .map(|(one, two)| {
            Finding::new(
                format!("table {}", one.0),
                format!("{} and {} are over the same columns", one.2, two.2),
            )
        })
        .collect()
}

fn collect<'m>(models: [&'m Model; 2], of: fn(&'m Table) -> Vec<Row<'m>>) -> BTreeSet<Row<'m>> {
    let tables = models.into_iter().flat_map(|model| &model.tables);
    tables.flat_map(of).collect()
}

fn uniques(table: &Table) -> Vec<Row<'_>> {
    let constraints = table.primary_key.iter().chain(&table.uniques);
    let named = constraints.filter_map(|key| Some((names(&key.columns), key.name.as_deref()?)));
    let indexes = table.indexes.iter().filter(|index| index.unique);
    named
        .chain(indexes.map(|index| (plain_columns(index), index.name.as_str())))
        .map(|(columns, name)| (table.name.as_str(), columns, name))
        .collect()
}

/// The columns of an index, none if an expression is among its keys: SQLite then says its name.
fn plain_columns(index: &Index) -> Vec<&str> {
    let columns = index.keys.iter().map(|key| key.column.as_deref());
    columns.collect::<Option<_>>().unwrap_or_default()
}

fn foreign_keys(table: &Table) -> Vec<Row<'_>> {
    let keys = table.foreign_keys.iter();
    keys.filter_map(|key| {
        Some((
            table.name.as_str(),
            names(&key.columns),
            key.name.as_deref()?,
        ))
    })
    .collect()
}

fn checks(table: &Table) -> Vec<Row<'_>> {
    let checks = table.checks.iter();
    checks
        .filter_map(|check| Some((table.name.as_str(), Vec::new(), check.name.as_deref()?)))
        .collect()
}

fn names(columns: &[String]) -> Vec<&str> {
    columns.iter().map(String::as_str).collect()
}
