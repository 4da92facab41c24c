//! Tables made in SQLite.

use std::collections::HashSet;

use db_migrate::catalog::model::{Action, ForeignKey, Index, Model, Table};

use super::super::error::{CopyError, Doing as _};
use super::super::names::{Name, list, quoted};
use super::super::plan::TablePlan;
use super::super::side::Bulk;
use super::{Build, expression};

/// The tables of a PostgreSQL database in the words of SQLite.
pub(in super::super) fn in_sqlite(source: &Model, plans: &[TablePlan]) -> Build {
    let mut build = Build::default();
    for plan in plans {
        let Some(table) = find(source, plan) else {
            continue;
        };
        let sql = create(table, plan, &mut build);
        build.before.push(sql);
        for index in &table.indexes {
            add_index(plan, index, &mut build);
        }
    }
    build
}

fn create(table: &Table, plan: &TablePlan, build: &mut Build) -> String {
    let shown = plan.source.shown();
    let single = match &table.primary_key {
        Some(key) if key.columns.len() == 1 => key.columns.first(),
        _ => None,
    };
    let mut parts = Vec::new();
    let mut is_rowid = false;
    for column in &plan.columns {
        let Some(model) = table.column(&column.source) else {
            continue;
        };
        let mut part = column.declaration();
        // The one type that SQLite numbers by itself.
        if single == Some(&column.source) && column.target_type == "INTEGER" {
            part.push_str(" PRIMARY KEY");
            is_rowid = true;
        }
        if !model.nullable {
            part.push_str(" NOT NULL");
        }
        let literal = |text| {
            expression::literal(text)
                .and_then(|literal| expression::literal_of(column.form, literal))
        };
        match model.default.as_deref().map(|text| (text, literal(text))) {
            Some((_, Some(literal))) => {
                part.push_str(" DEFAULT ");
                part.push_str(&literal);
            }
            Some((text, None)) if !model.numbered => {
                build.leave("default", format!("{shown}.{}", column.source), text);
            }
            _ => {}
        }
        if model.numbered && !(single == Some(&column.source) && is_rowid) {
            let name = format!("{shown}.{}", column.source);
            build.leave(
                "sequence",
                name,
                "SQLite numbers nothing but an integer primary key",
            );
        }
        if let Some(generated) = &model.generated {
            let name = format!("{shown}.{}", column.source);
            let reason = format!("a plain column with the values of {}", generated.expression);
            build.leave("generated column", name, reason);
        }
        parts.push(part);
    }
    if let Some(key) = table.primary_key.as_ref().filter(|_| !is_rowid) {
        parts.push(format!("PRIMARY KEY ({})", list(&key.columns)));
    }
    for unique in &table.uniques {
        parts.push(format!("UNIQUE ({})", list(&unique.columns)));
    }
    for check in &plan.checks {
        let name = check.name.as_deref();
        let name = name.map_or_else(String::new, |n| format!("CONSTRAINT {} ", quoted(n)));
        parts.push(format!("{name}CHECK ({})", check.text));
    }
    for key in &table.foreign_keys {
        parts.push(foreign_key(key, &Name::parse(&key.references).shown()));
    }
    format!(
        "CREATE TABLE {} (\n  {}\n)",
        plan.target.sql(),
        parts.join(",\n  ")
    )
}

fn add_index(plan: &TablePlan, index: &Index, build: &mut Build) {
    let name = Name::parse(&index.name);
    if index.method != "btree" {
        let reason = format!("SQLite has no {} index", index.method);
        build.leave("index", name.shown(), reason);
        return;
    }
    let keys: Vec<String> = index
        .keys
        .iter()
        .map(|key| {
            let what = match (&key.column, &key.expression) {
                (Some(column), _) => quoted(column),
                (None, Some(expression)) => expression::for_sqlite(expression),
                (None, None) => String::new(),
            };
            let order = if key.descending { " DESC" } else { "" };
            format!("{what}{order}")
        })
        .collect();
    let predicate = match &index.predicate {
        Some(text) => format!(" WHERE {}", expression::for_sqlite(text)),
        None => String::new(),
    };
    let unique = if index.unique { "UNIQUE " } else { "" };
    let sql = format!(
        "CREATE {unique}INDEX {} ON {} ({}){predicate}",
        quoted(&name.table),
        plan.target.sql(),
        keys.join(", ")
    );
    build.part("index", name.shown(), sql);
}

/// A foreign key in words that both engines have.
pub(super) fn foreign_key(key: &ForeignKey, references: &str) -> String {
    let mut text = format!(
        "FOREIGN KEY ({}) REFERENCES {}",
        list(&key.columns),
        quoted(references)
    );
    if !key.referenced_columns.is_empty() {
        text.push_str(&format_list(&key.referenced_columns));
    }
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        let word = match action {
            Action::NoAction => continue,
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        };
        text.push_str(" ON ");
        text.push_str(event);
        text.push(' ');
        text.push_str(word);
    }
    if key.deferrable {
        text.push_str(" DEFERRABLE INITIALLY DEFERRED");
    }
    text
}

fn format_list(columns: &[String]) -> String {
    format!(" ({})", list(columns))
}

/// The schema of a SQLite database as it is stored, for another one.
///
/// # Errors
/// What reading it says.
pub(in super::super) fn verbatim(
    reader: &mut Bulk,
    plans: &[TablePlan],
    whole: bool,
) -> Result<Build, CopyError> {
    const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema \
        WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid";
    let rows = reader
        .rows(SCHEMA)
        .doing(|| "reading the schema".to_owned())?;
    let wanted: HashSet<&str> = plans.iter().map(|p| p.source.table.as_str()).collect();
    let mut build = Build::default();
    for row in rows {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || row.next().unwrap_or_default();
        let (kind, name, table, sql) = (next(), next(), next(), next());
        let kind = match kind.as_str() {
            "table" if wanted.contains(name.as_str()) => {
                build.before.push(sql);
                continue;
            }
            "index" => "index",
            "trigger" => "trigger",
            "view" => "view",
            _ => continue,
        };
        if (kind == "view" && whole) || wanted.contains(table.as_str()) {
            build.part(kind, name, sql);
        }
    }
    Ok(build)
}

pub(super) fn find<'m>(source: &'m Model, plan: &TablePlan) -> Option<&'m Table> {
    let same = |table: &&Table| Name::parse(&table.name) == plan.source;
    source.tables.iter().find(same)
}
