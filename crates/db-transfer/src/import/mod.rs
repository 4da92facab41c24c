//! Data comes in: all of it, or nothing.
//!
//! The rows of a file are looked at one by one, converted to what the columns ask for, and stored in
//! one transaction: on SQLite by a prepared statement, on PostgreSQL by COPY. What is wrong is told
//! with file, line, column and value; if the engine is the one that refuses rows by the million, a
//! file is read a second time to find out which they are.

mod fault;
mod names;
mod number;
mod parts;
mod plan;
mod postgres;
mod quiet;
mod refusal;
mod rows;
mod schema_row;
mod script;
mod setval;
mod sqlite;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use db_core::bulk::{PostgresBulk, SqliteBulk};
use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Engine, Interrupt};

use crate::format::{Form, Input, Limits};
use crate::{Error, OnWait, Pending, Phase, Progress};

pub use fault::Fault;

use fault::Faults;
use plan::Plan;
use rows::Part;
use table::Tables;

/// How many faults are told unless something else is asked for.
const USUAL_FAULTS: usize = 20;

/// Rows between two looks at the interrupt, and two reports of progress.
const ROWS_BETWEEN_LOOKS: u64 = 4096;

/// What to do with a row that is there already, by a unique key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is a fault of the file.
    #[default]
    Error,
    /// The row that is there stays; of several in the file the first one counts.
    Skip,
    /// It gets the values of the file, by its primary key; of several in the file the last one counts.
    Update,
}

impl OnConflict {
    /// What helps against a row that is there already.
    const fn help(self) -> &'static str {
        match self {
            Self::Error => "; --on-conflict skip leaves the row that is there, update changes it",
            Self::Skip => "",
            Self::Update => {
                "; --on-conflict update finds a row by its primary key, and here another row has the value"
            }
        }
    }
}

/// What to import, and how.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that a person says or does not"
)]
pub struct Import {
    input: Input,
    form: Option<Form>,
    tables: Vec<String>,
    on_conflict: OnConflict,
    map: Vec<(String, String)>,
    validate: bool,
    fire_triggers: bool,
    dry_run: bool,
    most_faults: usize,
    limits: Limits,
    key: Option<EncryptionKey>,
    may_create: bool,
    on_wait: OnWait,
}

/// What an import has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows by table, in the order of the files.
    pub tables: Vec<TableReport>,
    /// Statements that were run; of a script only.
    pub statements: u64,
    /// Bytes of the files, compressed as they are.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether everything was undone at the end, as asked for.
    pub dry_run: bool,
    /// What is worth knowing.
    pub notices: Vec<String>,
}

impl Report {
    /// Rows that were stored, in all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.written).sum()
    }
}

/// The rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub table: String,
    /// Rows that were stored: new ones, and those that were updated.
    pub written: u64,
    /// Rows that were there already and stayed as they were.
    pub skipped: u64,
}

impl Import {
    /// Imports a file, or the files of a folder of CSV, each into the table that it is named after.
    #[must_use]
    pub fn new(input: Input) -> Self {
        Self {
            input,
            form: None,
            tables: Vec::new(),
            on_conflict: OnConflict::Error,
            map: Vec::new(),
            validate: true,
            fire_triggers: false,
            dry_run: false,
            most_faults: USUAL_FAULTS,
            limits: Limits::default(),
            key: None,
            may_create: false,
            on_wait: OnWait::default(),
        }
    }

    /// The form of the file; without it its name tells.
    #[must_use]
    pub const fn form(mut self, form: Option<Form>) -> Self {
        self.form = form;
        self
    }

    /// The tables to import: one is that of a file which names none; of a file or a folder with several
    /// tables, these only.
    #[must_use]
    pub fn tables(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tables.extend(names.into_iter().map(Into::into));
        self
    }

    /// What to do with rows that are there already.
    #[must_use]
    pub const fn on_conflict(mut self, policy: OnConflict) -> Self {
        self.on_conflict = policy;
        self
    }

    /// Columns of the file and of the table that have different names; an empty one leaves out.
    #[must_use]
    pub fn map(mut self, map: Vec<(String, String)>) -> Self {
        self.map = map;
        self
    }

    /// Whether values are looked at before they are stored. Whatever is said here, the engine checks
    /// its own types and constraints.
    #[must_use]
    pub const fn validate(mut self, validate: bool) -> Self {
        self.validate = validate;
        self
    }

    /// Whether the triggers of the tables fire. They do not unless it is asked for, so that what they
    /// write is not there twice.
    #[must_use]
    pub const fn fire_triggers(mut self, fire: bool) -> Self {
        self.fire_triggers = fire;
        self
    }

    /// Does everything, and undoes it at the end.
    #[must_use]
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// How many faults are looked for.
    #[must_use]
    pub const fn most_faults(mut self, most: usize) -> Self {
        self.most_faults = most;
        self
    }

    /// How much a file may ask for.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The key of an encrypted SQLite database.
    #[must_use]
    pub fn encryption_key(mut self, key: Option<EncryptionKey>) -> Self {
        self.key = key;
        self
    }

    /// Whether a script of SQL may make a SQLite file that is not there. If it fails, the file is gone
    /// again.
    #[must_use]
    pub const fn may_create(mut self, may: bool) -> Self {
        self.may_create = may;
        self
    }

    /// What is told when somebody else's lock holds the import up.
    #[must_use]
    pub fn on_wait(mut self, on_wait: OnWait) -> Self {
        self.on_wait = on_wait;
        self
    }

    /// Imports into a database.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what is wrong with a file, [`Error::File`] if it cannot be read,
    /// [`Error::Usage`] if it does not say what it is or where it goes, [`Error::Interrupted`], and
    /// [`Error::Database`]. After each of them the database is what it was.
    pub fn run(
        &self,
        url: &DatabaseUrl,
        interrupt: &Interrupt,
        on_progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Report, Error> {
        let begun = Instant::now();
        let parts = self.parts()?;
        let is_script = parts.iter().any(|part| part.form == Form::Sql);
        let mut job = Job {
            import: self,
            interrupt,
            on_progress,
            expected: parts::expected(&parts),
            done: Done::default(),
            faults: Faults::new(&self.input.name(), self.most_faults),
            report: Report::default(),
            passed_over: None,
            unmapped: self.unmapped(),
        };
        let mut report = if is_script {
            script::run(&mut job, url, &parts)?
        } else {
            match url.engine() {
                Engine::Sqlite => {
                    let opening = Pending::opening(url, &self.on_wait);
                    let mut bulk =
                        open_sqlite(url, Access::ReadWrite, self.key.as_ref(), interrupt)?;
                    let tables = bulk
                        .with_conn(Tables::read)
                        .map_err(|source| database("reading the catalog", source))??
                        .with_virtual(&bulk)?;
                    drop(opening);
                    let parts = self.placed(parts, &tables)?;
                    sqlite::load(&mut bulk, &tables, &parts, &mut job)?
                }
                Engine::Postgres => {
                    let mut catalog = Connection::open_with(url, Access::ReadOnly, interrupt)
                        .map_err(|source| database("opening the database", source))?;
                    let tables = Tables::read(&mut catalog.conn())?;
                    drop(catalog);
                    let mut bulk = PostgresBulk::open(url, Access::ReadWrite, interrupt)
                        .map_err(|source| database("opening the database", source))?;
                    let tables = tables.with_domains(&mut bulk)?;
                    let parts = self.placed(parts, &tables)?;
                    postgres::load((&mut bulk, url), &tables, &parts, &mut job)?
                }
            }
        };
        if let (true, false, Some(other)) = (
            report.tables.is_empty(),
            self.tables.is_empty(),
            &job.passed_over,
        ) {
            return Err(Error::Usage(format!(
                "the file has no rows of {}, but of {other}; without --table they go there",
                self.tables.join(", ")
            )));
        }
        report.elapsed = begun.elapsed();
        report.dry_run = self.dry_run;
        Ok(report)
    }

    /// The columns of the file that `map` names.
    fn unmapped(&self) -> Vec<String> {
        self.map.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// What an import carries along.
struct Job<'j> {
    import: &'j Import,
    interrupt: &'j Interrupt,
    on_progress: &'j mut dyn FnMut(&Progress<'_>),
    /// Bytes of all files, if they are files.
    expected: Option<u64>,
    done: Done,
    faults: Faults,
    report: Report,
    /// A table that the file names and nobody asked for.
    passed_over: Option<String>,
    /// Columns that `map` names and no table of the files had so far.
    unmapped: Vec<String>,
}

/// How far an import has come.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    rows: u64,
    /// Bytes of the files that were read to their ends.
    bytes: u64,
}

impl Job<'_> {
    /// Begins anew, and hands back what was found wrong.
    fn begin_again(&mut self) -> Faults {
        self.done = Done::default();
        self.report = Report::default();
        self.unmapped = self.import.unmapped();
        let fresh = Faults::new(&self.import.input.name(), self.import.most_faults);
        std::mem::replace(&mut self.faults, fresh)
    }

    /// Everything was read: what `map` names has to have been somewhere.
    fn check_map(&mut self) {
        for name in std::mem::take(&mut self.unmapped) {
            let problem = format!("--map {name}=…: the file has no column {name:?}");
            self.faults.of_no_table();
            self.faults.add(None, problem);
        }
    }

    /// Another row was read: tells how far it is every so often, and sees whether it is to go on.
    #[inline]
    fn row(&mut self, table: &str, bytes: u64) -> Result<(), Error> {
        self.done.rows += 1;
        if self.done.rows.is_multiple_of(ROWS_BETWEEN_LOOKS) {
            self.look(Some(table).filter(|name| !name.is_empty()), bytes)?;
        }
        Ok(())
    }

    /// As many as there would be if the rest of the files were like what was read of them.
    fn rows_expected(&self, bytes: u64) -> Option<u64> {
        let rows = u128::from(self.done.rows) * u128::from(self.expected?);
        let rows = rows.checked_div(u128::from(bytes))?;
        u64::try_from(rows)
            .ok()
            .map(|rows| rows.max(self.done.rows))
    }

    fn look(&mut self, table: Option<&str>, bytes: u64) -> Result<(), Error> {
        if self.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let bytes = self.done.bytes + bytes;
        let rows_expected = self.rows_expected(bytes);
        (self.on_progress)(&Progress {
            phase: Phase::Import,
            table,
            rows: self.done.rows,
            rows_expected,
            bytes,
        });
        Ok(())
    }
}

/// What is wrong with a file, as one text.
pub(crate) fn told(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn open_sqlite(
    url: &DatabaseUrl,
    access: Access,
    key: Option<&EncryptionKey>,
    interrupt: &Interrupt,
) -> Result<SqliteBulk, Error> {
    SqliteBulk::open(url, access, key, interrupt)
        .map_err(|source| database("opening the database", source))
}

fn database(doing: impl Into<String>, source: db_core::Error) -> Error {
    if source.kind() == db_core::ErrorKind::Cancelled {
        return Error::Interrupted;
    }
    Error::Database {
        doing: doing.into(),
        source,
    }
}

fn file_error(path: PathBuf) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::File { path, source }
}

/// What comes next in a file.
enum Next {
    /// Rows of a table.
    Plan(Box<Plan>),
    /// Rows that nobody asked for, or that cannot be stored.
    PassOver,
    /// Nothing.
    End,
}

/// Goes on to the next table of a file.
fn next_plan(
    tables: &Tables,
    part: &Part,
    rows: &mut rows::Rows,
    job: &mut Job<'_>,
) -> Result<Next, Error> {
    let mut section = match rows.next_section() {
        Ok(Some(section)) => section,
        Ok(None) => return Ok(Next::End),
        Err(error) => {
            let file = rows.name().to_owned();
            job.faults.add_read(error).map_err(file_error(file))?;
            return Ok(Next::End);
        }
    };
    // What a row does not have is not to be taken from the one that is there.
    let is_whole = job.import.on_conflict == OnConflict::Update;
    rows.widen(&mut section, is_whole, job.interrupt)?;
    if let Some(engine) = rows.foreign_engine(tables.engine) {
        job.faults.of_engine(engine);
    }
    let asked: Vec<&str> = job
        .import
        .tables
        .iter()
        .filter_map(|name| Some(tables.find(name)?.name.as_str()))
        .collect();
    let Some(name) = section.table.as_ref().or(part.table.as_ref()) else {
        return Err(Error::Usage(
            "say with --table which table the rows are of".to_owned(),
        ));
    };
    let Some(table) = tables.find(name) else {
        if !asked.is_empty() && section.table.is_some() {
            job.passed_over.get_or_insert_with(|| name.clone());
            return Ok(Next::PassOver);
        }
        job.faults.of_no_table();
        job.faults.add(Some(section.place), tables.missing(name));
        return Ok(Next::PassOver);
    };
    if !asked.is_empty() && !asked.contains(&table.name.as_str()) {
        job.passed_over.get_or_insert_with(|| name.clone());
        return Ok(Next::PassOver);
    }
    job.faults.of_table(&table.name);
    job.unmapped.retain(|name| !section.columns.contains(name));
    Ok(
        match Plan::new(tables, table, &section, job.import, &mut job.faults) {
            Some(plan) => Next::Plan(Box::new(plan)),
            None => Next::PassOver,
        },
    )
}

/// Says which columns of a file were left out, because the engine computes them, and which rows could
/// not be told from those that are there.
fn note(plan: &Plan, policy: OnConflict, report: &mut Report) {
    if policy == OnConflict::Skip && !plan.has_key() {
        report.notices.push(format!(
            "{}: it has no key by which a row is known to be there already, so every row is stored",
            plan.table.name
        ));
    }
    if !plan.computed.is_empty() {
        report.notices.push(format!(
            "{}: the database computes {} itself",
            plan.table.name,
            plan.computed.join(", ")
        ));
    }
}
