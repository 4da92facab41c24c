//! Processes and threads, as the kernel tells of them (`man 5 proc_pid_stat`).

use std::fs;

use rustix::process::setpriority_process;

/// Less nice than anything that steps back.
const AWAKE: i32 = 3;

/// Works in a thread of its own at a niceness of 3, from which stepping back can be seen; what it starts inherits that.
/// Where whoever runs the tests is nicer, and may not be less so, it stays as it is. `work` is told the niceness.
///
/// # Panics
/// If `work` does, or without `/proc`.
pub fn awake<T: Send>(work: impl FnOnce(i32) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Whether it was allowed is seen.
            let _allowed = setpriority_process(None, AWAKE);
            let own = Process::find("thread-self");
            work(own.unwrap_or_else(|| panic!("no /proc")).niceness)
        });
        let done = thread.join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

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
