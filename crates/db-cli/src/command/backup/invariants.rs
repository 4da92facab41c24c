//! What has to be true of the data of BitCraps, wherever a copy of it is looked at.
//!
//! Whether a database is of BitCraps, and of which version, is decided each time anew: a schedule runs for months, and
//! a migration may come meanwhile.

use db_backup::{Invariant, Observation, Unchecked};
use db_core::{Engine, ErrorKind};
use db_repo::invariants::money_as_far;

use crate::args::CopyMethod;
use crate::output::text::{Text, counted};

/// What has to be true of a database that is backed up. A base backup reads no data, and is of the whole server.
pub(super) fn of_source(engine: Engine, method: CopyMethod) -> Vec<Invariant> {
    let is_dump = engine == Engine::Postgres && method == CopyMethod::Dump;
    let no_half_copy = is_dump.then(Invariant::no_half_copy);
    no_half_copy.into_iter().chain([money()]).collect()
}

/// What has to be true of one that is restored.
pub(in crate::command) fn of_copy() -> Vec<Invariant> {
    vec![money()]
}

/// That the money adds up, where there is any, as far as the schema says.
pub(in crate::command) fn money() -> Invariant {
    Invariant::where_possible("money", |conn| match money_as_far(conn) {
        Ok((observed, wrong, left_out)) if left_out.is_empty() || !wrong.is_empty() => {
            Ok(Observation::Checked { observed, wrong })
        }
        Ok((observed, _, left_out)) => Ok(unchecked(format!(
            "{observed}: {} left out (`bitcraps-db reconcile --json` names them)",
            counted(left_out.len(), "check")
        ))),
        Err(error) if error.kind() == ErrorKind::Statement => Ok(unchecked(format!(
            "no schema that this program knows: {}",
            error.told()
        ))),
        Err(error) => Err(error),
    })
}

const fn unchecked(why: String) -> Observation {
    Observation::Unchecked { why }
}

/// A line for each that was not checked.
pub(in crate::command) fn tell(all: &[Unchecked], text: &mut Text) {
    for one in all {
        text.line(format!("not checked: {} ({})", one.name, one.why));
    }
}
