//! Running a plan: each migration with its ledger row in one transaction, or step by step outside.

mod blockers;
pub(crate) mod dropped;
mod foreign_keys;
mod reading;
mod rehearsal;
mod script;
mod session;
mod statement;
mod step;
mod stepwise;
mod transaction;

use std::time::{Duration, Instant};

use db_core::{Clock, Conn, ErrorKind, Interrupt};

use crate::Version;
use crate::catalog::{Scope, Tracker};
use crate::error::{Error, Failure, in_database};
use crate::event::{Event, EventKind};
use crate::ledger::{Ledger, NewEvent, timestamp};
use crate::lock;
use crate::migration::Direction;
use crate::plan::{PlannedStep, without_foreign_keys};
use crate::report::{DroppedTable, Report};

pub use blockers::Blocker;
pub(crate) use reading::Reading;
pub(crate) use script::{Prepared, Rules, asks_for_foreign_keys_off, prepare};
pub(crate) use session::{Session, at_once, busy_timeout, set_busy_timeout};
pub(crate) use transaction::{depth, within};

/// The first pause after a lock on a table could not be had; it doubles up to the longest.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What every part of a run needs.
pub(crate) struct Context<'m> {
    pub(crate) ledger: &'m Ledger,
    pub(crate) clock: &'m dyn Clock,
    pub(crate) actor: &'m str,
    pub(crate) interrupt: Option<&'m Interrupt>,
    pub(crate) emit: &'m dyn Fn(&Event),
    /// How long locks on tables are tried for, in all.
    pub(crate) patience: Duration,
    pub(crate) scope: &'m Scope,
}

impl Context<'_> {
    pub(crate) fn now(&self) -> String {
        timestamp(self.clock.now())
    }

    /// An error if a stop was asked for.
    pub(crate) fn check_interrupt(&self) -> Result<(), Error> {
        match self.interrupt {
            Some(interrupt) if interrupt.is_set() => Err(Error::Interrupted { report: None }),
            _ => Ok(()),
        }
    }

    pub(crate) fn notice(&self, report: &mut Report, text: String) {
        (self.emit)(&Event::Notice(text.clone()));
        report.notices.push(text);
    }

    /// Appends to the log, in the caller's transaction.
    pub(crate) fn log(
        &self,
        conn: &mut Conn<'_>,
        kind: EventKind,
        migration: Option<(&Version, &str, &str)>,
        detail: Option<&str>,
    ) -> Result<(), Error> {
        let at = self.now();
        self.ledger.note(
            conn,
            &NewEvent {
                kind,
                at: &at,
                actor: self.actor,
                migration,
                duration_us: None,
                statement: None,
                detail,
            },
        )
    }
}

/// A plan that is being run.
pub(crate) struct Runner<'r, 'm> {
    pub(crate) context: &'r Context<'m>,
    pub(crate) direction: Direction,
    pub(crate) tracker: Tracker,
    pub(crate) session: &'r Session,
    /// The place in the order of application of the next one.
    pub(crate) sequence: i64,
    pub(crate) report: Report,
    /// Whether everything is rolled back in the end.
    pub(crate) rehearse: bool,
    /// When the schema is read.
    pub(crate) reading: Reading,
    /// Rows that the step at hand has changed, where the engine counts them.
    pub(crate) rows_changed: Option<u64>,
    /// Tables that it has dropped on the way back.
    pub(crate) dropped: Option<Vec<DroppedTable>>,
    /// What its tables were called before the run.
    pub(crate) origins: dropped::Origins,
}

/// What may have failed: the statements of a migration.
type Script<'s> = (&'s Version, &'s [Prepared<'s>]);

/// A step with its statements.
pub(crate) type Work<'s> = (&'s PlannedStep<'s>, Vec<Prepared<'s>>);

impl Runner<'_, '_> {
    /// Runs all steps, each in its own transaction, or all in one.
    pub(crate) fn run(
        mut self,
        conn: &mut Conn<'_>,
        work: &[Work<'_>],
        single_transaction: bool,
    ) -> Result<Report, Error> {
        (self.context.emit)(&Event::Planned {
            migrations: work.len(),
            direction: self.direction,
        });
        self.note_empty_scripts(work);
        let outcome = if self.rehearse {
            self.rehearse(conn, work)
        } else if single_transaction {
            self.run_together(conn, work)
        } else {
            self.run_each(conn, work)
        };
        match outcome {
            Ok(()) => Ok(self.report),
            Err(error) => Err(self.give_up(conn, work, error)),
        }
    }

    /// A template that nobody filled in is recorded like any other migration, and never runs again.
    fn note_empty_scripts(&mut self, work: &[Work<'_>]) {
        if self.direction == Direction::Down {
            return;
        }
        for (step, prepared) in work {
            if prepared.is_empty() && !step.is_rust {
                let text = format!(
                    "{} holds no statement; {} is recorded as applied all the same",
                    step.file, step.folder_name
                );
                self.context.notice(&mut self.report, text);
            }
        }
    }

    fn run_each(&mut self, conn: &mut Conn<'_>, work: &[Work<'_>]) -> Result<(), Error> {
        for (number, (step, prepared)) in (1..).zip(work) {
            self.announce(step, number);
            self.reading.is_last = number == work.len();
            let started = Instant::now();
            if step.options.run_in_transaction {
                self.with_retries(conn, &[(&step.version, prepared)], |runner, conn| {
                    runner.in_transaction(conn, step, prepared)
                })?;
            } else {
                self.outside_transaction(conn, step, prepared)?;
            }
            self.finished(step, prepared, started);
        }
        Ok(())
    }

    /// All or nothing.
    fn run_together(&mut self, conn: &mut Conn<'_>, work: &[Work<'_>]) -> Result<(), Error> {
        if let Some((step, _)) = work.iter().find(|(s, _)| !s.options.run_in_transaction) {
            return Err(Error::Refused(format!(
                "{} runs outside a transaction (metadata.toml); leave out --single-transaction, \
                 or apply it by itself with --to",
                step.folder_name
            )));
        }
        let unguarded = work.iter().find(|(s, p)| without_foreign_keys(s, p));
        if let (Some((step, _)), 2.., db_core::Engine::Sqlite) =
            (unguarded, work.len(), conn.engine())
        {
            return Err(Error::Refused(format!(
                "{} runs without foreign keys, which would hold for all in one transaction; leave \
                 out --single-transaction, or apply it by itself with --to",
                step.folder_name
            )));
        }
        let switch_off = unguarded.is_some();
        let before = self.sequence;
        let scripts: Vec<_> = work
            .iter()
            .map(|(s, p)| (&s.version, p.as_slice()))
            .collect();
        self.with_retries(conn, &scripts, |runner, conn| {
            runner.report.steps.clear();
            runner.sequence = before;
            runner.reading.stamp_is_gone = false;
            step::around_foreign_keys(conn, switch_off, |conn| {
                within(conn, |conn| {
                    for (number, (step, prepared)) in (1..).zip(work) {
                        runner.announce(step, number);
                        runner.reading.is_last = number == work.len();
                        let started = Instant::now();
                        runner.run_and_record(conn, step, prepared)?;
                        runner.finished(step, prepared, started);
                    }
                    Ok(())
                })
            })
            .map_err(|e| match work.last() {
                Some((step, _)) => runner.in_step(step, e),
                None => e,
            })
            .inspect_err(|_| runner.report.steps.clear())
        })
    }

    /// Tries again while a lock on a table cannot be had in time, with growing, uneven pauses, so
    /// that readers who queue behind the migration get their turn in between.
    fn with_retries(
        &mut self,
        conn: &mut Conn<'_>,
        scripts: &[Script<'_>],
        mut attempt: impl FnMut(&mut Self, &mut Conn<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = FIRST_RETRY_PAUSE;
        for next in 2.. {
            let error = match attempt(self, conn) {
                Err(error) if statement::is_lock_timeout(&error) => error,
                other => return other,
            };
            let blockers = match failed_statement(scripts, &error) {
                Some(text) => blockers::find(conn, text),
                None => Vec::new(),
            };
            if started.elapsed() + pause > self.context.patience {
                return Err(naming(error, &blockers));
            }
            let pause_now = uneven(pause);
            (self.context.emit)(&Event::Retrying {
                attempt: next,
                pause: pause_now,
                reason: statement::first_line_of(&error),
                blockers,
            });
            lock::sleep(pause_now, self.context.interrupt)?;
            pause = (pause * 2).min(LONGEST_RETRY_PAUSE);
            // What the tracker saw inside the transaction is undone.
            self.start_tracker(conn)?;
        }
        Ok(())
    }

    pub(crate) fn start_tracker(&mut self, conn: &mut Conn<'_>) -> Result<(), Error> {
        self.tracker = Tracker::start(conn, self.context.scope)
            .map_err(in_database(conn.engine(), "reading the schema"))?;
        Ok(())
    }

    fn announce(&self, step: &PlannedStep<'_>, number: usize) {
        tracing::info!(version = %step.version, name = step.name(), direction = ?self.direction, "migration");
        (self.context.emit)(&Event::Started {
            version: step.version.clone(),
            name: step.name().to_owned(),
            number,
        });
    }

    fn finished(&mut self, step: &PlannedStep<'_>, prepared: &[Prepared<'_>], started: Instant) {
        self.reading.recorded();
        let duration = started.elapsed();
        (self.context.emit)(&Event::Finished {
            version: step.version.clone(),
            duration,
        });
        self.report.steps.push(crate::Step {
            version: step.version.clone(),
            name: step.name().to_owned(),
            set: step.set.clone(),
            duration,
            statements: prepared.len() as u64,
            rows_changed: self.rows_changed.take(),
            dropped: self.dropped.take(),
            locks: Vec::new(),
            not_rehearsed: None,
        });
    }

    /// Writes the failure into the log, and completes the error with what was done before it.
    fn give_up(mut self, conn: &mut Conn<'_>, work: &[Work<'_>], error: Error) -> Error {
        self.store_schema_early(conn);
        let mut report = self.report;
        report.duration = report.steps.iter().map(|step| step.duration).sum();
        report.not_run = work
            .iter()
            .skip(report.steps.len())
            .map(|(step, _)| step.version.clone())
            .collect();
        let interrupted = self.context.interrupt.is_some_and(Interrupt::is_set);
        match error {
            Error::Interrupted { .. } => Error::Interrupted {
                report: Some(Box::new(report)),
            },
            _ if interrupted => Error::Interrupted {
                report: Some(Box::new(report)),
            },
            Error::Failed { failure, .. } => {
                if !self.rehearse {
                    log_failure(self.context, conn, work, &failure);
                }
                Error::Failed {
                    failure,
                    report: Box::new(report),
                }
            }
            other => other,
        }
    }
}

/// The log is told in a transaction of its own, because the migration's is gone. A database that
/// cannot even take that (a full disk, a lost connection) must not hide the failure itself.
fn log_failure(context: &Context<'_>, conn: &mut Conn<'_>, work: &[Work<'_>], failure: &Failure) {
    let Some((step, _)) = work.iter().find(|(s, _)| s.version == failure.version) else {
        return;
    };
    let at = context.now();
    let log = |conn: &mut Conn<'_>| {
        within(conn, |conn| {
            context.ledger.note(
                conn,
                &NewEvent {
                    kind: EventKind::Failed,
                    at: &at,
                    actor: context.actor,
                    migration: Some((&step.version, &step.folder_name, &step.set)),
                    duration_us: None,
                    statement: failure.statement,
                    detail: Some(&failure.message),
                },
            )
        })
    };
    if failure.kind == Some(ErrorKind::Busy) {
        // Another writer was waited for in vain, and most likely is still at it.
        if let Err(e) = at_once(conn, log) {
            tracing::debug!(error = %e, "the failure could not be written into the log");
        }
    } else if let Err(e) = log(conn) {
        tracing::warn!(error = %e, "the failure could not be written into the log");
    }
}

/// The text of the statement that failed.
fn failed_statement<'s>(scripts: &[Script<'s>], error: &Error) -> Option<&'s str> {
    let Error::Failed { failure, .. } = error else {
        return None;
    };
    let (_, prepared) = scripts
        .iter()
        .find(|(version, _)| **version == failure.version)?;
    let failed = prepared
        .iter()
        .find(|p| Some(p.statement.number as u64) == failure.statement)?;
    Some(failed.statement.text)
}

/// The same error, with those who stood in the way.
fn naming(error: Error, blockers: &[Blocker]) -> Error {
    match error {
        Error::Failed {
            mut failure,
            report,
        } if !blockers.is_empty() => {
            let names: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            failure.message = format!(
                "{}: the tables are in use by {}",
                failure.message,
                names.join(", ")
            );
            Error::Failed { failure, report }
        }
        other => other,
    }
}

/// Between half of a pause and the whole of it, so that two runs do not meet again and again.
fn uneven(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    let half = pause / 2;
    let share = u32::try_from(random % 1_000).unwrap_or(0);
    half + half * share / 1_000
}
