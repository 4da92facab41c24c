//! Rows from the snapshot to the sink, and word of how far it is.

use std::time::{Duration, Instant};

use db_core::ErrorKind;
use db_core::bulk::{PostgresBulk, SqliteBulk, SqliteStatement};

use super::Report;
use super::sink::Sink;
use crate::error::{Doing as _, Error};
use crate::progress::{Phase, Progress};
use crate::shape::Table;
use crate::source::{Rows, postgres_rows, sqlite_rows};

/// How much is gathered before it is written.
const CHUNK: usize = 64 * 1024;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Rows between two looks at the clock.
const ROWS_BETWEEN_LOOKS: u64 = 1024;

/// What is the same for all tables of an export.
pub(super) struct Stream<'a> {
    rows: Rows<'a>,
    expected: Option<u64>,
    progress: &'a mut dyn FnMut(Progress<'_>),
    /// Rows and bytes so far, over all tables.
    done: u64,
    bytes: u64,
    told: Instant,
    /// What is gathered, kept for its memory.
    pub(super) buffer: Vec<u8>,
    /// What was exported so far.
    pub(super) report: Report,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        rows: Rows<'a>,
        expected: Option<u64>,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        Self {
            // An estimate of all rows says nothing of some of them.
            expected: expected.filter(|_| rows.filter.is_none()),
            rows,
            progress,
            done: 0,
            bytes: 0,
            told: Instant::now(),
            buffer: Vec::with_capacity(2 * CHUNK),
            report: Report::default(),
        }
    }

    /// Writes what is gathered.
    pub(super) fn flush(&mut self, sink: &mut Sink) -> Result<(), Error> {
        sink.write(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Streams a table of SQLite; `write` appends one row.
    pub(super) fn sqlite(
        &mut self,
        bulk: &SqliteBulk,
        table: &Table,
        sink: &mut Sink,
        mut write: impl FnMut(&SqliteStatement<'_>, &mut Vec<u8>) -> Result<(), db_core::Error>,
    ) -> Result<u64, Error> {
        let reading = || format!("reading the table {}", table.name);
        let statement = sqlite_rows(bulk, table, self.rows);
        let mut statement = self.asked(table, statement)?.doing(reading)?;
        let mut count = 0;
        while statement.step().doing(reading)? {
            write(&statement, &mut self.buffer).doing(reading)?;
            count += 1;
            self.after_row(table, sink, count)?;
        }
        self.end(table, sink, count)
    }

    /// Streams a table of PostgreSQL in a format of COPY; `write` appends one row.
    pub(super) fn postgres(
        &mut self,
        bulk: &mut PostgresBulk,
        (table, format): (&Table, &str),
        sink: &mut Sink,
        mut write: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<u64, Error> {
        let reading = || format!("reading the table {}", table.name);
        let out = postgres_rows(bulk, table, self.rows, format);
        let mut out = self.asked(table, out)?.doing(reading)?;
        let mut count = 0;
        while let Some(row) = out.next().doing(reading)? {
            write(row, &mut self.buffer);
            count += 1;
            self.after_row(table, sink, count)?;
        }
        drop(out);
        self.end(table, sink, count)
    }

    /// What came of asking for the rows of a table, unless the condition on them is none.
    fn asked<T>(
        &self,
        table: &Table,
        rows: Result<T, db_core::Error>,
    ) -> Result<Result<T, db_core::Error>, Error> {
        match (self.rows.filter, rows) {
            (Some(filter), Err(error)) if error.kind() == ErrorKind::Statement => {
                Err(Error::Usage(format!(
                    "--where {filter:?} is no condition on the rows of {}: {}",
                    table.name,
                    error.message()
                )))
            }
            (_, rows) => Ok(rows),
        }
    }

    #[inline]
    fn after_row(&mut self, table: &Table, sink: &mut Sink, count: u64) -> Result<(), Error> {
        if self.buffer.len() >= CHUNK {
            self.flush(sink)?;
        }
        if count.is_multiple_of(ROWS_BETWEEN_LOOKS) && self.told.elapsed() >= TELL_EVERY {
            self.tell(Some(table), count);
        }
        Ok(())
    }

    fn end(&mut self, table: &Table, sink: &mut Sink, count: u64) -> Result<u64, Error> {
        self.flush(sink)?;
        if let Some(expected) = &mut self.expected {
            // It was an estimate, and is known now.
            let estimate = table.rows_estimate.unwrap_or_default();
            *expected = expected.saturating_sub(estimate).saturating_add(count);
        }
        self.tell(Some(table), count);
        self.done += count;
        Ok(count)
    }

    /// All rows are written; the files get their names.
    pub(super) fn finish(&mut self) {
        self.expected = Some(self.done);
        self.tell(None, 0);
    }

    fn tell(&mut self, table: Option<&Table>, count: u64) {
        self.told = Instant::now();
        let rows = self.done + count;
        let name = table.map(|table| table.name.to_string());
        (self.progress)(Progress {
            phase: Phase::Export,
            table: name.as_deref(),
            rows,
            rows_expected: self.expected.map(|expected| expected.max(rows)),
            bytes: self.bytes + self.buffer.len() as u64,
        });
    }
}
