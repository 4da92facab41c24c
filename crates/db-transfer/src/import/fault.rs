//! What is wrong with a file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::format::{Place, ReadError, Record};

/// Something in a file that cannot be imported as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// Where in it, if that is known.
    pub place: Option<Place>,
    /// The table that it was for.
    pub table: Option<String>,
    /// The column that it was for.
    pub column: Option<String>,
    /// The value, shortened.
    pub value: Option<String>,
    /// What is wrong with it, and what to do.
    pub problem: String,
    /// Whether it was found by comparing the value with the column's type, which may be left to the
    /// database.
    pub is_of_type: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{place}")?;
        }
        match (&self.table, &self.column) {
            (Some(table), Some(column)) => write!(f, ": {table}.{column}")?,
            (Some(table), None) => write!(f, ": {table}")?,
            _ => {}
        }
        match &self.value {
            Some(value) => write!(f, ": {value}: {}", self.problem),
            None => write!(f, ": {}", self.problem),
        }
    }
}

/// Gathers faults of one file, up to a number.
#[derive(Debug)]
pub(super) struct Faults {
    found: Vec<Fault>,
    most: usize,
    file: PathBuf,
    table: Option<String>,
    /// The engine that the file is from, if it is the other one.
    foreign: Option<&'static str>,
}

impl Faults {
    pub(super) fn new(file: &Path, most: usize) -> Self {
        Self {
            found: Vec::new(),
            most: most.max(1),
            file: file.to_owned(),
            table: None,
            foreign: None,
        }
    }

    pub(super) fn of_file(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
        self.table = None;
    }

    pub(super) fn of_table(&mut self, table: &str) {
        self.table = Some(table.to_owned());
    }

    pub(super) fn of_no_table(&mut self) {
        self.table = None;
    }

    /// The file was exported from the other engine.
    pub(super) const fn of_engine(&mut self, engine: &'static str) {
        self.foreign = Some(engine);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) const fn count(&self) -> usize {
        self.found.len()
    }

    pub(super) fn are_enough(&self) -> bool {
        self.found.len() >= self.most
    }

    pub(super) fn into_found(mut self) -> Vec<Fault> {
        if let (Some(engine), false) = (self.foreign, self.found.is_empty()) {
            self.of_no_table();
            self.add(
                None,
                format!(
                    "it was exported from {engine}, which writes times and other values in another way; \
                     `copy` brings a database from one engine to the other"
                ),
            );
            self.found.rotate_right(1);
        }
        self.found.truncate(self.most);
        self.found
    }

    pub(super) fn add(&mut self, place: Option<Place>, problem: impl Into<String>) {
        self.found.push(Fault {
            file: self.file.clone(),
            place,
            table: self.table.clone(),
            column: None,
            value: None,
            problem: problem.into(),
            is_of_type: false,
        });
    }

    /// A fault of a value in a row.
    pub(super) fn add_value(
        &mut self,
        record: &Record,
        index: usize,
        column: &str,
        problem: impl Into<String>,
    ) {
        self.add(Some(record.place(index)), problem);
        if let Some(fault) = self.found.last_mut() {
            fault.column = Some(column.to_owned());
            fault.value = Some(record.value(index).shown());
        }
    }

    /// NULL where it cannot be.
    pub(super) fn add_null(&mut self, record: &Record, index: usize, column: &str) {
        let problem = if record.is_absent(index) {
            "is missing, and the column has no default and cannot be NULL"
        } else {
            "cannot be NULL"
        };
        self.add_value(record, index, column, problem);
    }

    /// A value that is not of the column's type, where that was `checked` before the database does.
    pub(super) fn add_mistyped(
        &mut self,
        (record, index): (&Record, usize),
        column: &str,
        problem: impl Into<String>,
        checked: bool,
    ) {
        self.add_value(record, index, column, problem);
        if let Some(fault) = self.found.last_mut() {
            fault.is_of_type = checked;
        }
    }

    /// Takes what is wrong with the text, and hands back what is wrong with reading it; true if the
    /// next row can be read.
    pub(super) fn add_read(&mut self, error: ReadError) -> Result<bool, std::io::Error> {
        match error {
            ReadError::Malformed {
                place,
                problem,
                resumable,
            } => {
                self.add(Some(place), problem);
                Ok(resumable)
            }
            // A stream that cannot be unpacked is bad input, like any other text that is none.
            ReadError::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData
                        | std::io::ErrorKind::InvalidInput
                        | std::io::ErrorKind::UnexpectedEof
                        | std::io::ErrorKind::Other
                ) && error.raw_os_error().is_none() =>
            {
                self.add(None, format!("the compressed file is damaged: {error}"));
                Ok(false)
            }
            ReadError::Io(error) => Err(error),
        }
    }
}
