//! An error as the one JSON document of a failed command.

use db_migrate::catalog::Difference;
use db_migrate::{Outcome, Problem};
use db_transfer::copy::{CopyError, CopyReport, Misfits};
use db_transfer::import::Fault;
use schemars::JsonSchema;
use serde::Serialize;

use super::Error;
use crate::output::run::RunReport;

/// The document that `--json` prints instead of data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document<'e> {
    error: Body<'e>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Body<'e> {
    /// One word for what went wrong.
    kind: &'e str,
    /// What a person is told.
    message: String,
    /// What the program ends with.
    exit_code: u8,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// More about it; what, depends on `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'e>>,
    /// What was done before it failed, and stays done.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<RunReport>,
    /// What `reset` had rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<RunReport>,
}

/// What is known of an error beyond its message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Details<'e> {
    /// What the target of a copy cannot hold.
    Misfits { misfits: &'e Misfits },
    /// A copy that did not prove equal.
    Report { report: &'e CopyReport },
    /// What is wrong with a file, the first of it.
    Faults { faults: Vec<FaultLine<'e>> },
    /// Where files and history disagree.
    Problems { problems: &'e [Problem] },
    /// Where the schema drifted.
    Differences { differences: &'e [Difference] },
    /// Steps without a way back.
    Steps { steps: &'e [String] },
    /// What has to be migrated first.
    Pending { pending: &'e [String] },
    /// What a check of the data found.
    Findings { findings: &'e [String] },
    /// What was confirmed, and what it would be now.
    PlanChanged {
        confirmed: &'e [String],
        now: &'e [String],
    },
    /// Who holds the lock, and how long was waited for it.
    Locked {
        holder: &'e str,
        waited_seconds: f64,
    },
    /// Where a migration failed.
    Failed {
        version: &'e str,
        name: &'e str,
        file: &'e str,
        line: Option<usize>,
        statement: Option<u64>,
        excerpt: Option<&'e str>,
        database_message: &'e str,
        rolled_back: bool,
    },
}

/// A fault of a file.
#[derive(Debug, Serialize, JsonSchema)]
struct FaultLine<'e> {
    file: String,
    line: Option<u64>,
    position: Option<u64>,
    table: Option<&'e str>,
    column: Option<&'e str>,
    value: Option<&'e str>,
    problem: &'e str,
}

impl Error {
    /// The error as the one JSON document of a failed command.
    pub(crate) fn document(&self) -> Document<'_> {
        let (kind, code) = self.classified();
        Document {
            error: Body {
                kind,
                message: self.message(),
                exit_code: code.number(),
                hint: self.hint(),
                details: self.details(),
                report: self.done_before().map(RunReport::of),
                rolled_back: self.reverted_before().map(RunReport::of),
            },
        }
    }

    fn details(&self) -> Option<Details<'_>> {
        match self {
            Self::HalfReset { error, .. } => error.details(),
            Self::Copy(CopyError::Misfits(misfits)) => Some(Details::Misfits { misfits }),
            Self::Copy(CopyError::ProofFailed(report)) => Some(Details::Report { report }),
            Self::Transfer(db_transfer::Error::BadInput { faults }) => Some(Details::Faults {
                faults: faults.iter().map(fault).collect(),
            }),
            Self::Migrate(error) => of_migrate(error),
            _ => None,
        }
    }
}

fn of_migrate(error: &db_migrate::Error) -> Option<Details<'_>> {
    use db_migrate::Error as E;
    Some(match error {
        E::History(problems) | E::NewerDatabase(problems) => Details::Problems { problems },
        E::Drift(differences) => Details::Differences { differences },
        E::NoWayBack(steps) => Details::Steps { steps },
        E::Pending(pending) => Details::Pending { pending },
        E::Unsound { findings, .. } => Details::Findings { findings },
        E::PlanChanged { confirmed, now } => Details::PlanChanged { confirmed, now },
        E::Locked { holder, waited } => Details::Locked {
            holder,
            waited_seconds: waited.as_secs_f64(),
        },
        E::Failed { failure, .. } => Details::Failed {
            version: failure.version.as_str(),
            name: &failure.name,
            file: &failure.file,
            line: failure.line,
            statement: failure.statement,
            excerpt: failure.excerpt.as_deref(),
            database_message: &failure.message,
            rolled_back: failure.outcome == Outcome::RolledBack,
        },
        _ => return None,
    })
}

fn fault(fault: &Fault) -> FaultLine<'_> {
    FaultLine {
        file: fault.file.display().to_string(),
        line: fault.place.map(|place| place.line),
        position: fault.place.map(|place| place.column),
        table: fault.table.as_deref(),
        column: fault.column.as_deref(),
        value: fault.value.as_deref(),
        problem: &fault.problem,
    }
}
