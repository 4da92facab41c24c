//! What a copy has done, and how it is proven.

use serde::Serialize;

use super::error::Misfits;

/// What a copy did.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct CopyReport {
    /// The engine of the source.
    pub from: &'static str,
    /// The engine of the target.
    pub to: &'static str,
    /// Whether the tables come from migrations; otherwise they are made from the catalog.
    pub migrated: bool,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Whether a copy that was interrupted before had to be undone first.
    pub undone_before: bool,
    /// What of such a copy a run would undo first, if this is a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_undo: Vec<String>,
    /// Whether the source was locked until the proof was done.
    pub source_locked: bool,
    /// The tables, by name.
    pub tables: Vec<TableReport>,
    /// Rows in all.
    pub rows: u64,
    /// What the target does not have, and why.
    pub not_translated: Vec<NotTranslated>,
    /// Values that do not fit; only a dry run ends without an error if there are any.
    pub misfits: Misfits,
    /// Values that were mapped as the policies say.
    pub mapped: u64,
    /// What was checked of the data besides hashes and counts.
    pub checked: Vec<String>,
    /// What of the data could not be checked, since not all tables were chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
    /// What of the proof failed.
    pub failures: Vec<String>,
    /// Looking for what does not fit, in microseconds.
    pub inspect_us: u64,
    /// From the first row to the last, with keys and indexes, in microseconds.
    pub load_us: u64,
    /// Reading both sides again, in microseconds.
    pub proof_us: u64,
    /// Rows loaded in a second.
    pub rows_per_second: u64,
}

/// A table that was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TableReport {
    /// Its name in the source.
    pub table: String,
    /// Its name in the target.
    pub target: String,
    /// Rows that were read from the source for the proof.
    pub rows: u64,
    /// Rows that were read from the target for the proof.
    pub target_rows: u64,
    /// The hash of the source's rows, whatever their order.
    pub hash: String,
    /// The hash of the target's rows.
    pub target_hash: String,
}

impl TableReport {
    /// Whether both sides are the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.rows == self.target_rows && self.hash == self.target_hash
    }
}

/// Something of the source's schema that the target does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct NotTranslated {
    /// What it is: `trigger`, `view`, `check`, …
    pub kind: &'static str,
    /// Its name, with the table where it belongs to one.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl NotTranslated {
    pub(super) fn new(
        kind: &'static str,
        name: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            reason: reason.into(),
        }
    }
}
