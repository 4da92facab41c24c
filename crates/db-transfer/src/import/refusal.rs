//! What an engine refuses.

use db_core::ErrorKind;

use super::plan::Plan;
use super::table::Tables;

/// What helps against a foreign key that SQLite cannot use.
const MISMATCH: &str = "a foreign key has to refer to a primary key or to columns that are unique: until the \
                        table that is named first is mended, SQLite takes no row for either; a script of SQL \
                        (--format sql) is taken, with keys that are not enforced";

/// Whether it is the data that the engine refuses, and not something that happened to it.
pub(super) fn is_refusal(error: &db_core::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Constraint | ErrorKind::InvalidValue | ErrorKind::Statement
    )
}

/// Whether a foreign key of SQLite refers to columns that are neither primary key nor unique, for which
/// every write to either table is refused where keys are enforced.
pub(super) fn mismatch(error: &db_core::Error) -> bool {
    error.message().contains("foreign key mismatch")
}

/// Why SQLite takes no row at all for a table, and what helps.
pub(super) fn of_every_row(error: &db_core::Error, plan: &Plan, tables: &Tables) -> String {
    let told = error.told();
    if mismatch(error) {
        return format!("{told}: {MISMATCH}");
    }
    let mut keys = plan.table.foreign_keys.iter();
    match keys.find(|key| tables.find(&key.references).is_none()) {
        Some(key) => format!(
            "{told}: its foreign key {} refers to the table {}, which does not exist, and until it does SQLite \
             takes no row; make that table, or make this one anew without the key",
            key.columns.join(", "),
            key.references
        ),
        None => told,
    }
}
