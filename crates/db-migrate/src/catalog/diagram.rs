//! A schema as a picture, in the languages of tools that draw: Mermaid and Graphviz.
//!
//! The same schema gives the same text. A foreign key is an edge; its end at the referring table says
//! whether there is one row or many, its end at the other whether there has to be one.

use std::fmt::Write as _;

use super::model::{Column, ForeignKey, Model, Table};

/// An [entity relationship diagram](https://mermaid.js.org/syntax/entityRelationshipDiagram.html) of
/// Mermaid, which GitHub and others show as a picture.
#[must_use]
pub fn mermaid(model: &Model) -> String {
    let mut text = "erDiagram\n".to_owned();
    for table in &model.tables {
        let name = quoted(&shown(&table.name));
        line(&mut text, format_args!("    {name} {{"));
        for column in &table.columns {
            let mut written = format!(
                "        {} {}",
                word(&column.declared_type, "any"),
                word(&column.name, "column")
            );
            let keys = keys_of(table, column);
            if !keys.is_empty() {
                written.push(' ');
                written.push_str(&keys.join(", "));
            }
            if word(&column.name, "column") != column.name {
                written.push(' ');
                written.push_str(&quoted(&column.name));
            }
            line(&mut text, format_args!("{written}"));
        }
        line(&mut text, format_args!("    }}"));
    }
    for (table, key) in edges(model) {
        let parent = if is_optional(table, key) { "|o" } else { "||" };
        let children = if is_single(table, key) { "o|" } else { "o{" };
        let (from, to) = (quoted(&shown(&key.references)), quoted(&shown(&table.name)));
        let by = quoted(&key.columns.join(", "));
        line(
            &mut text,
            format_args!("    {from} {parent}--{children} {to} : {by}"),
        );
    }
    text
}

/// A digraph of [Graphviz](https://graphviz.org/doc/info/lang.html): `dot -Tsvg` makes a picture of it.
/// Arrows go from the table that refers to the one referred to.
#[must_use]
pub fn dot(model: &Model) -> String {
    let mut text = "digraph schema {\n    rankdir=LR;\n    node [shape=record];\n".to_owned();
    for table in &model.tables {
        let mut label = format!("{{{}", record(&shown(&table.name)));
        for column in &table.columns {
            let keys = keys_of(table, column).join(", ");
            let mut says = format!("{} {}", column.name, column.declared_type);
            if !keys.is_empty() {
                says.push(' ');
                says.push_str(&keys);
            }
            label.push('|');
            label.push_str(&record(says.trim()));
        }
        label.push('}');
        let name = quoted_in_dot(&shown(&table.name));
        line(&mut text, format_args!("    {name} [label=\"{label}\"];"));
    }
    for (table, key) in edges(model) {
        let (from, to) = (
            quoted_in_dot(&shown(&table.name)),
            quoted_in_dot(&shown(&key.references)),
        );
        let by = quoted_in_dot(&key.columns.join(", "));
        line(&mut text, format_args!("    {from} -> {to} [label={by}];"));
    }
    text.push_str("}\n");
    text
}

fn line(text: &mut String, written: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    _ = writeln!(text, "{written}");
}

/// The foreign keys between tables of the model; each table's in order.
fn edges(model: &Model) -> impl Iterator<Item = (&Table, &ForeignKey)> {
    let keys = model
        .tables
        .iter()
        .flat_map(|table| table.foreign_keys.iter().map(move |key| (table, key)));
    keys.filter(|(_, key)| model.table(&key.references).is_some())
}

/// `PK`, `FK`, `UK`, as they apply to a column.
fn keys_of(table: &Table, column: &Column) -> Vec<&'static str> {
    let has = |columns: &[String]| columns.contains(&column.name);
    let mut keys = Vec::new();
    if table
        .primary_key
        .as_ref()
        .is_some_and(|key| has(&key.columns))
    {
        keys.push("PK");
    }
    if table.foreign_keys.iter().any(|key| has(&key.columns)) {
        keys.push("FK");
    }
    if is_unique(table, std::slice::from_ref(&column.name)) {
        keys.push("UK");
    }
    keys
}

/// Whether a row may refer to nothing.
fn is_optional(table: &Table, key: &ForeignKey) -> bool {
    let nullable = |name: &String| table.column(name).is_none_or(|column| column.nullable);
    key.columns.iter().any(nullable)
}

/// Whether at most one row refers to the same one.
fn is_single(table: &Table, key: &ForeignKey) -> bool {
    let primary = table.primary_key.as_ref();
    primary.is_some_and(|primary| same(&primary.columns, &key.columns))
        || is_unique(table, &key.columns)
}

/// Whether a constraint or a whole index lets these columns' values stand once only.
fn is_unique(table: &Table, columns: &[String]) -> bool {
    let constraint = table.uniques.iter().any(|key| same(&key.columns, columns));
    let mut whole = table
        .indexes
        .iter()
        .filter(|index| index.unique && index.predicate.is_none());
    constraint
        || whole.any(|index| {
            let keys: Option<Vec<String>> = index.keys.iter().map(|k| k.column.clone()).collect();
            keys.is_some_and(|keys| same(&keys, columns))
        })
}

fn same(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().all(|name| b.contains(name))
}

/// A word of Mermaid, whose types and columns cannot be quoted; spaces are not lost but underlined.
fn word(text: &str, empty: &str) -> String {
    let is_allowed =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '(' | ')' | '[' | ']');
    let mut word: String = text
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect();
    if word.is_empty() {
        empty.clone_into(&mut word);
    }
    if !word.starts_with(char::is_alphabetic) && !word.starts_with('_') {
        word.insert(0, '_');
    }
    word
}

/// The name of a table as it is, which the catalog quotes where SQL would.
fn shown(name: &str) -> String {
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => inner.replace("\"\"", "\""),
        _ => name.to_owned(),
    }
}

/// A text of Mermaid, which knows no escape for its quote.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'").replace(['\n', '\r'], " "))
}

fn quoted_in_dot(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A field of a record label: its own signs are escaped, for the record and for the text around it.
fn record(text: &str) -> String {
    let mut field = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '|' | '<' | '>' | '\\') {
            field.push('\\');
        }
        if c == '"' {
            field.push('\\');
        }
        field.push(c);
    }
    field
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;
    use db_core::{Access, Connection, DatabaseUrl};

    fn model(sql: &str) -> Model {
        let url = DatabaseUrl::parse("sqlite::memory:").unwrap();
        let mut connection = Connection::open(&url, Access::Create).unwrap();
        connection.conn().batch_execute(sql).unwrap();
        Model::read(&mut connection.conn(), &Scope::default()).unwrap()
    }

    const SCHEMA: &str = r#"
        CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE profiles (user_id INTEGER PRIMARY KEY REFERENCES users (id));
        CREATE TABLE "order | items" (
            "a ""b""" TEXT,
            user_id INTEGER REFERENCES users (id)
        );"#;

    #[test]
    fn a_key_shows_how_many_there_can_be() {
        assert_eq!(
            mermaid(&model(SCHEMA)),
            r#"erDiagram
    "order | items" {
        TEXT a__b_ "a 'b'"
        INTEGER user_id FK
    }
    "profiles" {
        INTEGER user_id PK, FK
    }
    "users" {
        INTEGER id PK
        TEXT name UK
    }
    "users" |o--o{ "order | items" : "user_id"
    "users" ||--o| "profiles" : "user_id"
"#
        );
    }

    #[test]
    fn signs_of_the_language_are_escaped() {
        let text = dot(&model(SCHEMA));
        let label =
            r#""order | items" [label="{order \| items|a \"b\" TEXT|user_id INTEGER FK}"];"#;
        assert!(text.contains(label), "{text}");
        let edge = r#""profiles" -> "users" [label="user_id"];"#;
        assert!(text.contains(edge), "{text}");
    }
}
