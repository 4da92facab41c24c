//! Knowing beforehand: what a run would do, and whether the schema was changed by hand.

use db_core::Conn;

use super::apply::{MigrateOptions, forward, prepare};
use super::inspect::{Entry, applied_entry, pending_entry};
use super::{Look, Migrator};
use crate::Version;
use crate::drift::{self, Drift};
use crate::error::Error;
use crate::plan::{self, nameable};
use crate::target::Target;

impl Migrator {
    /// What [`Migrator::migrate`] would apply, in order. Nothing is run, locked or changed.
    ///
    /// # Errors
    /// What the run would fail with before its first statement.
    pub fn preview<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        options: &MigrateOptions,
    ) -> Result<Vec<Entry>, Error> {
        let look = self.look(&mut conn.into())?;
        let (steps, _) = forward(&look, options)?;
        prepare(&look, &steps)?;
        let all = nameable(&look.set, &look.history);
        let position = |version: &Version| {
            all.binary_search_by(|m| m.version.cmp(version))
                .map_or(0, |at| at + 1)
        };
        Ok(steps
            .iter()
            .filter_map(|step| step.migration)
            .map(|m| {
                let half = look
                    .history
                    .incomplete
                    .iter()
                    .any(|row| row.version == m.version);
                pending_entry(m, position(&m.version), half)
            })
            .collect())
    }

    /// What [`Migrator::rollback_to`], or without a target [`Migrator::rollback`], would revert. Nothing is run, locked or changed.
    ///
    /// # Errors
    /// [`Error::NoWayBack`] names every step that cannot be reverted.
    pub fn preview_rollback<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        target: Option<&Target>,
    ) -> Result<Vec<Entry>, Error> {
        let mut conn = conn.into();
        let look = self.look(&mut conn)?;
        let rows = plan::backward(&look.set, &look.history, target)?;
        let steps = plan::way_back(&look.ledger, &mut conn, &look.set, &rows)?;
        prepare(&look, &steps)?;
        let all = nameable(&look.set, &look.history);
        let position = |version: &Version| {
            all.binary_search_by(|m| m.version.cmp(version))
                .map_or(0, |at| at + 1)
        };
        Ok(rows
            .into_iter()
            .map(|row| (row.clone(), look.set.find(&row.version)))
            .map(|(row, migration)| {
                let at = position(&row.version);
                applied_entry(row, migration, at)
            })
            .collect())
    }

    /// The live schema beside the one stored after the last migration. Changes nothing.
    ///
    /// # Errors
    /// See [`Error`]; a drifted schema is no error here.
    pub fn drift<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Drift, Error> {
        self.drift_beside(&mut conn.into()).map(|(_, drift)| drift)
    }

    /// The drift, and the look that it belongs to.
    pub(super) fn drift_beside(&self, conn: &mut Conn<'_>) -> Result<(Look, Drift), Error> {
        self.steadily(
            conn,
            |seen, conn| {
                let before = (&seen.history, seen.stamp.as_ref());
                drift::find(&seen.ledger, conn, before, |conn| {
                    let scope = self.scope_of(&seen.ledger, conn)?;
                    drift::live(conn, &scope)
                })
            },
            |drift| *drift == Drift::None,
        )
    }
}
