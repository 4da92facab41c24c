//! What has to be true of the data, for whoever looks after it: plain functions that say what they saw and what is
//! wrong.
//!
//! They have the shapes that `db_backup::Invariant::observing` and `Examiner::with_outbox` take, though neither crate
//! knows the other. A backup that is published only if the money adds up, and a check of a health monitor, are one line
//! each: `docs/backup.md` and `docs/health.md` show them, and the command's own checks are these.

use chrono::{DateTime, Utc};
use db_core::Conn;

use crate::{AuditRepository, Check, Error, OutboxRepository, Reconciliation, Result};

/// What an invariant says: what was seen, in a sentence, and what is wrong, one by one. Or why it cannot be told.
pub type Findings = std::result::Result<(String, Vec<String>), db_core::Error>;

/// The same, and the checks that could not be made.
pub type FindingsAsFar = std::result::Result<(String, Vec<String>, Vec<Check>), db_core::Error>;

/// What an outbox holds: since when the oldest event waits, how many wait, and how many were given up.
pub type Waiting = (Option<DateTime<Utc>>, u64, u64);

/// Differences that are named.
const MOST_NAMES: usize = 20;

/// The money adds up: [`Reconciliation`]. Call it in one snapshot, as that does.
///
/// # Errors
/// What the database says.
pub fn money(conn: &mut Conn<'_>) -> Findings {
    money_as_far(conn).map(|(observed, wrong, _)| (observed, wrong))
}

/// As [`money`], with what a schema of this version does not tell:
/// [`not_checked`](crate::ReconcileReport::not_checked).
///
/// # Errors
/// As [`money`].
pub fn money_as_far(conn: &mut Conn<'_>) -> FindingsAsFar {
    let mut not_checked = Vec::new();
    let found = Reconciliation::new()
        .with_most_differences(MOST_NAMES)
        .run(conn);
    let (observed, wrong) = told(found.map(|report| {
        let named = report.differences.iter().map(ToString::to_string);
        let mut wrong: Vec<String> = named.collect();
        let rest = report.difference_count.saturating_sub(wrong.len() as u64);
        if rest > 0 {
            wrong.push(format!("and {rest} more differences"));
        }
        let observed = match report.difference_count {
            0 if report.not_checked.is_empty() => {
                format!("everything adds up, to {} in all", report.total_supply)
            }
            0 => format!(
                "everything adds up, to {} in all, as far as a schema of this version tells",
                report.total_supply
            ),
            1 => "1 thing does not add up".to_owned(),
            many => format!("{many} things do not add up"),
        };
        not_checked = report.not_checked;
        (observed, wrong)
    }))?;
    Ok((observed, wrong, not_checked))
}

/// The audit trail is as it was sealed: [`AuditRepository::verify`], without anchors.
///
/// # Errors
/// What the database says.
pub fn audit_chain(conn: &mut Conn<'_>) -> Findings {
    let found = AuditRepository::verify(conn, &[]);
    told(found.map(|found| match &found.fault {
        None => {
            let (lines, seals, unsealed) = (found.lines, found.seals, found.unsealed);
            let observed = format!(
                "{lines} lines under {seals} seals are as they were, {unsealed} are not sealed yet"
            );
            (observed, Vec::new())
        }
        Some(fault) => broken(fault),
    }))
}

/// Whether events leave the outbox, for whoever judges by their age: [`OutboxRepository`].
///
/// # Errors
/// What the database says.
pub fn outbox(conn: &mut Conn<'_>) -> std::result::Result<Waiting, db_core::Error> {
    let read = |conn: &mut Conn<'_>| {
        let oldest = OutboxRepository::oldest_waiting(conn)?;
        let counts = OutboxRepository::counts(conn)?;
        let waiting = counts.pending + counts.processing + counts.failed;
        Ok((
            oldest.map(|at| *at),
            waiting.unsigned_abs(),
            counts.dead.unsigned_abs(),
        ))
    };
    read(conn).map_err(|error| match error {
        Error::Database(error) => error,
        error => db_core::Error::new(db_core::ErrorKind::Other, error.to_string()),
    })
}

/// That something cannot be computed is a finding, but for what the database refuses.
fn told(found: Result<(String, Vec<String>)>) -> Findings {
    match found {
        Ok(found) => Ok(found),
        Err(Error::Database(error)) => Err(error),
        Err(error) => Ok(broken(&error)),
    }
}

/// The one thing that is wrong, which says itself.
fn broken(what: &impl ToString) -> (String, Vec<String>) {
    (what.to_string(), vec![what.to_string()])
}
