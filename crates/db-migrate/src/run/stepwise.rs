//! One migration outside a transaction, statement by statement, so that it can go on from where it
//! stopped.

use std::time::Instant;

use db_core::Conn;

use super::script::Prepared;
use super::statement::{Leftover, clear_leftover, execute};
use super::step::run_rust;
use super::{Runner, within};
use crate::error::{Error, Outcome, in_database};
use crate::event::Event;
use crate::ledger::{Applied, NewRow, Status};
use crate::migration::Direction;
use crate::plan::{Action, PlannedStep};
use crate::sql::{canonical, split};

/// How far an earlier run came.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Statements that took effect.
    done: u64,
    /// Whether the next one was begun when the run was killed.
    next_was_begun: bool,
}

impl Runner<'_, '_> {
    pub(super) fn outside_transaction(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<(), Error> {
        let started = Instant::now();
        match &step.action {
            Action::Rust(function) => run_rust(conn, function, step, self.direction)?,
            Action::Sql(_) if self.direction == Direction::Up => {
                self.step_by_step(conn, step, prepared)?;
            }
            // On the way back nothing is recorded between statements: the migration stays applied
            // until all have run, and a way back that failed is run again from its start.
            Action::Sql(_) => {
                for p in prepared {
                    self.one(conn, step, p, Progress::default())?;
                }
            }
        }
        // No transaction says what changed, so everything is read again.
        self.session.restore_search_path(conn, step)?;
        within(conn, |conn| {
            let delta = self.read_schema(conn)?;
            self.record(conn, step, (prepared.len() as u64, started), Some(&delta))
        })
    }

    fn step_by_step(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<(), Error> {
        let mut progress = self.begin_or_resume(conn, step, prepared)?;
        let already = usize::try_from(progress.done).unwrap_or(usize::MAX);
        for p in prepared.iter().skip(already) {
            let number = p.statement.number as u64;
            self.context
                .ledger
                .progress(conn, &step.version, (number, progress.done))?;
            self.one(conn, step, p, progress)?;
            progress = Progress {
                done: number,
                next_was_begun: false,
            };
            self.context
                .ledger
                .progress(conn, &step.version, (number, number))?;
            (self.context.emit)(&Event::Statement {
                number: p.statement.number,
                of: prepared.len(),
            });
        }
        Ok(())
    }

    /// Runs one statement, with the care that `CREATE INDEX CONCURRENTLY` needs.
    fn one(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &Prepared<'_>,
        progress: Progress,
    ) -> Result<(), Error> {
        self.context.check_interrupt()?;
        self.with_retries_outside(conn, |runner, conn| {
            if let Some(index) = &prepared.facts.concurrent_index {
                match clear_leftover(conn, index, progress.next_was_begun)? {
                    Leftover::None => {}
                    Leftover::Done => return Ok(()),
                    Leftover::Dropped(name) => {
                        let text = format!("{name} was left invalid by an earlier try; rebuilt");
                        runner.context.notice(&mut runner.report, text);
                    }
                }
            }
            execute(conn, prepared, false)
                .map(|_| ())
                .map_err(|e| runner.failed(step, prepared, conn, &e))
        })
        .map_err(|e| recorded(e, progress, self.direction))
    }

    /// Outside a transaction `lock_timeout` is the session's, and the tracker is started anew.
    fn with_retries_outside(
        &mut self,
        conn: &mut Conn<'_>,
        attempt: impl FnMut(&mut Self, &mut Conn<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let timeout = super::transaction::LOCK_TIMEOUT.as_millis();
        let on_postgres = matches!(conn, Conn::Postgres(_));
        let set = |conn: &mut Conn<'_>, sql: &str| {
            if !on_postgres {
                return Ok(());
            }
            conn.batch_execute(sql).map_err(in_database(
                db_core::Engine::Postgres,
                "setting lock_timeout",
            ))
        };
        set(conn, &format!("SET lock_timeout = {timeout}"))?;
        let done = self.with_retries(conn, attempt);
        set(conn, "RESET lock_timeout").and(done)
    }

    /// Finds the row of an earlier try, or writes a new one.
    fn begin_or_resume(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<Progress, Error> {
        let Some(migration) = step.migration else {
            return Ok(Progress::default());
        };
        let ledger = self.context.ledger;
        let earlier = ledger
            .history(conn)?
            .incomplete
            .into_iter()
            .find(|row| row.version == step.version);
        if let Some(row) = earlier {
            let stored = ledger.texts(conn, &row.version)?.up.unwrap_or_default();
            self.check_same_start(&row, &stored, prepared)?;
            let text = format!(
                "{} goes on after statement {} of {}",
                step.folder_name,
                row.statements_done,
                prepared.len()
            );
            self.context.notice(&mut self.report, text);
            return Ok(Progress {
                done: row.statements_done,
                next_was_begun: row.statements_begun > row.statements_done,
            });
        }
        let at = self.context.now();
        let sequence = self.sequence;
        within(conn, |conn| {
            ledger.put(
                conn,
                &NewRow {
                    applied_at: &at,
                    applied_by: self.context.actor,
                    ..NewRow::of(migration, Status::Incomplete, sequence)?
                },
            )
        })?;
        Ok(Progress::default())
    }

    /// The statements that took effect must still be the first ones of the file.
    fn check_same_start(
        &self,
        row: &Applied,
        stored: &str,
        prepared: &[Prepared<'_>],
    ) -> Result<(), Error> {
        let engine = self.context.ledger.engine();
        let done = usize::try_from(row.statements_done).unwrap_or(usize::MAX);
        let before = split(engine, stored).unwrap_or_default();
        let same = before.len() >= done
            && prepared.len() >= done
            && before
                .iter()
                .zip(prepared)
                .take(done)
                .all(|(a, b)| canonical(engine, a.text) == canonical(engine, b.statement.text));
        if same {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{} stopped after {done} statements, and those were edited since; restore them, and \
             change only what comes after, or accept what is there with `repair --accept {}`",
            row.folder_name, row.version
        )))
    }
}

/// Says how much took effect, instead of "rolled back".
fn recorded(error: Error, progress: Progress, direction: Direction) -> Error {
    match error {
        Error::Failed {
            mut failure,
            report,
        } if direction == Direction::Up => {
            failure.outcome = Outcome::Recorded {
                done: progress.done,
            };
            if progress.next_was_begun {
                failure.message.push_str(
                    "; an earlier run was killed during this statement, which may have taken \
                     effect: if so, remove it from the file",
                );
            }
            Error::Failed { failure, report }
        }
        other => other,
    }
}
