//! A whole database into another one, and the proof that it arrived.
//!
//! ```no_run
//! use db_core::DatabaseUrl;
//! use db_transfer::copy::{Copy, Endpoint};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let from = Endpoint::new(DatabaseUrl::parse("sqlite://shop.db")?);
//! let to = Endpoint::new(DatabaseUrl::parse("postgres://shop@db/shop")?);
//! let report = Copy::new(from, to).run()?;
//! assert!(report.tables.iter().all(|table| table.is_equal()));
//! # Ok(())
//! # }
//! ```
//!
//! The source is read in one snapshot, so writers go on. Nothing is written before every value was
//! looked at. What fails or is interrupted is undone: a SQLite file appears under its name when it is
//! proven, and in PostgreSQL the next copy undoes what a killed one has left, if it is told to.

mod catalog;
mod ddl;
mod error;
mod hash;
mod keys;
mod load;
mod mapped;
mod names;
mod omitted;
mod own_checks;
mod plan;
mod postgres;
mod preflight;
mod proof;
mod references;
mod report;
mod same;
mod side;
mod sqlite;
mod stage;
mod trial;
mod types;
mod undo;
mod unvalidated;
mod virtual_tables;
mod workshop;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use db_core::{Engine, Interrupt};
use db_migrate::Drift;
use db_migrate::catalog::model::Model;

use crate::convert::Policies;
use crate::progress::{Phase, Progress};
use crate::waiting::OnWait;

pub use error::{BoxError, CopyError, Misfit, Misfits};
pub use mapped::take_back_mapping;
pub use report::{CopyReport, NotTranslated, TableReport};
pub use side::Endpoint;

/// Connections at most, on each side.
const MOST_WORKERS: usize = 4;

/// Misfits that are named by default.
const MOST_MISFITS: usize = 20;

/// The migrations of a database that has some.
pub trait Schema: Sync {
    /// Brings an empty target to the version of the source.
    ///
    /// # Errors
    /// Why it cannot be.
    fn apply(&self, target: &Endpoint) -> Result<(), BoxError>;

    /// Takes away what [`apply`](Self::apply) has made.
    ///
    /// # Errors
    /// Why it cannot be.
    fn remove(&self, target: &Endpoint) -> Result<(), BoxError>;

    /// The tables that [`apply`](Self::apply) would make, for a dry run.
    ///
    /// # Errors
    /// Why they cannot be known.
    fn preview(&self, target: &Endpoint) -> Result<Model, BoxError>;

    /// What the source has beside its migrations, or otherwise than they make it: it is not copied, and
    /// listed.
    ///
    /// # Errors
    /// Why it cannot be looked for.
    fn drift(&self, source: &Endpoint) -> Result<Drift, BoxError>;
}

/// What has to be true of the data: says what was found, or what is wrong.
type Invariant<'a> = Box<dyn Fn(&Endpoint) -> Result<String, BoxError> + Sync + 'a>;

/// How long a source will be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Rows to be copied.
    pub rows: u64,
    /// For so long, about.
    pub locked: Duration,
}

/// A copy that is wanted.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Copy<'a> {
    from: Endpoint,
    to: Endpoint,
    tables: Vec<String>,
    leave_out: Vec<String>,
    policies: Policies,
    lock_source: bool,
    dry_run: bool,
    undo_leftovers: bool,
    replaces: bool,
    most_misfits: usize,
    workers: usize,
    interrupt: Interrupt,
    schema: Option<&'a dyn Schema>,
    invariants: Vec<Invariant<'a>>,
    not_checked: Vec<String>,
    on_wait: OnWait,
    on_progress: Box<dyn Fn(Progress<'_>) + Sync + 'a>,
    on_estimate: Box<dyn Fn(Estimate) + Sync + 'a>,
}

impl<'a> Copy<'a> {
    /// A copy of everything.
    #[must_use]
    pub fn new(from: Endpoint, to: Endpoint) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            from,
            to,
            tables: Vec::new(),
            leave_out: Vec::new(),
            policies: Policies::default(),
            lock_source: false,
            dry_run: false,
            undo_leftovers: false,
            replaces: false,
            most_misfits: MOST_MISFITS,
            workers: cores.min(MOST_WORKERS),
            interrupt: Interrupt::default(),
            schema: None,
            invariants: Vec::new(),
            not_checked: Vec::new(),
            on_wait: OnWait::default(),
            on_progress: Box::new(|_| {}),
            on_estimate: Box::new(|_| {}),
        }
    }

    /// These tables only.
    #[must_use]
    pub fn tables(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tables.extend(names.into_iter().map(Into::into));
        self
    }

    /// Without these tables, because the target needs none of them.
    #[must_use]
    pub fn leave_out(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.leave_out.extend(names.into_iter().map(Into::into));
        self
    }

    /// What to do with values that the target cannot hold; by default they are refused.
    #[must_use]
    pub const fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// Holds writers of the source off until the proof is done.
    #[must_use]
    pub const fn lock_source(mut self, lock: bool) -> Self {
        self.lock_source = lock;
        self
    }

    /// Looks for what does not fit, and writes nothing.
    #[must_use]
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Undoes what a copy that was killed has left in the target. Without it such a target is refused,
    /// since somebody may have gone on with it.
    #[must_use]
    pub const fn undo_leftovers(mut self, undo: bool) -> Self {
        self.undo_leftovers = undo;
        self
    }

    /// Takes what is in the target for no obstacle, because another database takes its place afterwards.
    /// For a dry run: any other fills the place beside it.
    #[must_use]
    pub const fn replaces(mut self, replaces: bool) -> Self {
        self.replaces = replaces;
        self
    }

    /// How many misfits are named; all are counted.
    #[must_use]
    pub const fn most_misfits(mut self, most: usize) -> Self {
        self.most_misfits = most;
        self
    }

    /// How many connections there may be on each side.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// What stops it.
    #[must_use]
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// The migrations that make the target's tables. Without them the tables are made from the
    /// source's catalog.
    #[must_use]
    pub fn schema(mut self, schema: &'a dyn Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// What has to be true of the target's data before it counts as arrived.
    #[must_use]
    pub fn invariant(
        mut self,
        invariant: impl Fn(&Endpoint) -> Result<String, BoxError> + Sync + 'a,
    ) -> Self {
        self.invariants.push(Box::new(invariant));
        self
    }

    /// What is not looked at, and why: the report says so.
    #[must_use]
    pub fn not_checked(mut self, what: impl Into<String>) -> Self {
        self.not_checked.push(what.into());
        self
    }

    /// What is told when somebody else's lock holds the copy up: on a table of the source, that of its
    /// writer, of another copy into the target, or of whoever has a target open that is replaced.
    #[must_use]
    pub fn on_wait(mut self, on_wait: OnWait) -> Self {
        self.on_wait = on_wait;
        self
    }

    /// Told how far it is, by several threads.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(Progress<'_>) + Sync + 'a) -> Self {
        self.on_progress = Box::new(progress);
        self
    }

    /// Told how long the source will be locked, just before it is.
    #[must_use]
    pub fn on_estimate(mut self, estimate: impl Fn(Estimate) + Sync + 'a) -> Self {
        self.on_estimate = Box::new(estimate);
        self
    }

    /// Copies and proves.
    ///
    /// # Errors
    /// [`CopyError`]; the target is then what it was before.
    pub fn run(&self) -> Result<CopyReport, CopyError> {
        let in_memory = |end: &Endpoint| end.engine() == Engine::Sqlite && end.url.path().is_none();
        if in_memory(&self.from) || in_memory(&self.to) {
            let message = "a database in memory is seen by one connection only";
            return Err(CopyError::Usage(message.to_owned()));
        }
        if self.from.is_same_as(&self.to)? {
            let message = "source and target are the same database";
            return Err(CopyError::Usage(message.to_owned()));
        }
        let report = CopyReport {
            from: self.from.engine().name(),
            to: self.to.engine().name(),
            migrated: self.schema.is_some(),
            dry_run: self.dry_run,
            source_locked: self.lock_source,
            not_checked: self.not_checked.clone(),
            ..CopyReport::default()
        };
        match self.to.engine() {
            Engine::Sqlite => self.run_into_sqlite(report),
            Engine::Postgres => self.run_into_postgres(report),
        }
    }

    fn engines(&self) -> (Engine, Engine) {
        (self.from.engine(), self.to.engine())
    }

    fn tell(&self, phase: Phase, table: Option<&str>, (rows, bytes): (u64, u64), of: u64) {
        (self.on_progress)(Progress {
            phase,
            table,
            rows,
            rows_expected: Some(of).filter(|of| *of > 0),
            bytes,
        });
    }

    fn go_on(&self) -> Result<(), CopyError> {
        if self.interrupt.is_set() {
            return Err(CopyError::Interrupted);
        }
        Ok(())
    }
}

impl fmt::Debug for Copy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
