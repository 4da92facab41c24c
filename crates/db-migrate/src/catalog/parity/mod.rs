//! Two schemas compared by what they mean, whichever engine each is of.
//!
//! Where [`Catalog::compare`](super::Catalog::compare) compares texts of one engine, this compares what
//! both engines have: tables; columns with order, storage, nullability and default; keys; foreign keys
//! with their actions; uniques; checks by name, literals, columns and operators; indexes with keys,
//! uniqueness and predicate, predicates as checks, expressions by their columns and JSON members; triggers by name.

mod literals;
mod outline;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::model::Model;
use outline::outline;

pub use literals::{has_lower_bound, has_upper_bound};

/// Which side has a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first alone.
    First,
    /// The second alone.
    Second,
    /// Both, and it says different things.
    Both,
}

/// One thing that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Disparity {
    /// What it is about, as in `column users.id`.
    pub subject: String,
    /// Which side has it.
    pub side: Side,
    /// What it says on the first side, if that has it.
    pub first: Option<String>,
    /// What it says on the second side, if that has it.
    pub second: Option<String>,
}

impl fmt::Display for Disparity {
    /// One line, as in `column users.age: the first has integer, nullable, the second text, nullable`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match (&self.first, &self.second) {
            (Some(first), Some(second)) => {
                write!(f, "{subject}: the first has {first}, the second {second}")
            }
            (Some(_), None) => write!(f, "{subject}: only the first has it"),
            (None, _) => write!(f, "{subject}: only the second has it"),
        }
    }
}

/// What one side has and the other does not, or has otherwise, sorted by subject.
///
/// A table that only one has takes all that belongs to it along: it is one disparity.
#[must_use]
pub fn compare(first: &Model, second: &Model) -> Vec<Disparity> {
    let (ours, theirs) = (outline(first, second), outline(second, first));
    let subjects: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let mut found = Vec::new();
    for subject in subjects {
        let (side, table) = match (ours.get(subject), theirs.get(subject)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(_)) => (Side::Both, &a.table),
            (Some(a), None) => (Side::First, &a.table),
            (None, Some(b)) => (Side::Second, &b.table),
            (None, None) => continue,
        };
        let whole = format!("table {table}");
        if *subject != whole && ours.contains_key(&whole) != theirs.contains_key(&whole) {
            continue;
        }
        found.push(Disparity {
            subject: subject.clone(),
            side,
            first: ours.get(subject).map(|line| line.says.clone()),
            second: theirs.get(subject).map(|line| line.says.clone()),
        });
    }
    found
}
