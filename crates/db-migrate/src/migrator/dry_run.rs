//! Running without a trace: on a copy of a SQLite database, or on PostgreSQL in a transaction that is
//! rolled back.

use std::time::Instant;

use db_core::{Access, Conn, Connection, DatabaseUrl};

use super::apply::{
    MigrateOptions, forward, has_tables_without_history, nothing, prepare, start_tracker,
    suggest_baseline,
};
use super::{Look, Migrator};
use crate::error::{Error, Outcome};
use crate::migration::Direction;
use crate::plan::{self, PlannedStep};
use crate::report::Report;
use crate::run::{Reading, Runner, Session, dropped};
use crate::target::Target;

impl Migrator {
    /// Really runs what is pending, and leaves the database as it was.
    ///
    /// # Errors
    /// What the run itself would fail with.
    pub fn dry_run<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        options: &MigrateOptions,
    ) -> Result<Report, Error> {
        let mut conn = conn.into();
        let started = Instant::now();
        let look = self.look(&mut conn)?;
        let (steps, warnings) = forward(&look, options)?;
        if steps.is_empty() {
            return rehearsed(Ok(nothing(Direction::Up, warnings, started)), started);
        }
        prepare(&look, &steps)?;
        let outcome = if let Some((_copy, mut connection)) = self.open_copy(&mut conn)? {
            self.apply_locked(&mut connection.conn(), options, started)
        } else {
            let mut report = Report::new(Direction::Up);
            report.notices = warnings;
            self.on_postgres(&mut conn, &look, &steps, report)
        };
        rehearsed(outcome, started)
    }

    /// Really reverts what [`Migrator::rollback_to`], or without a target [`Migrator::rollback`],
    /// would revert, and leaves the database as it was.
    ///
    /// # Errors
    /// What the rollback itself would fail with.
    pub fn dry_run_rollback<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        target: Option<&Target>,
    ) -> Result<Report, Error> {
        let mut conn = conn.into();
        let started = Instant::now();
        let look = self.look(&mut conn)?;
        let rows = plan::backward(&look.set, &look.history, target)?;
        if rows.is_empty() {
            let report = nothing(Direction::Down, Vec::new(), started);
            return rehearsed(Ok(report), started);
        }
        let steps = plan::way_back(&look.ledger, &mut conn, &look.set, &rows)?;
        prepare(&look, &steps)?;
        let outcome = if let Some((_copy, mut connection)) = self.open_copy(&mut conn)? {
            self.revert_locked(&mut connection.conn(), target, None, started)
        } else {
            self.on_postgres(&mut conn, &look, &steps, Report::new(Direction::Down))
        };
        let outcome = outcome.and_then(|mut report| {
            dropped::count(&mut conn, &mut report)?;
            Ok(report)
        });
        rehearsed(outcome, started)
    }

    /// A connection to a copy of a SQLite database, which lives as long as the copy does.
    fn open_copy(
        &self,
        conn: &mut Conn<'_>,
    ) -> Result<Option<(crate::rehearse::Copy, Connection)>, Error> {
        let Conn::Sqlite(c) = conn.reborrow() else {
            return Ok(None);
        };
        let copy = crate::rehearse::copy(c)?;
        let url = DatabaseUrl::SqliteFile(copy.path());
        // What comes out of memory is not encrypted; it holds what migrations put into nothing.
        let key = self.key.as_ref().filter(|_| copy.is_of_file());
        let connection = Connection::open_encrypted(&url, Access::ReadWrite, &self.stop(), key)
            .map_err(|error| Error::Database {
                doing: "opening the copy",
                error,
            })?;
        Ok(Some((copy, connection)))
    }

    fn on_postgres(
        &self,
        conn: &mut Conn<'_>,
        look: &Look,
        steps: &[PlannedStep<'_>],
        report: Report,
    ) -> Result<Report, Error> {
        let work = prepare(look, steps)?;
        let scope = self.scope_of(&look.ledger, conn)?;
        let context = self.context(&look.ledger, &scope);
        let session = Session::inspect(&look.ledger, conn)?;
        let tracker = start_tracker(conn, &scope)?;
        let is_strange = has_tables_without_history(look, &tracker);
        let runner = Runner {
            context: &context,
            direction: report.direction,
            tracker,
            session: &session,
            sequence: look.history.next_sequence(),
            report,
            rehearse: true,
            reading: Reading::after(std::time::Duration::ZERO),
            rows_changed: None,
            dropped: None,
            origins: dropped::Origins::default(),
        };
        runner
            .run(conn, &work, true)
            .map_err(|e| suggest_baseline(e, is_strange))
    }
}

/// The outcome, marked as that of a rehearsal which began then.
fn rehearsed(outcome: Result<Report, Error>, started: Instant) -> Result<Report, Error> {
    let marked = |mut report: Box<Report>| {
        report.rehearsal = true;
        report
    };
    match outcome {
        Ok(mut report) => {
            report.rehearsal = true;
            report.duration = started.elapsed();
            Ok(report)
        }
        Err(Error::Failed {
            mut failure,
            report,
        }) => {
            // Whatever took effect did so on the copy.
            failure.outcome = Outcome::RolledBack;
            let report = marked(report);
            Err(Error::Failed { failure, report })
        }
        Err(Error::Unsound {
            when,
            findings,
            report,
        }) => Err(Error::Unsound {
            when,
            findings,
            report: report.map(marked),
        }),
        Err(Error::Interrupted { report }) => Err(Error::Interrupted {
            report: report.map(marked),
        }),
        Err(other) => Err(other),
    }
}
