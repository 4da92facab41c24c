//! The two engines compared with each other.

use std::collections::BTreeSet;

use db_migrate::catalog::model::Model;
use db_migrate::catalog::parity::{self, Side};
use db_schema::disparities::{EXCEPTIONS, Where};

use super::Finding;

/// What one engine has and the other does not, or has otherwise, but for the named exceptions. An
/// exception that nothing needs is a finding too.
#[must_use]
pub fn compare(sqlite: &Model, postgres: &Model) -> Vec<Finding> {
    let mut needed = BTreeSet::new();
    let mut found = Vec::new();
    for disparity in parity::compare(sqlite, postgres) {
        let (first, second) = (disparity.first, disparity.second);
        let (side, problem) = match disparity.side {
            Side::Both => {
                let says = |said: Option<String>| said.unwrap_or_default();
                let (ours, theirs) = (says(first), says(second));
                let problem = format!("SQLite has {ours}, PostgreSQL {theirs}");
                (Where::Differs, problem)
            }
            Side::First => (Where::SqliteOnly, "only SQLite has it".to_owned()),
            Side::Second => (Where::PostgresOnly, "only PostgreSQL has it".to_owned()),
        };
        let exception = EXCEPTIONS
            .iter()
            .position(|exception| exception.side == side && exception.covers(&disparity.subject));
        match exception {
            Some(at) => {
                needed.insert(at);
            }
            None => found.push(Finding::new(&disparity.subject, problem)),
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
