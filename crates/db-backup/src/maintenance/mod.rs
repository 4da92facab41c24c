//! Maintenance of a database that is in use: what it will hold up is said before it begins.
//!
//! Each task is split into the smallest steps that the engine allows (one table, one index), so that
//! writers get in between, and every wait for a lock is bounded by [`Options::wait`]. A step that does
//! not get its lock in time is skipped and reported, or is an error where the task is one step.

mod plan;
mod postgres;
mod report;
mod sqlite;
mod vacuum;

use std::time::{Duration, Instant};

use db_core::{Conn, Connection, Engine, Interrupt};

pub use plan::{Plan, PlannedTask, TemporaryRoom};
pub use report::{Report, Skipped, TaskReport};

use crate::Error;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Look for damage: structure, indexes, foreign keys.
    Check,
    /// Give every table new statistics.
    Analyze,
    /// Give new statistics to the tables whose old ones are stale.
    Optimize,
    /// Build every index anew.
    Reindex,
    /// Give free space back.
    Vacuum,
    /// Move the write-ahead log into the database.
    Checkpoint,
}

impl Task {
    /// All, in the order in which they are done: damage is found before anything is written, and the
    /// log is moved when the others have written to it.
    pub const ALL: [Self; 6] = [
        Self::Check,
        Self::Reindex,
        Self::Vacuum,
        Self::Analyze,
        Self::Optimize,
        Self::Checkpoint,
    ];

    /// The name of the flag and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Analyze => "analyze",
            Self::Optimize => "optimize",
            Self::Reindex => "reindex",
            Self::Vacuum => "vacuum",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What to do, and how patiently.
#[derive(Debug, Clone)]
pub struct Options {
    /// The tasks; their order is that of [`Task::ALL`].
    pub tasks: Vec<Task>,
    /// How long one step waits for locks.
    pub wait: Duration,
}

/// What a run tells while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A step begins.
    Step {
        /// Of this task.
        task: Task,
        /// The table or index; empty if the task is one step.
        object: &'e str,
        /// Counted from 1.
        number: usize,
        /// Of how many.
        of: usize,
    },
    /// A task has ended.
    Finished {
        /// Which.
        task: Task,
        /// How long it took.
        duration: Duration,
    },
}

/// Says what the tasks would do, and whom they would hold up; changes nothing.
///
/// # Errors
/// What the engine says.
pub fn plan(connection: &mut Connection, options: &Options) -> Result<Plan, Error> {
    let url = connection.url().clone();
    match connection.conn() {
        Conn::Sqlite(c) => sqlite::plan(c, url.path(), &tasks(options)),
        Conn::Postgres(c) => postgres::plan(c, &tasks(options)),
    }
}

/// Does the tasks, one after the other.
///
/// # Errors
/// What the engine says; a lock that was not had in time where the task is a single step; too little
/// room on the disk for VACUUM. Damage that is found is no error but a finding of the report, and
/// tasks that write are not begun after it.
pub fn run(
    connection: &mut Connection,
    options: &Options,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Report, Error> {
    let start = Instant::now();
    let url = connection.url().clone();
    let engine = url.engine();
    let interrupt = connection.interrupt();
    let bytes = |connection: &mut Connection| match connection.conn() {
        Conn::Sqlite(c) => sqlite::bytes(c, url.path()),
        Conn::Postgres(c) => postgres::bytes(c),
    };
    let bytes_before = bytes(connection)?;
    set_wait(connection, options.wait)?;
    let mut report = Report {
        engine: engine.name(),
        bytes_before,
        bytes_after: bytes_before,
        duration_ms: 0,
        tasks: Vec::new(),
        not_run: Vec::new(),
    };
    for task in tasks(options) {
        if report.has_damage() {
            report.not_run.push(task);
            continue;
        }
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let began = Instant::now();
        let before = bytes(connection)?;
        let mut steps = Steps {
            task,
            on_event,
            interrupt: &interrupt,
        };
        let done = match connection.conn() {
            Conn::Sqlite(c) => sqlite::run(c, url.path(), &mut steps, options.wait),
            Conn::Postgres(c) => postgres::run(c, &mut steps),
        }?;
        let duration = began.elapsed();
        on_event(Event::Finished { task, duration });
        let after = bytes(connection)?;
        report.tasks.push(TaskReport {
            task,
            duration_ms: millis(duration),
            bytes_before: before,
            bytes_after: after,
            steps: done.steps,
            skipped: done.skipped,
            findings: done.findings,
            notes: done.notes,
        });
        report.bytes_after = after;
    }
    report.duration_ms = millis(start.elapsed());
    Ok(report)
}

/// What a task did.
#[derive(Debug, Default)]
struct Done {
    steps: usize,
    skipped: Vec<Skipped>,
    findings: Vec<String>,
    notes: Vec<String>,
}

/// Tells of the steps of one task.
struct Steps<'s> {
    task: Task,
    on_event: &'s mut dyn FnMut(Event<'_>),
    interrupt: &'s Interrupt,
}

impl Steps<'_> {
    /// Begins a step, unless somebody asked for the end.
    fn begin(&mut self, object: &str, number: usize, of: usize) -> Result<(), Error> {
        (self.on_event)(Event::Step {
            task: self.task,
            object,
            number,
            of,
        });
        if self.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// The tasks, each once, in the order in which they are done.
fn tasks(options: &Options) -> Vec<Task> {
    let wanted = |task: &Task| options.tasks.contains(task);
    Task::ALL.into_iter().filter(wanted).collect()
}

fn set_wait(connection: &mut Connection, wait: Duration) -> Result<(), Error> {
    let mut conn = connection.conn();
    let engine = conn.engine();
    // 0 means for ever to PostgreSQL, and not at all to SQLite.
    let sql = match engine {
        Engine::Sqlite => format!("PRAGMA busy_timeout = {}", wait.as_millis()),
        Engine::Postgres => format!("SET lock_timeout = {}", wait.as_millis().max(1)),
    };
    conn.batch_execute(&sql)
        .map_err(|e| Error::database("maintenance", db_core::Error::classify(engine, &e)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
