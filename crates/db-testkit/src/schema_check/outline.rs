//! A schema as lines that both engines share: what there is, and what it says.

use std::collections::BTreeMap;

use db_migrate::catalog::model::{Column, ForeignKey, Index, Model, Table};

use super::literals::{literals, parts};

/// By subject (`column users.id`): the table it belongs to, and what it says.
pub(crate) type Outline = BTreeMap<String, Line>;

/// What is said of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The table.
    pub(crate) table: String,
    /// The same text on both engines, if they agree.
    pub(crate) says: String,
}

/// The outline of all tables, to be compared with that of `other`.
///
/// The order of columns is told for those that both have: a missing one is a line of its own.
pub(crate) fn outline(model: &Model, other: &Model) -> Outline {
    let mut outline = Outline::new();
    for table in &model.tables {
        let mut add = |subject, says| {
            let table = table.name.clone();
            outline.insert(subject, Line { table, says });
        };
        let twin = other.table(&table.name);
        let order: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
        let shared: Vec<_> = order
            .into_iter()
            .filter(|name| twin.is_some_and(|twin| twin.column(name).is_some()))
            .collect();
        add(
            format!("table {}", table.name),
            format!("columns {}", shared.join(", ")),
        );
        // Also those of the twin: a missing column is one finding, not one for each check too.
        let columns: Vec<_> = table
            .columns
            .iter()
            .chain(twin.map(|twin| &twin.columns).into_iter().flatten())
            .map(|column| column.name.as_str())
            .collect();
        lines(table, &columns, &mut add);
    }
    outline
}

fn lines(table: &Table, columns: &[&str], add: &mut impl FnMut(String, String)) {
    let of = &table.name;
    for column in &table.columns {
        add(format!("column {of}.{}", column.name), says_column(column));
    }
    if let Some(key) = &table.primary_key {
        let name = key.name.as_deref().unwrap_or("(unnamed)");
        add(
            format!("primary key of {of}"),
            format!("{name} ({})", key.columns.join(", ")),
        );
    }
    for key in &table.uniques {
        add(
            subject(
                "unique constraint",
                of,
                key.name.as_deref(),
                &key.columns.join(", "),
            ),
            format!("({})", key.columns.join(", ")),
        );
    }
    for key in &table.foreign_keys {
        add(
            subject(
                "foreign key",
                of,
                key.name.as_deref(),
                &key.columns.join(", "),
            ),
            says_key(key),
        );
    }
    for check in &table.checks {
        add(
            subject("check", of, check.name.as_deref(), &check.expression),
            format!(
                "literals {}, parts {}",
                literals(&check.expression).join(" "),
                parts(&check.expression, columns).join(" ")
            ),
        );
    }
    for index in &table.indexes {
        add(
            format!("index {of}.{}", index.name),
            says_index(index, columns),
        );
    }
    for trigger in &table.triggers {
        add(format!("trigger {of}.{}", trigger.name), String::new());
    }
}

/// `check users.ck_users_age`; without a name it is known by what it says.
fn subject(kind: &str, table: &str, name: Option<&str>, content: &str) -> String {
    match name {
        Some(name) => format!("{kind} {table}.{name}"),
        None => format!("{kind} {table}.(unnamed: {content})"),
    }
}

fn says_column(column: &Column) -> String {
    let mut says = format!("{:?}", column.logical_type.storage()).to_lowercase();
    says.push_str(if column.nullable {
        ", nullable"
    } else {
        ", not null"
    });
    if let Some(default) = &column.default {
        says.push_str(", default ");
        says.push_str(&literals(default).join(" "));
    }
    if let Some(generated) = &column.generated {
        says.push_str(if generated.stored {
            ", stored"
        } else {
            ", computed"
        });
    }
    says
}

fn says_key(key: &ForeignKey) -> String {
    format!(
        "({}) to {} ({}), on delete {:?}, on update {:?}",
        key.columns.join(", "),
        key.references,
        key.referenced_columns.join(", "),
        key.on_delete,
        key.on_update
    )
}

fn says_index(index: &Index, columns: &[&str]) -> String {
    let keys: Vec<_> = index
        .keys
        .iter()
        .map(|key| {
            let name = match (&key.column, &key.expression) {
                (Some(column), _) => column.clone(),
                (None, Some(expression)) => says_expression(expression, columns),
                (None, None) => "(unknown)".to_owned(),
            };
            if key.descending {
                format!("{name} desc")
            } else {
                name
            }
        })
        .collect();
    let mut says = format!("({})", keys.join(", "));
    if index.unique {
        says.push_str(", unique");
    }
    if let Some(predicate) = &index.predicate {
        says.push_str(", where ");
        says.push_str(&plain(predicate));
    }
    says
}

/// The columns of an indexed expression and the members that it takes from JSON, which are `'$.x'`
/// on one engine and `-> 'x'` on the other.
fn says_expression(expression: &str, columns: &[&str]) -> String {
    let mut words = parts(expression, columns);
    words.retain(|word| columns.contains(&word.as_str()));
    let members = literals(expression)
        .iter()
        .map(|literal| literal.replace("$.", ""))
        .collect::<Vec<_>>();
    format!("({} {})", words.join(" "), members.join(" "))
}

/// A predicate in lower case, without parentheses and with single spaces.
fn plain(predicate: &str) -> String {
    let lower = predicate.to_ascii_lowercase();
    let words: Vec<_> = lower
        .split(|c: char| c.is_whitespace() || c == '(' || c == ')')
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}
