//! What was done.

use serde::Serialize;

use super::Task;

/// A run, with its time and what it won.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// What the database took on the disk before, with its log where that is its own.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// The whole time.
    pub duration_ms: u64,
    /// The tasks that were done.
    pub tasks: Vec<TaskReport>,
    /// Tasks that were not begun, because damage was found.
    pub not_run: Vec<Task>,
}

/// One task of a [`Report`].
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TaskReport {
    /// Which.
    pub task: Task,
    /// How long it took.
    pub duration_ms: u64,
    /// What the database took before it.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// How many steps were done.
    pub steps: usize,
    /// Steps that were not, each with its reason.
    pub skipped: Vec<Skipped>,
    /// Damage, in words.
    pub findings: Vec<String>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// A step that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Skipped {
    /// The table or index; empty if the task is one step.
    pub object: String,
    /// Why.
    pub reason: String,
    /// Whether a lock was not had in time, so that another try may do it.
    pub is_busy: bool,
}

impl Report {
    /// Whether a check found damage.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        self.tasks.iter().any(|task| !task.findings.is_empty())
    }

    /// Whether something was left out because somebody else held a lock.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let mut skipped = self.tasks.iter().flat_map(|task| &task.skipped);
        skipped.any(|step| step.is_busy)
    }
}
