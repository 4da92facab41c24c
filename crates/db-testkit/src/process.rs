//! Processes and threads, as the kernel tells of them (`man 5 proc_pid_stat`).

use std::fs;

/// A process or a thread of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The beginning of its program's name, or its own if it has one.
    pub name: String,
    /// Who is nicer goes last on a busy processor: from -20 to 19.
    pub niceness: i32,
}

impl Process {
    /// The one at this path below `/proc`: `4711`, `4711/task/4712`, `thread-self`. One that has ended is there until
    /// its parent has asked how.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{path}/stat")).ok()?;
        // Names hold whatever they like.
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        // These are those from the third on.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            name: name.to_owned(),
            niceness: field(19)?.parse().ok()?,
        })
    }
}
