//! A schema as lines that both engines share: what there is, and what it says.

use std::collections::BTreeMap;

use super::super::model::{Check, Column, ForeignKey, Index, Model, Table};

use super::literals::{literals, parts};

/// By subject (`column users.id`): the table it belongs to, and what it says.
pub(super) type Outline = BTreeMap<String, Line>;

/// What is said of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The table.
    pub(super) table: String,
    /// The same text on both engines, if they agree.
    pub(super) says: String,
}

/// The outline of all tables, to be compared with that of `other`.
///
/// The order of columns is told for those that both have: a missing one is a line of its own.
pub(super) fn outline(model: &Model, other: &Model) -> Outline {
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
        lines(model, (table, twin), &columns, &mut add);
    }
    outline
}

/// A key that one side does not name is known by its columns on both, and a check by what it says:
/// PostgreSQL invents a name where SQLite does without.
fn lines(
    model: &Model,
    (table, twin): (&Table, Option<&Table>),
    columns: &[&str],
    add: &mut impl FnMut(String, String),
) {
    let of = &table.name;
    for column in &table.columns {
        add(format!("column {of}.{}", column.name), says_column(column));
    }
    if let Some(key) = &table.primary_key {
        let theirs = twin.and_then(|twin| twin.primary_key.as_ref());
        let name = named(key.name.as_deref(), theirs.map(|key| &key.name));
        let columns = key.columns.join(", ");
        let says = name.map_or_else(
            || format!("({columns})"),
            |name| format!("{name} ({columns})"),
        );
        add(format!("primary key of {of}"), says);
    }
    for key in &table.uniques {
        let theirs = twin.and_then(|twin| twin.uniques.iter().find(|k| k.columns == key.columns));
        add(
            subject(
                "unique constraint",
                of,
                named(key.name.as_deref(), theirs.map(|key| &key.name)),
                &key.columns.join(", "),
            ),
            format!("({})", key.columns.join(", ")),
        );
    }
    for key in &table.foreign_keys {
        let same = |other: &&ForeignKey| {
            other.columns == key.columns && other.references == key.references
        };
        let theirs = twin.and_then(|twin| twin.foreign_keys.iter().find(same));
        add(
            subject(
                "foreign key",
                of,
                named(key.name.as_deref(), theirs.map(|key| &key.name)),
                &key.columns.join(", "),
            ),
            says_key(key, model),
        );
    }
    for check in &table.checks {
        let says = says_check(check, columns);
        let same = |other: &&Check| says_check(other, columns) == says;
        let theirs = twin.and_then(|twin| twin.checks.iter().find(same));
        let name = named(check.name.as_deref(), theirs.map(|check| &check.name));
        let content = theirs.map_or(&check.expression, |_| &says);
        add(subject("check", of, name, content), says.clone());
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

/// The name of a key, unless the other side has the same key without a name.
fn named<'n>(own: Option<&'n str>, theirs: Option<&Option<String>>) -> Option<&'n str> {
    own.filter(|_| theirs.is_none_or(Option::is_some))
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
        let mut said = literals(default);
        // The present moment is a formula in SQLite.
        if said != ["now"] {
            said.splice(0..0, parts(default, &[]));
        }
        says.push_str(&said.join(" "));
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

fn says_check(check: &Check, columns: &[&str]) -> String {
    says_condition(&check.expression, columns)
}

fn says_condition(expression: &str, columns: &[&str]) -> String {
    format!(
        "literals {}, parts {}",
        literals(expression).join(" "),
        parts(expression, columns).join(" ")
    )
}

/// SQLite need not say which columns a foreign key leads to: the primary key, then.
fn says_key(key: &ForeignKey, model: &Model) -> String {
    let mut referenced = key.referenced_columns.clone();
    if referenced.is_empty() {
        let parent = model.table(&key.references);
        let primary = parent.and_then(|table| table.primary_key.as_ref());
        referenced.extend(primary.into_iter().flat_map(|key| key.columns.clone()));
    }
    format!(
        "({}) to {} ({}), on delete {:?}, on update {:?}",
        key.columns.join(", "),
        key.references,
        referenced.join(", "),
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
        says.push_str(&says_condition(predicate, columns));
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
