//! Whether the schema is what it should be: the checks behind `cargo xtask schema`.
//!
//! Each check is a function from what was read to a list of [`Finding`]s, so that a test can hand
//! it a schema with one fault. [`check`] reads both engines, each in a throw-away database, and
//! runs them all:
//!
//! - [`snapshot`]: the catalog of each engine is the committed one;
//! - [`parity`]: the engines agree, but for named exceptions;
//! - [`tables`]: the `table!` declarations are what the generator writes, and fit both engines;
//! - [`constraints`]: the map of named constraints is what the generator writes;
//! - [`invariants`]: keys, indexes and names are as the house wants them.

pub mod constraints;
pub mod declared;
pub mod invariants;
mod live;
pub mod parity;
pub mod snapshot;
pub mod tables;

use std::fmt;

use db_core::Engine;

pub use live::Live;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about, as in `column users.id`.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
}

impl Finding {
    fn new(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            problem: problem.into(),
        }
    }

    /// The same finding, of one engine.
    fn on(mut self, engine: Engine) -> Self {
        self.subject = format!("{}: {}", engine.name(), self.subject);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)
    }
}

/// Migrates a throw-away database on each engine and runs every check.
///
/// # Panics
/// If a database cannot be had or migrated.
#[must_use]
pub fn check() -> Vec<Finding> {
    let sqlite = Live::migrated(Engine::Sqlite);
    let postgres = Live::migrated(Engine::Postgres);
    let mut found = parity::compare(&sqlite.model, &postgres.model);
    found.extend(tables::check(&sqlite.model, &postgres.model));
    found.extend(constraints::check(&sqlite.model, &postgres.model));
    let collations = invariants::collations(&postgres.model, &postgres.catalog);
    found.extend(collations.into_iter().map(|f| f.on(Engine::Postgres)));
    for live in [&sqlite, &postgres] {
        let engine = live.engine;
        let snapshot = snapshot::compare(&snapshot::committed(engine), &live.catalog);
        let invariants = invariants::check(engine, &live.model);
        found.extend(snapshot.into_iter().chain(invariants).map(|f| f.on(engine)));
    }
    found
}
