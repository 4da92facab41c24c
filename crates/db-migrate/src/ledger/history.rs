//! What a look at a database found: the ledger's rows beside Diesel's, before anything is healed.

use super::{Applied, Status};
use crate::Version;

/// The length of `YYYY-MM-DD HH:MM:SS`.
pub(super) const SECONDS_LENGTH: usize = 19;

/// A row of Diesel's own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DieselRow {
    pub(crate) version: Version,
    pub(crate) run_on: String,
}

/// The ledger and Diesel's table, side by side.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// Whether the ledger's tables exist.
    pub(crate) has_ledger: bool,
    /// Whether Diesel's table exists.
    pub(crate) has_diesel: bool,
    /// Applied migrations in the order of application, those that only Diesel knows last.
    pub(crate) applied: Vec<Applied>,
    /// Migrations that stopped half way, outside a transaction.
    pub(crate) incomplete: Vec<Applied>,
    /// Applied, redone or finished by diesel_cli since we looked last: Diesel has a row, the ledger
    /// has none, one of another moment, or one of a half.
    pub(crate) unrecorded: Vec<DieselRow>,
    /// Reverted by diesel_cli since: the ledger has a row, Diesel has none.
    pub(crate) vanished: Vec<Version>,
}

impl History {
    /// Lays the two tables side by side.
    pub(crate) fn merge(ledger: Option<Vec<Applied>>, diesel: Option<Vec<DieselRow>>) -> Self {
        let mut history = Self {
            has_ledger: ledger.is_some(),
            has_diesel: diesel.is_some(),
            ..Self::default()
        };
        let has_diesel = diesel.is_some();
        let mut diesel = diesel.unwrap_or_default();
        // Mostly it is in order already; hashing each version took a tenth of an idle run.
        diesel.sort_unstable_by(|a, b| a.version.cmp(&b.version));
        let mut is_recorded = vec![false; diesel.len()];
        let mut last = 0;
        for row in ledger.unwrap_or_default() {
            last = last.max(row.sequence);
            let theirs = diesel
                .binary_search_by(|d| d.version.cmp(&row.version))
                .ok();
            // Diesel does not know of Rust migrations. Where its whole table is gone, someone
            // dropped it, and the ledger is what remains.
            if row.is_rust || !has_diesel {
                if let Some(at) = theirs {
                    is_recorded[at] = true;
                }
                if row.status == Status::Incomplete {
                    history.incomplete.push(row);
                } else {
                    history.applied.push(row);
                }
                continue;
            }
            match theirs {
                // A half that Diesel has was finished by it: what is left over is adopted.
                Some(_) if row.status == Status::Incomplete => {}
                Some(at) if same_moment(&diesel[at].run_on, &row.applied_at) => {
                    is_recorded[at] = true;
                    history.applied.push(row);
                }
                // Reverted and run again by diesel_cli, perhaps with another text.
                Some(_) => {}
                None if row.status == Status::Incomplete => history.incomplete.push(row),
                None => history.vanished.push(row.version),
            }
        }
        let mut is_recorded = is_recorded.into_iter();
        diesel.retain(|_| is_recorded.next() == Some(false));
        diesel.sort_by(|a, b| (&a.run_on, &a.version).cmp(&(&b.run_on, &b.version)));
        for (sequence, row) in (last + 1..).zip(&diesel) {
            history.applied.push(Applied {
                sequence,
                version: row.version.clone(),
                folder_name: row.version.to_string(),
                set: String::new(),
                is_rust: false,
                status: Status::Adopted,
                checksums: None,
                accepted_missing: false,
                run_in_transaction: true,
                foreign_keys_off: false,
                statements_done: 0,
                statements_begun: 0,
                applied_at: row.run_on.clone(),
                duration_us: 0,
                applied_by: "diesel".to_owned(),
                fingerprint: None,
            });
        }
        history.unrecorded = diesel;
        history
    }

    /// Whether the ledger and Diesel's table tell different stories, or one of them is missing.
    pub(crate) fn needs_healing(&self) -> bool {
        !self.unrecorded.is_empty()
            || !self.vanished.is_empty()
            || (self.has_ledger && !self.has_diesel)
    }

    /// The migration that stopped on its way back, outside a transaction.
    pub(crate) fn half_reverted(&self) -> Option<&Applied> {
        let mut rows = self.applied.iter();
        rows.find(|row| row.status == Status::Reverting)
    }

    /// The applied migration of this version.
    pub(crate) fn find(&self, version: &Version) -> Option<&Applied> {
        self.applied.iter().find(|row| row.version == *version)
    }

    /// The place in the order of application that the next migration gets.
    pub(crate) fn next_sequence(&self) -> i64 {
        self.applied
            .iter()
            .chain(&self.incomplete)
            .map(|row| row.sequence)
            .max()
            .unwrap_or(0)
            + 1
    }
}

/// Whether Diesel's moment is the ledger's, which is finer and written in another way.
fn same_moment(run_on: &str, applied_at: &str) -> bool {
    fn seconds(text: &str) -> impl Iterator<Item = u8> {
        let bytes = text.bytes().take(SECONDS_LENGTH);
        bytes.map(|byte| if byte == b'T' { b' ' } else { byte })
    }
    seconds(run_on).eq(seconds(applied_at))
}
