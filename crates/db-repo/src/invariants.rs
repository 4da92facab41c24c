//! What has to be true of the data, for whoever looks after it: plain functions that say what is wrong.
//!
//! They have the shape that `db_backup::Invariant::new` takes, though neither crate knows the other. A backup that
//! is published only if the money adds up, and a check of a health monitor, are one line each: `docs/backup.md`
//! and `docs/health.md` show them.

use db_core::Conn;

use crate::{AuditRepository, Error, Reconciliation, Result};

/// What an invariant says: what is wrong, or why it cannot be told.
pub type Findings = std::result::Result<Vec<String>, db_core::Error>;

/// Differences that are named.
const MOST_NAMES: usize = 20;

/// The money adds up: [`Reconciliation`]. Call it in one snapshot, as that does.
///
/// # Errors
/// What the database says.
pub fn money(conn: &mut Conn<'_>) -> Findings {
    let found = Reconciliation::new()
        .with_most_differences(MOST_NAMES)
        .run(conn);
    told(found.map(|report| {
        let named = report.differences.iter().map(ToString::to_string);
        let mut findings: Vec<String> = named.collect();
        let rest = report
            .difference_count
            .saturating_sub(findings.len() as u64);
        if rest > 0 {
            findings.push(format!("and {rest} more differences"));
        }
        findings
    }))
}

/// The audit trail is as it was sealed: [`AuditRepository::verify`], without anchors.
///
/// # Errors
/// What the database says.
pub fn audit_chain(conn: &mut Conn<'_>) -> Findings {
    let found = AuditRepository::verify(conn, &[]);
    told(found.map(|found| found.fault.iter().map(ToString::to_string).collect()))
}

/// That something cannot be computed is a finding, but for what the database refuses.
fn told(found: Result<Vec<String>>) -> Findings {
    match found {
        Ok(findings) => Ok(findings),
        Err(Error::Database(error)) => Err(error),
        Err(error) => Ok(vec![error.to_string()]),
    }
}
