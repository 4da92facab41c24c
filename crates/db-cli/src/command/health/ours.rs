//! The checks that know what BitCraps stores.

use db_backup::Invariant;
use db_backup::health::{Cost, Examiner};
use db_core::Engine;
use db_repo::invariants;

use crate::command::backup::invariants::money;

/// Adds them, with the commands that say more where one fails.
pub(super) fn with_checks(examiner: Examiner) -> Examiner {
    let examiner = match examiner.target().engine() {
        Engine::Postgres => examiner.with_invariant(Cost::Cheap, Invariant::no_half_copy()),
        Engine::Sqlite => examiner,
    };
    let money = money()
        .with_hint("`bitcraps-db reconcile` names all; stop what pays out until it is explained");
    let trail = Invariant::observing("audit_chain", invariants::audit_chain)
        .with_hint("`bitcraps-db audit verify` with its anchors says what is left to trust");
    examiner
        .with_outbox(invariants::outbox)
        .with_invariant(Cost::Expensive, money)
        .with_invariant(Cost::Expensive, trail)
}
