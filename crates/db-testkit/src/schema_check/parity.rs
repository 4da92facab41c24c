//! The two engines compared with each other.

use std::collections::BTreeSet;

use db_migrate::catalog::model::Model;

use super::Finding;
use super::exceptions::{EXCEPTIONS, Where};
use super::outline::outline;

/// What one engine has and the other does not, or has otherwise, but for the named exceptions.
///
/// Compared are tables; columns with order, storage, nullability and default; keys; foreign keys
/// with their actions; uniques; checks by name, literals, columns and operators; indexes with keys,
/// uniqueness and predicate, expressions by their columns and JSON members; triggers by name. An exception that nothing needs is a finding too.
#[must_use]
pub fn compare(sqlite: &Model, postgres: &Model) -> Vec<Finding> {
    let (ours, theirs) = (outline(sqlite, postgres), outline(postgres, sqlite));
    let subjects: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let mut needed = BTreeSet::new();
    let mut found = Vec::new();
    for subject in subjects {
        let (side, table, problem) = match (ours.get(subject), theirs.get(subject)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) => {
                let problem = format!("SQLite has {}, PostgreSQL {}", a.says, b.says);
                (Where::Differs, &a.table, problem)
            }
            (Some(a), None) => (Where::SqliteOnly, &a.table, "only SQLite has it".to_owned()),
            (None, Some(b)) => (
                Where::PostgresOnly,
                &b.table,
                "only PostgreSQL has it".to_owned(),
            ),
            (None, None) => continue,
        };
        // A table that is missing takes all that belongs to it along.
        let whole = format!("table {table}");
        if *subject != whole && ours.contains_key(&whole) != theirs.contains_key(&whole) {
            continue;
        }
        let exception = EXCEPTIONS
            .iter()
            .position(|exception| exception.side == side && exception.covers(subject));
        match exception {
            Some(at) => {
                needed.insert(at);
            }
            None => found.push(Finding::new(subject, problem)),
        }
    }
    for (at, exception) in EXCEPTIONS.iter().enumerate() {
        if !needed.contains(&at) {
            found.push(Finding::new(
                format!("exception for {}", exception.subject),
                format!("the engines agree; its reason was: {}", exception.reason),
            ));
        }
    }
    found
}
