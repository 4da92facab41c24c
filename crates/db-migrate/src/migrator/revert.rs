//! Back: planned before anything is touched, in the order of application.

use std::time::Instant;

use db_core::Conn;

use super::Migrator;
use super::apply::{nothing, prepare, ready, within_session};
use crate::error::Error;
use crate::migration::Direction;
use crate::plan;
use crate::report::Report;
use crate::run::{Reading, Runner};
use crate::target::Target;

impl Migrator {
    /// Reverts the migration that was applied last.
    ///
    /// # Errors
    /// [`Error::NoWayBack`] if it cannot be reverted; nothing is touched then.
    pub fn rollback<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Report, Error> {
        self.revert(&mut conn.into(), None)
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
        self.revert(&mut conn.into(), Some(target))
    }

    fn revert(&self, conn: &mut Conn<'_>, target: Option<&Target>) -> Result<Report, Error> {
        let started = Instant::now();
        let span = tracing::info_span!("rollback", engine = conn.engine().name());
        let _entered = span.enter();
        let look = self.look(conn)?;
        let rows = plan::backward(&look.set, &look.history, target)?;
        if rows.is_empty() {
            return Ok(nothing(Direction::Down, Vec::new(), started));
        }
        let steps = plan::way_back(&look.ledger, conn, &look.set, &rows)?;
        prepare(&look, &steps)?;
        drop(steps);
        self.under_lock(conn, |migrator, conn| {
            migrator.revert_locked(conn, target, started)
        })
    }

    fn revert_locked(
        &self,
        conn: &mut Conn<'_>,
        target: Option<&Target>,
        started: Instant,
    ) -> Result<Report, Error> {
        let look = self.look(conn)?;
        let scope = self.scope_of(&look.ledger, conn)?;
        let context = self.context(&look.ledger, &scope);
        let mut report = Report::new(Direction::Down);
        let mut report = within_session(&context, conn, |session, conn| {
            let (tracker, notices) = ready(&context, &look, session, conn, true)?;
            for notice in notices {
                context.notice(&mut report, notice);
            }
            // Healing may have adopted rows whose text is stored only now.
            let look = self.look(conn)?;
            let rows = plan::backward(&look.set, &look.history, target)?;
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
                reading: Reading::new(),
                rows_changed: None,
            };
            let report = runner.run(conn, &work, false)?;
            look.ledger.put_seal(conn)?;
            Ok(report)
        })?;
        report.duration = started.elapsed();
        Ok(report)
    }
}
