//! Rows on their way to SQLite, held against the checks that they will meet there.

use db_core::bulk::{CellRef, SqliteBulk, SqliteStatement};
use db_core::{Access, DatabaseUrl, Interrupt};

use super::error::{CopyError, Doing as _, is_refusal};
use super::names::{list, quoted};
use super::plan::{ColumnPlan, TablePlan};

/// Rows that are gathered before the checks are asked, at most.
const MOST_ROWS: i64 = 1 << 10;

/// Bytes of texts and blobs that are gathered, about.
const MOST_BYTES: usize = 1 << 20;

/// A check that rows do not hold.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// Which of the plan's checks.
    pub(super) check: usize,
    /// How many rows there are.
    pub(super) rows: u64,
    /// The first of them: its key, or its number.
    pub(super) first: String,
    /// What the engine says instead, where it cannot even ask.
    pub(super) error: Option<String>,
}

impl Broken {
    /// One of which no row is known yet.
    pub(super) const fn of(check: usize) -> Self {
        Self {
            check,
            rows: 0,
            first: String::new(),
            error: None,
        }
    }

    /// Why the check is not there, or the rows are not.
    pub(super) fn reason(&self) -> String {
        match (&self.error, self.rows) {
            (Some(error), _) => error.clone(),
            (None, 1) => format!("the row {} does not hold it", self.first),
            (None, rows) => format!("{rows} rows do not hold it, the first is {}", self.first),
        }
    }
}

/// A table in memory, in which the columns of a plan have their types and nothing else.
pub(super) struct Bench<'p> {
    bulk: SqliteBulk,
    plan: &'p TablePlan,
    /// The column with the number of a row, which no other is called.
    number: String,
}

impl<'p> Bench<'p> {
    /// None where nothing is to be tried, or the table cannot be: why is found elsewhere.
    ///
    /// # Errors
    /// If no database in memory can be had.
    pub(super) fn of(plan: &'p TablePlan) -> Result<Option<Self>, CopyError> {
        if !plan.checks.iter().any(|check| check.is_open) {
            return Ok(None);
        }
        let doing = || "opening a database in memory".to_owned();
        let memory = DatabaseUrl::SqliteMemory;
        let mut bulk =
            SqliteBulk::open(&memory, Access::Create, None, &Interrupt::default()).doing(doing)?;
        let mut number = "#".to_owned();
        while plan.columns.iter().any(|column| column.target == number) {
            number.push('#');
        }
        let columns: Vec<String> = plan.columns.iter().map(ColumnPlan::declaration).collect();
        let sql = format!(
            "CREATE TABLE {} ({} INTEGER, {}); BEGIN",
            plan.target.sql(),
            quoted(&number),
            columns.join(", ")
        );
        match bulk.execute(&sql) {
            Ok(()) => Ok(Some(Self { bulk, plan, number })),
            Err(error) if is_refusal(&error) => {
                tracing::debug!(%error, table = plan.target.shown(), "checks are not tried");
                Ok(None)
            }
            Err(error) => Err(error).doing(doing),
        }
    }

    /// # Errors
    /// What SQLite says.
    pub(super) fn begin(&self) -> Result<Trial<'_>, CopyError> {
        let table = self.plan.target.sql();
        let number = quoted(&self.number);
        let prepare = |sql: &str| self.bulk.prepare(sql).doing(|| trying(self.plan));
        let places = vec!["?"; self.plan.columns.len() + 1].join(", ");
        let keys = self
            .plan
            .key
            .iter()
            .map(|at| &self.plan.columns[*at].target);
        let keys = if self.plan.key.is_empty() {
            format!("'number ' || {number}")
        } else {
            list(keys)
        };
        let mut checks = Vec::new();
        for (at, check) in self.plan.checks.iter().enumerate() {
            if !check.is_open {
                continue;
            }
            let sql = format!("SELECT {keys} FROM {table} WHERE ({}) IS FALSE", check.text);
            match self.bulk.prepare(&sql) {
                Ok(statement) => checks.push((at, statement)),
                Err(error) => tracing::debug!(%error, check = check.shown, "it is not tried"),
            }
        }
        Ok(Trial {
            plan: self.plan,
            insert: prepare(&format!("INSERT INTO {table} VALUES ({places})"))?,
            empty: prepare(&format!("DELETE FROM {table}"))?,
            checks,
            rows: 0,
            bytes: 0,
            seen: 0,
            broken: Vec::new(),
        })
    }
}

/// Rows that are tried, some at a time.
pub(super) struct Trial<'b> {
    plan: &'b TablePlan,
    insert: SqliteStatement<'b>,
    empty: SqliteStatement<'b>,
    checks: Vec<(usize, SqliteStatement<'b>)>,
    rows: i64,
    bytes: usize,
    seen: i64,
    broken: Vec<Broken>,
}

impl Trial<'_> {
    /// # Errors
    /// What SQLite says.
    pub(super) fn row(&mut self, cells: &[CellRef<'_>]) -> Result<(), CopyError> {
        self.seen += 1;
        self.rows += 1;
        let mut values = Vec::with_capacity(cells.len() + 1);
        values.push(CellRef::Integer(self.seen));
        values.extend_from_slice(cells);
        let sizes = cells.iter().map(|cell| match cell {
            CellRef::Text(bytes) | CellRef::Blob(bytes) => bytes.len(),
            _ => 0,
        });
        self.bytes += sizes.sum::<usize>();
        self.insert.run(&values).doing(|| trying(self.plan))?;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES {
            self.ask()?;
        }
        Ok(())
    }

    /// Counts a row that is not tried, because it does not fit anyhow.
    pub(super) const fn pass_over(&mut self) {
        self.seen += 1;
    }

    /// # Errors
    /// What SQLite says.
    pub(super) fn end(mut self) -> Result<Vec<Broken>, CopyError> {
        self.ask()?;
        Ok(self.broken)
    }

    fn ask(&mut self) -> Result<(), CopyError> {
        for (check, statement) in &mut self.checks {
            let (rows, first, error) = rows(statement, self.plan)?;
            let before = self.broken.iter_mut().find(|one| one.check == *check);
            match before {
                _ if rows == 0 && error.is_none() => {}
                Some(found) => {
                    found.rows += rows;
                    found.error = found.error.take().or(error);
                }
                None => self.broken.push(Broken {
                    check: *check,
                    rows,
                    first,
                    error,
                }),
            }
        }
        self.empty.run(&[]).doing(|| trying(self.plan))?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// How many rows there are, the first of them, and what was refused instead.
fn rows(
    statement: &mut SqliteStatement<'_>,
    plan: &TablePlan,
) -> Result<(u64, String, Option<String>), CopyError> {
    let (mut count, mut first) = (0, String::new());
    loop {
        match statement.step() {
            Ok(false) => return Ok((count, first, None)),
            Ok(true) => {}
            Err(error) if is_refusal(&error) => {
                return Ok((count, first, Some(error.message().to_owned())));
            }
            Err(error) => return Err(error).doing(|| trying(plan)),
        }
        if count == 0 {
            let columns = 0..statement.column_count();
            let key: Result<Vec<String>, _> =
                columns.map(|at| statement.cell(at).map(plain)).collect();
            first = key.doing(|| trying(plan))?.join(", ");
        }
        count += 1;
    }
}

pub(super) fn plain(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        other => crate::convert::shown(other),
    }
}

fn trying(plan: &TablePlan) -> String {
    format!("trying the checks of {}", plan.target.shown())
}
