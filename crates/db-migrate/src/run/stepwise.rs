//! One migration outside a transaction, statement by statement, so that it can go on from where it
//! stopped.

use std::time::Instant;

use db_core::Conn;

use super::foreign_keys;
use super::script::Prepared;
use super::statement::{Leftover, clear_leftover, execute};
use super::step::run_rust;
use super::{Runner, within};
use crate::error::{Error, Outcome, counted};
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
        let keys = foreign_keys_setting(conn)?;
        let done = match &step.action {
            Action::Rust(function) => run_rust(conn, function, step, self.direction),
            Action::Sql(_) => self.step_by_step(conn, step, prepared),
        };
        if done.is_err() && prepared.iter().any(|p| p.facts.controls_transaction) {
            // The script's own transaction must not swallow what is recorded next.
            if let Err(e) = conn.batch_execute("ROLLBACK") {
                tracing::debug!(error = %e, "the script had no transaction open");
            }
        }
        let restored = restore_foreign_keys(conn, keys)
            .and_then(|()| self.session.restore_search_path(conn, step));
        done.and(restored)?;
        // No transaction says what changed, so everything is read again.
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
        let in_pieces = prepared.iter().any(|p| p.facts.controls_transaction);
        for p in prepared.iter().skip(already) {
            let number = p.statement.number as u64;
            if in_pieces || stands_alone(p) {
                self.record_progress(conn, step, (number, progress.done))?;
                self.one(conn, step, p, progress)?;
                self.record_progress(conn, step, (number, number))?;
            } else {
                // The statement and its record are one: no kill can come between them.
                self.context.check_interrupt()?;
                let script = [(&step.version, std::slice::from_ref(p))];
                self.with_retries(conn, &script, |runner, conn| {
                    within(conn, |conn| {
                        execute(conn, p, false).map_err(|e| runner.failed(step, p, conn, &e))?;
                        runner.record_progress(conn, step, (number, number))
                    })
                })
                .map_err(|e| recorded(e, progress))?;
            }
            progress = Progress {
                done: number,
                next_was_begun: false,
            };
            (self.context.emit)(&Event::Statement {
                number: p.statement.number,
                of: prepared.len(),
            });
        }
        Ok(())
    }

    fn record_progress(
        &self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        (begun, done): (u64, u64),
    ) -> Result<(), Error> {
        let way_back = match (&step.action, self.direction) {
            (Action::Sql(text), Direction::Down) => Some(text.as_ref()),
            _ => None,
        };
        let ledger = self.context.ledger;
        ledger.progress(conn, &step.version, (begun, done), way_back)
    }

    /// Runs one statement that cannot share a transaction with its record, with the care that
    /// `CREATE INDEX CONCURRENTLY` needs. There is no `lock_timeout`: such a statement waits for old
    /// transactions, but nobody waits behind it.
    fn one(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &Prepared<'_>,
        progress: Progress,
    ) -> Result<(), Error> {
        self.context.check_interrupt()?;
        if let Some(index) = &prepared.facts.concurrent_index {
            match clear_leftover(conn, index, progress.next_was_begun)? {
                Leftover::None => {}
                Leftover::Done => return Ok(()),
                Leftover::Dropped(name) => {
                    let text = format!("{name} was left invalid by an earlier try; rebuilt");
                    self.context.notice(&mut self.report, text);
                }
            }
        }
        execute(conn, prepared, false)
            .map(|_| ())
            .map_err(|e| self.failed(step, prepared, conn, &e))
            .map_err(|e| recorded(e, progress))
    }

    /// Finds the row of an earlier try, or on the way forth writes a new one. On the way back the
    /// row is there, and the first statement that takes effect marks it.
    fn begin_or_resume(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<Progress, Error> {
        let ledger = self.context.ledger;
        let history = ledger.history(conn)?;
        let halves = history.incomplete.iter().chain(history.half_reverted());
        if let Some(row) = halves.into_iter().find(|row| row.version == step.version) {
            let stored = ledger.texts(conn, &row.version)?;
            let stored = match self.direction {
                Direction::Up => stored.up,
                Direction::Down => stored.down,
            };
            self.check_same_start(row, &stored.unwrap_or_default(), prepared)?;
            let text = format!(
                "{} goes on after statement {} of {}",
                step.folder_name,
                row.statements_done,
                prepared.len()
            );
            self.context.notice(&mut self.report, text);
            let next_was_begun = row.statements_begun > row.statements_done;
            if next_was_begun {
                let text = format!(
                    "{}: an earlier run ended during statement {}, which may have taken effect \
                     already and is run again",
                    step.folder_name, row.statements_begun
                );
                self.context.notice(&mut self.report, text);
            }
            let done = usize::try_from(row.statements_done).unwrap_or(usize::MAX);
            self.replay_session(conn, step, &prepared[..done.min(prepared.len())])?;
            return Ok(Progress {
                done: row.statements_done,
                next_was_begun,
            });
        }
        let (Some(migration), Direction::Up) = (step.migration, self.direction) else {
            return Ok(Progress::default());
        };
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

    /// What the statements that are skipped did to the session is gone with the session that ran
    /// them, so it is done again; temporary objects cannot be.
    fn replay_session(
        &self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        skipped: &[Prepared<'_>],
    ) -> Result<(), Error> {
        for p in skipped {
            let words = first_words(p.statement.text);
            if words[0] == "create" && ["temp", "temporary"].contains(&words[1].as_str()) {
                return Err(Error::Refused(format!(
                    "{} cannot go on: its statement {} made a temporary object, which is gone; \
                     finish it by hand and accept it with `repair --accept {}`",
                    step.folder_name, p.statement.number, step.version
                )));
            }
            if SESSION_WORDS.contains(&words[0].as_str()) {
                execute(conn, p, false)
                    .map_err(|e| self.failed(step, p, conn, &e))
                    .map_err(|e| recorded(e, Progress::default()))?;
            }
        }
        Ok(())
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
        let file = self.direction.file_name();
        Err(Error::Refused(format!(
            "{}: {file} stopped after {}, and what was done was edited since; restore that, and \
             change only what comes after, or accept what is there as applied with \
             `repair --accept {}`",
            row.folder_name,
            counted(row.statements_done, "statement"),
            row.version
        )))
    }
}

/// Statements that change the session and not the database.
const SESSION_WORDS: [&str; 6] = ["pragma", "attach", "detach", "set", "reset", "load"];

/// The first two words, in lower case.
fn first_words(text: &str) -> [String; 2] {
    let mut words = text.split_ascii_whitespace().map(str::to_ascii_lowercase);
    [
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    ]
}

/// Whether a statement cannot share a transaction with its record.
fn stands_alone(prepared: &Prepared<'_>) -> bool {
    let word = &first_words(prepared.statement.text)[0];
    prepared.facts.refuses_transaction
        || prepared.facts.controls_transaction
        || SESSION_WORDS.contains(&word.as_str())
        // A procedure may commit by itself.
        || ["call", "do"].contains(&word.as_str())
}

/// SQLite's `foreign_keys`, which a script outside a transaction can change for good.
fn foreign_keys_setting(conn: &mut Conn<'_>) -> Result<Option<bool>, Error> {
    match conn.reborrow() {
        Conn::Sqlite(c) => foreign_keys::are_on(c).map(Some),
        Conn::Postgres(_) => Ok(None),
    }
}

fn restore_foreign_keys(conn: &mut Conn<'_>, before: Option<bool>) -> Result<(), Error> {
    match conn.reborrow() {
        Conn::Sqlite(c) if before == Some(true) => foreign_keys::switch_on(c),
        _ => Ok(()),
    }
}

/// Says how much took effect, instead of "rolled back".
fn recorded(error: Error, progress: Progress) -> Error {
    match error {
        Error::Failed {
            mut failure,
            report,
        } => {
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
