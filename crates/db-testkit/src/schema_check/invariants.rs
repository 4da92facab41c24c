//! What holds for every table of the house.

use db_core::Engine;
use db_migrate::catalog::Catalog;
use db_migrate::catalog::model::{LogicalType, Model, Table};

use super::Finding;

/// Checks keys, indexes and names of every table.
///
/// The rules are those of `migrations/README.md`: every table has a primary key; every foreign
/// key has an index that begins with it and is never deferred; every constraint is named after
/// its table and what it is; SQLite's tables are STRICT; PostgreSQL's have a comment.
#[must_use]
pub fn check(engine: Engine, model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in &model.tables {
        whole(engine, table, &mut found);
        keys(table, &mut found);
        names(table, &mut found);
    }
    found
}

/// Checks that on PostgreSQL each text in a key, unique or index orders by code point, so that
/// orders and pages are those of SQLite.
#[must_use]
pub fn collations(model: &Model, catalog: &Catalog) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in &model.tables {
        let mut sorted: Vec<&String> = Vec::new();
        let keys = table.primary_key.iter().chain(&table.uniques);
        sorted.extend(keys.flat_map(|key| &key.columns));
        sorted.extend(table.foreign_keys.iter().flat_map(|key| &key.columns));
        let indexed = table.indexes.iter().flat_map(|index| &index.keys);
        sorted.extend(indexed.filter_map(|key| key.column.as_ref()));
        sorted.sort_unstable();
        sorted.dedup();
        for name in sorted {
            let text = table
                .column(name)
                .is_some_and(|column| column.logical_type == LogicalType::Text);
            let subject = format!("column {}.{name}", table.name);
            let by_code_point = catalog.objects().any(|object| {
                object.to_string() == subject && object.strict.contains("COLLATE \"C\"")
            });
            if text && !by_code_point {
                found.push(Finding::new(
                    subject,
                    "it is in a key or index without COLLATE \"C\"",
                ));
            }
        }
    }
    found
}

fn whole(engine: Engine, table: &Table, found: &mut Vec<Finding>) {
    let mut say =
        |problem: &str| found.push(Finding::new(format!("table {}", table.name), problem));
    if table.primary_key.is_none() {
        say("it has no primary key");
    }
    match engine {
        Engine::Sqlite if !table.strict => say("it is not STRICT"),
        Engine::Postgres if table.comment.is_none() => say("it has no comment"),
        Engine::Sqlite | Engine::Postgres => {}
    }
}

fn keys(table: &Table, found: &mut Vec<Finding>) {
    for key in &table.foreign_keys {
        let subject = format!("foreign key {}.{}", table.name, key.columns.join(", "));
        if !table.has_index_on(&key.columns) {
            found.push(Finding::new(&subject, "no index begins with its columns"));
        }
        if key.deferrable {
            found.push(Finding::new(&subject, "it is deferrable"));
        }
    }
}

fn names(table: &Table, found: &mut Vec<Finding>) {
    let of = &table.name;
    let mut expect = |kind: &str, name: Option<&str>, expected: &str| {
        let subject = format!("{kind} {of}.{}", name.unwrap_or("(unnamed)"));
        let rest = expected.strip_suffix('*');
        match (name, rest) {
            (None, _) => found.push(Finding::new(subject, "it has no name")),
            (Some(name), Some(start)) if name.len() > start.len() && name.starts_with(start) => {}
            (Some(name), None) if name == expected => {}
            _ => found.push(Finding::new(
                subject,
                format!("it should be named {expected}"),
            )),
        }
    };
    if let Some(key) = &table.primary_key {
        expect("primary key", key.name.as_deref(), &format!("pk_{of}"));
    }
    for key in &table.uniques {
        let expected = format!("uq_{of}_{}", key.columns.join("_"));
        expect("unique constraint", key.name.as_deref(), &expected);
    }
    for key in &table.foreign_keys {
        let expected = format!("fk_{of}_{}", key.columns.join("_"));
        expect("foreign key", key.name.as_deref(), &expected);
    }
    for check in &table.checks {
        expect("check", check.name.as_deref(), &format!("ck_{of}_*"));
    }
    for index in &table.indexes {
        expect("index", Some(&index.name), &format!("idx_{of}_*"));
    }
}
