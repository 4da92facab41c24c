//! The books as a whole: their tables are read along their keys.

use db_repo::Reconciliation;

use super::{Step, go};

pub(super) fn run(step: Step<'_>) {
    go(step, "reconcile", |conn| Reconciliation::new().run(conn));
}
