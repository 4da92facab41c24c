//! Names of tables as the catalog's model writes them, and as SQL takes them.

use std::collections::BTreeMap;

use db_core::Engine;
use db_migrate::catalog::model::Model;

use super::error::Misfit;
use super::plan::TablePlan;

pub(super) use crate::shape::quoted;

/// The longest name that PostgreSQL keeps whole, in bytes.
const LONGEST: usize = 63;

/// The columns that every table of PostgreSQL has by itself.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

/// A table's name, with its schema on PostgreSQL unless that is the home schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// Reads `table`, `"ta.ble"`, `schema.table`, `"sch.ema"."ta.ble"`.
    pub(super) fn parse(text: &str) -> Self {
        let (first, rest) = part(text);
        match rest {
            Some(rest) => Self {
                schema: Some(first),
                table: part(rest).0,
            },
            None => Self {
                schema: None,
                table: first,
            },
        }
    }

    /// As SQL takes it.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }

    /// For a person.
    pub(super) fn shown(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }
}

/// How a foreign key is told: a table may have several to one parent.
pub(super) fn reference(table: &str, columns: &str, parent: &str) -> String {
    format!("{table} ({columns}) -> {parent}")
}

/// Names that the target cannot keep apart, or not keep whole.
pub(super) fn unfit(to: Engine, model: &Model, plans: &[TablePlan]) -> Vec<Misfit> {
    let mut found = Vec::new();
    let mut say = |table: &str, reason: String| {
        found.push(Misfit {
            table: table.to_owned(),
            key: String::new(),
            column: None,
            value: String::new(),
            reason,
        });
    };
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    for plan in plans {
        let shown = plan.source.shown();
        check(to, &plan.target, &mut tables, |reason| say(&shown, reason));
        if let Some(reason) = is_sqlites(to, &plan.target) {
            say(&shown, reason);
        }
        if plan.columns.is_empty() {
            say(&shown, format!("{shown}: a table without columns"));
        }
        let mut columns = BTreeMap::new();
        for column in &plan.columns {
            if to == Engine::Postgres && SYSTEM_COLUMNS.contains(&column.target.as_str()) {
                let name = &column.target;
                let reason = format!("column {name}: each table of PostgreSQL has its own {name}");
                say(&shown, reason);
            }
            let name = Name {
                schema: None,
                table: column.target.clone(),
            };
            check(to, &name, &mut columns, |reason| {
                say(&shown, format!("column {reason}"));
            });
        }
    }
    if to == Engine::Sqlite {
        let mut indexes = BTreeMap::new();
        for table in &model.tables {
            for index in &table.indexes {
                let name = Name::parse(&index.name);
                let mut say = |reason: String| say(&table.name, format!("index {reason}"));
                check(to, &name, &mut indexes, &mut say);
                if let Some(reason) = is_sqlites(to, &name) {
                    say(reason);
                }
            }
        }
    }
    found
}

fn check(
    to: Engine,
    name: &Name,
    seen: &mut BTreeMap<String, String>,
    mut say: impl FnMut(String),
) {
    let shown = name.shown();
    match to {
        Engine::Postgres if name.table.len() > LONGEST => {
            say(format!(
                "{shown}: PostgreSQL cuts names after {LONGEST} bytes"
            ));
        }
        Engine::Postgres if name.table.is_empty() => {
            say("\"\": PostgreSQL knows no empty names".to_owned());
        }
        Engine::Postgres if name.table.contains('\0') => say(format!("{shown:?}: NUL in a name")),
        Engine::Postgres => {}
        Engine::Sqlite => {
            if let Some(other) = seen.insert(shown.to_ascii_lowercase(), shown.clone()) {
                say(if other == shown {
                    format!("{shown}: SQLite has no schemas, and two would have this name")
                } else {
                    format!(
                        "{shown}: SQLite does not tell it from {other}, only their case differs"
                    )
                });
            }
        }
    }
}

/// Why a table or an index cannot be called so; columns can.
fn is_sqlites(to: Engine, name: &Name) -> Option<String> {
    let shown = name.shown();
    let is_own = to == Engine::Sqlite && shown.to_ascii_lowercase().starts_with("sqlite_");
    is_own.then(|| format!("{shown}: names that begin with sqlite_ are SQLite's own"))
}

/// The first part without its quotes, and what follows its point.
fn part(text: &str) -> (String, Option<&str>) {
    let Some(inner) = text.strip_prefix('"') else {
        return match text.split_once('.') {
            Some((first, rest)) => (first.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        };
    };
    let mut name = String::new();
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return (name, inner[at + 1..].strip_prefix('.'));
        }
    }
    (name, None)
}

/// Names in quotes, with commas between them.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

/// A text as a literal of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_at_their_own_points_only() {
        for (text, schema, table) in [
            ("users", None, "users"),
            ("\"a.b\"", None, "a.b"),
            ("\"a\"\"b c\"", None, "a\"b c"),
            ("audit.log", Some("audit"), "log"),
            ("\"a.b\".\"c\"\".d\"", Some("a.b"), "c\".d"),
        ] {
            let name = Name::parse(text);
            assert_eq!(
                (name.schema.as_deref(), name.table.as_str()),
                (schema, table),
                "{text}"
            );
        }
    }
}
