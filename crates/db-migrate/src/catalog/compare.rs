//! What differs between two catalogs, object by object, in words.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Kind, Object};

/// Which of an object's two texts counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As the engine writes it: for the same server, never restored.
    Strict,
    /// Without what a dump and a restore may rewrite.
    Loose,
}

/// How an object differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It exists and was not expected.
    Added {
        /// Its definition.
        live: String,
    },
    /// It was expected and does not exist.
    Gone {
        /// Its definition as it was.
        expected: String,
    },
    /// It exists, but not as expected.
    Changed {
        /// The definition that was expected.
        expected: String,
        /// The definition as it is.
        live: String,
    },
}

/// One object that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// What kind of object it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The table that it belongs to, if it belongs to one.
    pub table: Option<String>,
    /// How it differs.
    #[serde(flatten)]
    pub change: Change,
}

impl fmt::Display for Difference {
    /// One line, as in `column users.nickname: added: nickname TEXT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != Kind::Other {
            write!(f, "{} ", self.kind)?;
        }
        write!(f, "{}: ", self.name)?;
        match &self.change {
            Change::Added { live } => write!(f, "added: {live}"),
            Change::Gone { expected } => write!(f, "gone: {expected}"),
            Change::Changed { expected, live } => {
                write!(f, "changed: expected {expected}, found {live}")
            }
        }
    }
}

/// Compares two sorted lists.
pub(super) fn compare(expected: &[Object], live: &[Object], mode: Mode) -> Vec<Difference> {
    let mut found = Vec::new();
    let (mut left, mut right) = (expected.iter().peekable(), live.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
        };
        let (a, b) = match order {
            Ordering::Less => (left.next(), None),
            Ordering::Greater => (None, right.next()),
            Ordering::Equal => (left.next(), right.next()),
        };
        found.extend(difference(a, b, mode));
    }
    leave_out_what_follows(&mut found);
    found
}

fn key(object: &Object) -> (Kind, &str) {
    (object.kind, &object.name)
}

fn difference(expected: Option<&Object>, live: Option<&Object>, mode: Mode) -> Option<Difference> {
    let object = expected.or(live)?;
    let change = match (expected, live) {
        (Some(a), Some(b)) if a.text(mode) == b.text(mode) => return None,
        (Some(a), Some(b)) => Change::Changed {
            expected: a.strict.clone(),
            live: b.strict.clone(),
        },
        (Some(a), None) => Change::Gone {
            expected: a.strict.clone(),
        },
        (None, Some(b)) => Change::Added {
            live: b.strict.clone(),
        },
        (None, None) => return None,
    };
    Some(Difference {
        kind: object.kind,
        name: object.name.clone(),
        table: object.table.clone(),
        change,
    })
}

/// Drops what another difference already says, so that one change by hand is one line.
///
/// A table that came or went takes its columns and indexes with it. A table lists the order of
/// its columns, so a column that came or went changes the table too: that is only worth a line
/// of its own if something else about the table changed.
fn leave_out_what_follows(found: &mut Vec<Difference>) {
    let mut whole = BTreeSet::new();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for d in found.iter() {
        match (&d.change, d.kind) {
            (Change::Changed { .. }, _) => {}
            (_, Kind::Table | Kind::View | Kind::MaterializedView) => {
                whole.insert(d.name.clone());
            }
            (_, Kind::Column) => {
                if let Some(table) = &d.table {
                    let column = d.name.get(table.len() + 1..).unwrap_or_default();
                    columns
                        .entry(table.clone())
                        .or_default()
                        .push(column.to_owned());
                }
            }
            _ => {}
        }
    }
    found.retain(|d| match (&d.change, &d.table) {
        (Change::Changed { expected, live }, _) if d.kind == Kind::Table => {
            let moved = columns.get(&d.name).map_or(&[][..], Vec::as_slice);
            without_columns(expected, moved) != without_columns(live, moved)
        }
        (Change::Changed { .. }, _) | (_, None) => true,
        (_, Some(table)) => !whole.contains(table),
    });
}

/// Sets a table's text apart from the columns named: `columns (a, b, c)` is its first line.
fn without_columns<'t>(text: &'t str, moved: &[String]) -> (Vec<&'t str>, &'t str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let list = first
        .strip_prefix("columns (")
        .and_then(|list| list.strip_suffix(')'))
        .unwrap_or(first);
    let kept = list
        .split(", ")
        .filter(|name| !moved.iter().any(|m| m == name))
        .collect();
    (kept, rest)
}
