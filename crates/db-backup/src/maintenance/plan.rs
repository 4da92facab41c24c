//! What will be done, and whom it will hold up.

use std::path::PathBuf;

use serde::Serialize;

use super::Task;

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// The tasks in order.
    pub tasks: Vec<PlannedTask>,
    /// What the database takes on the disk, with its log where that is its own.
    pub bytes: u64,
}

/// One task of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct PlannedTask {
    /// Which.
    pub task: Task,
    /// In how many steps, each with locks of its own.
    pub steps: usize,
    /// Whom it holds up, and for how long.
    pub blocks: String,
    /// Room on the disk of the database that it needs for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_bytes: Option<u64>,
    /// Room that it needs elsewhere meanwhile. If that is the same disk, it needs both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_temporary: Option<TemporaryRoom>,
    /// Room that it can give back, as far as that is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_free_bytes: Option<u64>,
}

/// Room for what is there only while a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TemporaryRoom {
    /// How much.
    pub bytes: u64,
    /// In which folder; none means in memory, where what is encrypted on the disk has to stay.
    pub folder: Option<PathBuf>,
}
