//! Back: planned before anything is touched, in the order of application.

use std::time::Instant;

use db_core::Conn;

use super::apply::{nothing, prepare, ready, within_session};
use super::{Entry, Migrator};
use crate::error::Error;
use crate::ledger::Applied;
use crate::migration::Direction;
use crate::plan;
use crate::report::Report;
use crate::run::{Runner, dropped};
use crate::target::Target;

impl Migrator {
    /// Reverts the migration that was applied last.
    ///
    /// # Errors
    /// [`Error::NoWayBack`] if it cannot be reverted; nothing is touched then.
    pub fn rollback<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Report, Error> {
        self.revert(&mut conn.into(), None, None)
    }

    /// Reverts every migration beyond the target, the last applied first.
    ///
    /// # Errors
    /// [`Error::NoWayBack`] names every step that cannot be reverted, before anything is touched.
    pub fn rollback_to<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        target: &Target,
    ) -> Result<Report, Error> {
        self.revert(&mut conn.into(), Some(target), None)
    }

    /// Reverts as [`Migrator::rollback_to`] or [`Migrator::rollback`] do, but only what a person was
    /// shown by [`Migrator::preview_rollback`]: under the lock it is looked again.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] if by now something else would be reverted; nothing is touched then.
    pub fn rollback_as_planned<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        target: Option<&Target>,
        plan: &[Entry],
    ) -> Result<Report, Error> {
        self.revert(&mut conn.into(), target, Some(plan))
    }

    fn revert(
        &self,
        conn: &mut Conn<'_>,
        target: Option<&Target>,
        confirmed: Option<&[Entry]>,
    ) -> Result<Report, Error> {
        let started = Instant::now();
        let span = tracing::info_span!("rollback", engine = conn.engine().name());
        let _entered = span.enter();
        let look = self.look(conn)?;
        let rows = plan::backward(&look.set, &look.history, target)?;
        is_as_confirmed(confirmed, &rows)?;
        if rows.is_empty() {
            return Ok(nothing(Direction::Down, Vec::new(), started));
        }
        let steps = plan::way_back(&look.ledger, conn, &look.set, &rows)?;
        prepare(&look, &steps)?;
        drop(steps);
        self.under_lock(conn, |migrator, conn| {
            migrator.revert_locked(conn, target, confirmed, started)
        })
    }

    pub(super) fn revert_locked(
        &self,
        conn: &mut Conn<'_>,
        target: Option<&Target>,
        confirmed: Option<&[Entry]>,
        started: Instant,
    ) -> Result<Report, Error> {
        let look = self.look(conn)?;
        let scope = self.scope_of(&look.ledger, conn)?;
        let context = self.context(&look.ledger, &scope);
        let mut report = Report::new(Direction::Down);
        let mut report = within_session(&context, conn, |session, conn| {
            let (tracker, reading, notices) = ready(&context, &look, session, conn, true)?;
            for notice in notices {
                context.notice(&mut report, notice);
            }
            // Healing may have adopted rows whose text is stored only now.
            let look = self.look(conn)?;
            let rows = plan::backward(&look.set, &look.history, target)?;
            is_as_confirmed(confirmed, &rows)?;
            let steps = plan::way_back(&look.ledger, conn, &look.set, &rows)?;
            let work = prepare(&look, &steps)?;
            let runner = Runner {
                context: &context,
                direction: Direction::Down,
                tracker,
                session,
                sequence: look.history.next_sequence(),
                report,
                rehearse: false,
                reading,
                rows_changed: None,
                dropped: None,
                origins: dropped::Origins::default(),
            };
            let report = runner.run(conn, &work, false)?;
            look.ledger.put_seal(conn, None)?;
            Ok(report)
        })?;
        report.duration = started.elapsed();
        Ok(report)
    }
}

/// Whether what would be reverted now is what was confirmed, if somebody was asked.
fn is_as_confirmed(confirmed: Option<&[Entry]>, rows: &[&Applied]) -> Result<(), Error> {
    let Some(confirmed) = confirmed else {
        return Ok(());
    };
    let before = confirmed.iter().map(|entry| entry.version.as_str());
    if before
        .clone()
        .eq(rows.iter().map(|row| row.version.as_str()))
    {
        return Ok(());
    }
    Err(Error::PlanChanged {
        confirmed: before.map(ToOwned::to_owned).collect(),
        now: rows.iter().map(|row| row.version.to_string()).collect(),
    })
}
