//! Processes and threads, as the kernel tells of them (`man 5 proc_pid_stat`).

use std::fs;

/// A process or a thread of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The beginning of its program's name, or its own if it has one.
    pub name: String,
    /// Who started its process.
    pub parent: u32,
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
            parent: field(4)?.parse().ok()?,
            niceness: field(19)?.parse().ok()?,
        })
    }

    /// The processes that this one has started.
    ///
    /// # Panics
    /// Without `/proc`.
    #[must_use]
    pub fn children(pid: u32) -> Vec<Self> {
        let all = fs::read_dir("/proc").unwrap_or_else(|error| panic!("/proc: {error}"));
        let names = all.flatten().map(|entry| entry.file_name());
        let found = names.filter_map(|name| Self::find(name.to_str()?));
        found.filter(|process| process.parent == pid).collect()
    }
}
