//! Making the ledger and Diesel's table tell one story again, under the lock.
//!
//! diesel_cli may have run, reverted or redone migrations since we looked last, or have been the
//! only tool so far. Its table is what counts: what it has and the ledger lacks is adopted, what
//! it lacks and the ledger has was reverted.

use db_core::Conn;

use crate::Version;
use crate::error::{Error, counted};
use crate::event::EventKind;
use crate::ledger::{History, NewRow, Status};
use crate::run::{Context, within};
use crate::source::MigrationSet;

/// What was healed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Healed {
    pub(crate) adopted: Vec<Version>,
    pub(crate) forgotten: Vec<Version>,
    pub(crate) restored: usize,
}

impl Healed {
    /// Whether anything happened, after which the stored schema is not that of the database.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What happened, in words.
    pub(crate) fn notices(&self) -> Vec<String> {
        let list = |versions: &[Version]| {
            versions
                .iter()
                .map(Version::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut notices = Vec::new();
        if !self.adopted.is_empty() {
            notices.push(format!(
                "took over what diesel applied: {}",
                list(&self.adopted)
            ));
        }
        if !self.forgotten.is_empty() {
            notices.push(format!("diesel has reverted: {}", list(&self.forgotten)));
        }
        if self.restored > 0 {
            notices.push(format!(
                "made Diesel's table anew, with {} from the ledger",
                counted(self.restored as u64, "migration")
            ));
        }
        notices
    }
}

/// Creates the ledger if it is missing, and heals it, in one transaction.
pub(crate) fn heal(
    context: &Context<'_>,
    conn: &mut Conn<'_>,
    set: &MigrationSet,
    history: &History,
) -> Result<Healed, Error> {
    if history.has_ledger && !history.needs_healing() {
        return Ok(Healed::default());
    }
    within(conn, |conn| {
        context.ledger.create(conn)?;
        let mut healed = Healed::default();
        if history.has_ledger && !history.has_diesel {
            for row in history.applied.iter().filter(|row| !row.is_rust) {
                context
                    .ledger
                    .restore_to_diesel(conn, &row.version, &row.applied_at)?;
                healed.restored += 1;
            }
        }
        for version in &history.vanished {
            context.ledger.remove(conn, version)?;
            let gone = Some((version, version.as_str(), ""));
            context.log(conn, EventKind::RevertedOutside, gone, None)?;
            healed.forgotten.push(version.clone());
        }
        adopt(context, conn, set, history, &mut healed)?;
        if !healed.is_empty() {
            context.ledger.unstamp(conn)?;
        }
        Ok(healed)
    })
}

fn adopt(
    context: &Context<'_>,
    conn: &mut Conn<'_>,
    set: &MigrationSet,
    history: &History,
    healed: &mut Healed,
) -> Result<(), Error> {
    let first = history.applied.len() - history.unrecorded.len();
    for (row, shadow) in history.unrecorded.iter().zip(&history.applied[first..]) {
        let mut new = match set.find(&row.version) {
            Some(migration) => NewRow::of(migration, Status::Adopted, shadow.sequence)?,
            None => NewRow {
                sequence: shadow.sequence,
                version: &row.version,
                folder_name: row.version.as_str(),
                set: "",
                is_rust: false,
                status: Status::Adopted,
                checksums: None,
                up: None,
                down: None,
                run_in_transaction: true,
                foreign_keys_off: false,
                statements: 0,
                applied_at: "",
                duration_us: 0,
                applied_by: "",
                fingerprints: None,
            },
        };
        new.applied_at = &row.run_on;
        new.applied_by = "diesel";
        context.ledger.put(conn, &new)?;
        let adopted = Some((&row.version, new.folder_name, new.set));
        context.log(conn, EventKind::Adopted, adopted, None)?;
        healed.adopted.push(row.version.clone());
    }
    Ok(())
}
