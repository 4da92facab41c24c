//! Forward.

use std::time::Instant;

use db_core::{Conn, ErrorKind};

use super::{Look, Migrator};
use crate::assess::{Assessment, Problem, assess};
use crate::catalog::{Kind, Scope, Tracker};
use crate::drift::{self, Drift};
use crate::error::{Error, Outcome, in_database};
use crate::event::{Event, EventKind};
use crate::heal::heal;
use crate::ledger::Ledger;
use crate::lock::{self, Held, Patience};
use crate::migration::Direction;
use crate::plan::{self, PlannedStep};
use crate::report::Report;
use crate::run::{Context, Reading, Runner, Session, Work, at_once, dropped, within};
use crate::target::Target;

/// How to go forward.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the command line"
)]
pub struct MigrateOptions {
    /// Where to stop; the last one by default.
    pub target: Option<Target>,
    /// All in one transaction.
    pub single_transaction: bool,
    /// Whether pending migrations may come before applied ones.
    pub allow_out_of_order: bool,
    /// Whether to go on although the schema was changed by hand, taking it as it is.
    pub accept_drift: bool,
    /// Whether to check integrity and foreign keys before and after.
    pub verify: bool,
}

impl Migrator {
    /// Applies everything that is pending.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Failed`] carries what was done before.
    pub fn run<'c>(&self, conn: impl Into<Conn<'c>>) -> Result<Report, Error> {
        self.migrate(conn, &MigrateOptions::default())
    }

    /// Applies what is pending, as the options say.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Failed`] carries what was done before.
    pub fn migrate<'c>(
        &self,
        conn: impl Into<Conn<'c>>,
        options: &MigrateOptions,
    ) -> Result<Report, Error> {
        let mut conn = conn.into();
        let conn = &mut conn;
        let started = Instant::now();
        let span = tracing::info_span!("migrate", engine = conn.engine().name());
        let _entered = span.enter();
        let asks_for_all = options.target.is_none() && !options.accept_drift;
        let located = Ledger::locate(conn);
        if asks_for_all && self.is_settled(conn, &located)? {
            return Ok(nothing(Direction::Up, Vec::new(), started));
        }
        let look = self.look_at(conn, located)?;
        let (steps, warnings) = forward(&look, options)?;
        if steps.is_empty() && !look.history.needs_healing() && !options.accept_drift {
            return Ok(nothing(Direction::Up, warnings, started));
        }
        // What cannot be run is said before anything is locked.
        prepare(&look, &steps)?;
        drop(steps);
        self.under_lock(conn, |migrator, conn| {
            migrator.apply_locked(conn, options, started)
        })
    }

    /// Everything after the lock: look again, heal, check drift, run.
    pub(super) fn apply_locked(
        &self,
        conn: &mut Conn<'_>,
        options: &MigrateOptions,
        started: Instant,
    ) -> Result<Report, Error> {
        let look = self.look(conn)?;
        let (steps, warnings) = forward(&look, options)?;
        if steps.is_empty() && !look.history.needs_healing() && !options.accept_drift {
            return Ok(nothing(Direction::Up, warnings, started));
        }
        let work = prepare(&look, &steps)?;
        let scope = self.scope_of(&look.ledger, conn)?;
        let context = self.context(&look.ledger, &scope);
        let mut report = Report::new(Direction::Up);
        let is_settled_after = warnings.is_empty() && options.target.is_none();
        report.notices = warnings;
        if options.verify {
            verify(conn, "before the run", None)?;
        }
        let mut report = within_session(&context, conn, |session, conn| {
            let (tracker, reading, notices) =
                ready(&context, &look, session, conn, options.accept_drift)?;
            for notice in notices {
                context.notice(&mut report, notice);
            }
            let is_strange = has_tables_without_history(&look, &tracker);
            let runner = Runner {
                context: &context,
                direction: Direction::Up,
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
            let report = runner
                .run(conn, &work, options.single_transaction)
                .map_err(|e| suggest_baseline(e, is_strange))?;
            let settled = is_settled_after.then_some(&*look.set);
            look.ledger.put_seal(conn, settled)?;
            Ok(report)
        })?;
        if options.verify {
            let so_far = report.clone();
            verify(conn, "after the run", Some(so_far))?;
        }
        report.duration = started.elapsed();
        Ok(report)
    }

    /// Runs `body` while holding the lock.
    pub(super) fn under_lock<T>(
        &self,
        conn: &mut Conn<'_>,
        body: impl FnOnce(&Self, &mut Conn<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if crate::run::depth(conn) > 0 {
            return Err(Error::Refused(
                "the connection is inside a transaction; migrations need one that is not"
                    .to_owned(),
            ));
        }
        let (ledger, _) = Ledger::locate(conn)?;
        let mut on_wait = |holder: &str| {
            (self.on_event)(&Event::WaitingForLock {
                holder: holder.to_owned(),
            });
        };
        let held: Held = lock::acquire(
            &ledger,
            conn,
            &mut Patience {
                wait: self.wait,
                interrupt: self.interrupt.as_ref(),
                on_wait: &mut on_wait,
            },
        )?;
        let done = body(self, conn);
        held.release(conn);
        done
    }
}

/// A report of a run that had nothing to do.
pub(super) fn nothing(direction: Direction, notices: Vec<String>, started: Instant) -> Report {
    let mut report = Report::new(direction);
    report.notices = notices;
    report.duration = started.elapsed();
    report
}

/// The plan, once files and history have been found to agree; warnings besides.
pub(super) fn forward<'l>(
    look: &'l Look,
    options: &MigrateOptions,
) -> Result<(Vec<PlannedStep<'l>>, Vec<String>), Error> {
    let assessment = assess(&look.set, &look.history)?;
    let warnings = agree(&assessment, options.allow_out_of_order)?;
    let steps = plan::forward(
        &look.set,
        &look.history,
        &assessment,
        options.target.as_ref(),
    )?;
    Ok((steps, warnings))
}

/// Stops at everything in which files and history disagree, and returns what is only a warning.
fn agree(assessment: &Assessment<'_>, allow_out_of_order: bool) -> Result<Vec<String>, Error> {
    let (warnings, problems): (Vec<Problem>, Vec<Problem>) = assessment
        .problems
        .iter()
        .filter(|p| !(allow_out_of_order && matches!(p, Problem::OutOfOrder { .. })))
        .cloned()
        .partition(Problem::is_warning);
    let (newer, others): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|p| matches!(p, Problem::Newer { .. }));
    if !newer.is_empty() {
        return Err(Error::NewerDatabase(newer));
    }
    if !others.is_empty() {
        return Err(Error::History(others));
    }
    Ok(warnings.iter().map(ToString::to_string).collect())
}

pub(super) fn prepare<'s>(
    look: &Look,
    steps: &'s [PlannedStep<'s>],
) -> Result<Vec<Work<'s>>, Error> {
    let engine = look.ledger.engine();
    steps
        .iter()
        .map(|step| step.prepare(engine).map(|prepared| (step, prepared)))
        .collect()
}

pub(super) fn start_tracker(conn: &mut Conn<'_>, scope: &Scope) -> Result<Tracker, Error> {
    Tracker::start(conn, scope).map_err(in_database(conn.engine(), "reading the schema"))
}

/// Runs `body` with the session prepared for it, and puts the session back whatever happened.
pub(super) fn within_session<T>(
    context: &Context<'_>,
    conn: &mut Conn<'_>,
    body: impl FnOnce(&Session, &mut Conn<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let session = Session::prepare(context.ledger, conn, context.interrupt)?;
    let done = body(&session, conn);
    // Whoever has waited in vain for another writer must not wait for it once more.
    let finished = match &done {
        Err(e) if e.database_kind() == Some(ErrorKind::Busy) => {
            at_once(conn, |conn| session.finish(context.ledger, conn))
        }
        _ => session.finish(context.ledger, conn),
    };
    done.and_then(|value| finished.map(|()| value))
}

/// Under the lock: heals the ledger, refuses drift, and takes the schema's picture where the
/// stored one is not that of the database. Returns what is worth a notice beside the tracker. The
/// seal is put on when the run ends.
pub(super) fn ready(
    context: &Context<'_>,
    look: &Look,
    session: &Session,
    conn: &mut Conn<'_>,
    accept_drift: bool,
) -> Result<(Tracker, Reading, Vec<String>), Error> {
    let mut notices = heal(context, conn, &look.set, &look.history)?.notices();
    let started = Instant::now();
    let tracker = start_tracker(conn, context.scope)?;
    let reading = Reading::after(started.elapsed());
    let live = tracker.catalog();
    let drift = drift::compare(&look.ledger, conn, &look.history, &live)?;
    let detail = match &drift {
        Drift::None => return Ok((tracker, reading, notices)),
        Drift::Found { differences } if !accept_drift => {
            return Err(Error::Drift(differences.clone()));
        }
        Drift::Found { differences } => {
            let list: Vec<String> = differences.iter().map(ToString::to_string).collect();
            format!(
                "the schema was changed by hand, and is taken as it is: {}",
                list.join("; ")
            )
        }
        Drift::Restored => {
            "the database was restored from a dump; its schema is the same".to_owned()
        }
        Drift::Unknown { .. } if look.history.applied.is_empty() => String::new(),
        Drift::Unknown { .. } => {
            "the schema as it is now is taken as the state to compare with".to_owned()
        }
    };
    within(conn, |conn| {
        let sequence = look.history.next_sequence() - 1;
        let server = session.server().to_owned();
        let stamp = drift::stamp_of(&live, sequence, server, context.now());
        look.ledger.stamp_whole(conn, &live, &stamp)?;
        if detail.is_empty() {
            return Ok(());
        }
        context.log(conn, EventKind::Restamped, None, Some(&detail))
    })?;
    notices.extend(Some(detail).filter(|detail| !detail.is_empty()));
    Ok((tracker, reading, notices))
}

fn verify(conn: &mut Conn<'_>, when: &'static str, done: Option<Report>) -> Result<(), Error> {
    let findings = crate::soundness::check(conn)?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(Error::Unsound {
        when,
        findings,
        report: done.map(Box::new),
    })
}

/// Whether somebody else made tables here, and no migration is recorded.
pub(super) fn has_tables_without_history(look: &Look, tracker: &Tracker) -> bool {
    look.history.applied.is_empty()
        && look.history.incomplete.is_empty()
        && tracker.catalog().objects().any(|o| o.kind == Kind::Table)
}

/// The first migration that makes what is there already is a case for `baseline`.
pub(super) fn suggest_baseline(error: Error, is_strange: bool) -> Error {
    match error {
        Error::Failed {
            mut failure,
            report,
        } => {
            failure.suggests_baseline = is_strange
                && report.steps.is_empty()
                && failure.kind == Some(ErrorKind::AlreadyExists)
                && failure.outcome == Outcome::RolledBack;
            Error::Failed { failure, report }
        }
        other => other,
    }
}
