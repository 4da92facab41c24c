//! One migration and its ledger row in one transaction.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use db_core::{Conn, Engine, ErrorKind};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl};

use super::foreign_keys::{self, Orphans, new_orphans, orphans};
use super::script::Prepared;
use super::statement::{execute, failure};
use super::transaction::{COMMITTING, depth, within};
use super::{Runner, dropped};
use crate::catalog::Delta;
use crate::error::{Error, Failure, Outcome, in_database};
use crate::event::{Event, EventKind};
use crate::ledger::{DIESEL_TABLE, NewEvent, NewRow, SchemaAfter, Status};
use crate::migration::Direction;
use crate::plan::{Action, PlannedStep, without_foreign_keys};

#[derive(QueryableByName)]
struct Changes {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

impl Runner<'_, '_> {
    pub(super) fn in_transaction(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<(), Error> {
        let switch_off = without_foreign_keys(step, prepared);
        if switch_off && !step.options.foreign_keys_off && conn.engine() == Engine::Sqlite {
            let text = format!(
                "{}: PRAGMA foreign_keys does nothing inside a transaction; they are switched off \
                 around the migration and checked after it, as foreign_keys = \"off\" in its \
                 metadata.toml would say",
                step.folder_name
            );
            self.context.notice(&mut self.report, text);
        }
        around_foreign_keys(conn, switch_off, |conn| {
            within(conn, |conn| self.run_and_record(conn, step, prepared))
        })
        .map_err(|e| self.in_step(step, e))
    }

    /// Runs the migration and writes its row, inside the caller's transaction.
    pub(super) fn run_and_record(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        prepared: &[Prepared<'_>],
    ) -> Result<(), Error> {
        let started = Instant::now();
        let orphans_before = orphans_if_unguarded(conn, step, prepared)?;
        let tables_before = dropped::before(conn, self.direction, &mut self.origins)?;
        let rows_before = total_changes(conn)?;
        match &step.action {
            Action::Sql(_) => {
                for p in prepared {
                    self.context.check_interrupt()?;
                    execute(conn, p, false).map_err(|e| self.failed(step, p, conn, &e))?;
                    (self.context.emit)(&Event::Statement {
                        number: p.statement.number,
                        of: prepared.len(),
                    });
                }
            }
            Action::Rust(function) => run_rust(conn, function, step, self.direction)?,
        }
        self.session.restore_search_path(conn, step)?;
        if let (Some(before), Some(after)) =
            (orphans_before, orphans_if_unguarded(conn, step, prepared)?)
        {
            let worse = new_orphans(&before, &after);
            if !worse.is_empty() {
                return Err(Error::Refused(worse.join("; ")));
            }
        }
        self.rows_changed = match (rows_before, total_changes(conn)?) {
            (Some(before), Some(after)) => u64::try_from(after - before).ok(),
            _ => None,
        };
        self.dropped = dropped::since(conn, tables_before, &mut self.origins)?;
        let delta = if self.reading.is_due(conn.engine()) {
            Some(self.read_schema(conn)?)
        } else {
            None
        };
        self.record(conn, step, (prepared.len() as u64, started), delta.as_ref())
    }

    /// The ledger's row, Diesel's row, the log and the schema's new stamp.
    pub(super) fn record(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        (statements, started): (u64, Instant),
        delta: Option<&Delta>,
    ) -> Result<(), Error> {
        let ledger = self.context.ledger;
        let at = self.context.now();
        let duration_us = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let stamp = delta.map(|delta| self.stamp_of(delta, &at));
        let schema = match (delta, &stamp) {
            (Some(delta), Some(stamp)) => SchemaAfter::Read(delta, stamp),
            _ if self.reading.stamp_is_gone => SchemaAfter::StillUnread,
            _ => SchemaAfter::Unread,
        };
        let event = NewEvent {
            kind: match self.direction {
                Direction::Up => EventKind::Applied,
                Direction::Down => EventKind::Reverted,
            },
            at: &at,
            actor: self.context.actor,
            migration: Some((&step.version, &step.folder_name, &step.set)),
            duration_us: Some(duration_us),
            statement: None,
            detail: None,
        };
        match self.direction {
            Direction::Up => {
                let migration = step.migration.ok_or_else(|| {
                    Error::Refused(format!("{} has no text to record", step.folder_name))
                })?;
                let row = NewRow {
                    statements,
                    applied_at: &at,
                    duration_us,
                    applied_by: self.context.actor,
                    fingerprints: delta
                        .map(|d| (d.strict_fingerprint.as_str(), d.loose_fingerprint.as_str())),
                    ..NewRow::of(migration, Status::Applied, self.sequence)?
                };
                ledger.record(conn, &row, &event, schema)?;
            }
            Direction::Down => {
                let gone = (&step.version, step.is_rust);
                ledger.unrecord(conn, gone, &event, schema)?;
            }
        }
        self.sequence += 1;
        Ok(())
    }

    pub(super) fn failed(
        &self,
        step: &PlannedStep<'_>,
        prepared: &Prepared<'_>,
        conn: &Conn<'_>,
        error: &diesel::result::Error,
    ) -> Error {
        let classified = db_core::Error::classify(conn.engine(), error);
        Error::Failed {
            failure: Box::new(failure(step, self.direction, prepared, &classified)),
            report: Box::new(crate::Report::new(self.direction)),
        }
    }

    /// An error around a migration's statements (a foreign-key check, the commit) is its failure
    /// too: the operator must learn which migration it was.
    pub(super) fn in_step(&self, step: &PlannedStep<'_>, error: Error) -> Error {
        let (message, kind) = match &error {
            Error::Database { doing, error } => {
                (format!("{doing}: {}", error.in_full()), Some(error.kind()))
            }
            Error::Refused(message) => (message.clone(), None),
            _ => return error,
        };
        let message = match kind {
            Some(ErrorKind::Constraint) if message.contains(DIESEL_TABLE) => {
                format!("{message}; another tool has applied it in the meantime: run again")
            }
            _ => message,
        };
        let outcome = match &error {
            Error::Database { doing, .. }
                if *doing == COMMITTING && kind == Some(ErrorKind::ConnectionLost) =>
            {
                Outcome::Unknown
            }
            _ => Outcome::RolledBack,
        };
        failed_as_a_whole((step, self.direction), message, kind, outcome)
    }
}

fn failed_as_a_whole(
    (step, direction): (&PlannedStep<'_>, Direction),
    message: String,
    kind: Option<ErrorKind>,
    outcome: Outcome,
) -> Error {
    Error::Failed {
        failure: Box::new(Failure {
            version: step.version.clone(),
            name: step.name().to_owned(),
            direction,
            file: step.file.clone(),
            statement: None,
            line: None,
            excerpt: None,
            message,
            outcome,
            kind,
            suggests_baseline: false,
        }),
        report: Box::new(crate::Report::new(direction)),
    }
}

/// Runs a migration written in Rust, and checks that it left the transaction as it was.
pub(super) fn run_rust(
    conn: &mut Conn<'_>,
    function: &crate::RustStep,
    step: &PlannedStep<'_>,
    direction: Direction,
) -> Result<(), Error> {
    let before = depth(conn);
    if before > 0 {
        mark(conn, "SAVEPOINT")?;
    }
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| function(conn)))
        .unwrap_or_else(|panic| Err(format!("it panicked: {}", words_of(panic.as_ref())).into()));
    // Diesel's own count does not see a COMMIT in SQL text, but the mark is gone with it.
    let ended = before > 0 && mark(conn, "RELEASE SAVEPOINT").is_err() && done.is_ok();
    let (message, kind) = match done {
        Ok(()) if !ended && depth(conn) == before => return Ok(()),
        Ok(()) => (
            "it left a transaction open, or ended the one that it was given".to_owned(),
            None,
        ),
        Err(error) => match error.downcast_ref::<diesel::result::Error>() {
            Some(e) => {
                let classified = db_core::Error::classify(conn.engine(), e);
                (classified.in_full(), Some(classified.kind()))
            }
            None => (error.to_string(), None),
        },
    };
    let outcome = if ended || before == 0 {
        Outcome::Partial
    } else {
        Outcome::RolledBack
    };
    Err(failed_as_a_whole((step, direction), message, kind, outcome))
}

fn mark(conn: &mut Conn<'_>, verb: &str) -> Result<(), Error> {
    conn.batch_execute(&format!("{verb} bitcraps_db_rust_migration"))
        .map_err(in_database(conn.engine(), "marking the transaction"))
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Switches SQLite's foreign keys off around `body`, and on again whatever happened. Outside a
/// transaction, where alone the pragma takes effect.
pub(super) fn around_foreign_keys(
    conn: &mut Conn<'_>,
    wanted: bool,
    body: impl FnOnce(&mut Conn<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let were_on = match conn.reborrow() {
        Conn::Sqlite(c) if wanted => foreign_keys::switch_off(c)?,
        _ => false,
    };
    let done = body(conn);
    let restored = match conn.reborrow() {
        Conn::Sqlite(c) if were_on => foreign_keys::switch_on(c),
        _ => Ok(()),
    };
    // What went wrong first is what the operator must see.
    done.and(restored)
}

/// How many rows this connection has changed so far; only SQLite counts them.
fn total_changes(conn: &mut Conn<'_>) -> Result<Option<i64>, Error> {
    let Conn::Sqlite(c) = conn.reborrow() else {
        return Ok(None);
    };
    diesel::sql_query("SELECT total_changes() AS rows")
        .get_result::<Changes>(c)
        .map(|row| Some(row.rows))
        .map_err(in_database(Engine::Sqlite, "counting changed rows"))
}

/// Rows without a parent, where the migration runs without foreign keys.
fn orphans_if_unguarded(
    conn: &mut Conn<'_>,
    step: &PlannedStep<'_>,
    prepared: &[Prepared<'_>],
) -> Result<Option<Orphans>, Error> {
    match conn.reborrow() {
        Conn::Sqlite(c) if without_foreign_keys(step, prepared) => orphans(c).map(Some),
        _ => Ok(None),
    }
}
