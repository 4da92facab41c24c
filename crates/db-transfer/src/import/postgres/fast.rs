//! The rows of a table by COPY: in one, unless rows leave values to defaults.

use db_core::bulk::{CopyIn, PostgresBulk};

use super::defaults::Defaults;
use super::in_full;
use super::line::{Line, Lines};
use super::prepare::Staging;
use crate::Error;
use crate::format::Record;
use crate::import::plan::Plan;
use crate::import::refusal::is_refusal;
use crate::import::rows::Rows;
use crate::import::{Job, TableReport, database, file_error};

/// Rows and bytes that wait for defaults, before the COPY is ended to ask for them.
const ROWS: usize = 4096;
const BYTES: usize = 4 << 20;

/// The rows on their way.
struct Flow<'p> {
    lines: Lines<'p>,
    record: Record,
    line: Line,
    /// Rows from the first one on that leaves something to a default, so that they stay in order.
    waiting: Vec<Line>,
    bytes: usize,
    sent: u64,
    /// Whether the last row has come.
    is_over: bool,
    /// Whether the file can be read on behind it.
    is_readable: bool,
}

pub(super) fn load(
    bulk: &mut PostgresBulk,
    staging: &Staging,
    plan: &Plan,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<(bool, TableReport), Error> {
    let name = &plan.table.name;
    let doing = |source| database(format!("importing into {name}"), source);
    let mut told = TableReport {
        table: name.clone(),
        ..TableReport::default()
    };
    let mut flow = Flow::new(Lines::new(plan, job.import.validate));
    let mut defaults = Defaults::default();
    let stored = loop {
        let copy = match &staging.copy {
            Some(sql) => Some(bulk.copy_in(sql).map_err(doing)?),
            None => None,
        };
        let Some(copy) = flow.stream(copy, plan, rows, job)? else {
            return Ok((flow.is_readable, told));
        };
        if let Err(error) = copy.finish() {
            break Err(error);
        }
        if flow.waiting.is_empty() {
            break staging.store(bulk, flow.sent);
        }
        if let Err(error) = defaults.fill(bulk, plan, flow.waiting.iter_mut()) {
            break Err(error);
        }
    };
    match stored {
        Ok((written, skipped)) => (told.written, told.skipped) = (written, skipped),
        Err(error) if is_refusal(&error) => {
            job.faults.add(None, in_full(&error));
            return Ok((false, told));
        }
        Err(error) => return Err(doing(error)),
    }
    Ok((flow.is_readable, told))
}

impl<'p> Flow<'p> {
    fn new(lines: Lines<'p>) -> Self {
        Self {
            lines,
            record: Record::new(),
            line: Line::default(),
            waiting: Vec::new(),
            bytes: 0,
            sent: 0,
            is_over: false,
            is_readable: true,
        }
    }

    /// Sends the rows that have waited, and further ones until many wait or none comes. Nothing is given
    /// back when there are faults: dropped, a COPY ends without a row.
    fn stream<'c>(
        &mut self,
        mut copy: Option<CopyIn<'c>>,
        plan: &Plan,
        rows: &mut Rows,
        job: &mut Job<'_>,
    ) -> Result<Option<CopyIn<'c>>, Error> {
        let name = &plan.table.name;
        let doing = |source| database(format!("importing into {name}"), source);
        self.bytes = 0;
        for line in self.waiting.drain(..) {
            if let Some(copy) = &mut copy {
                copy.send(&line.text).map_err(doing)?;
            }
        }
        while !self.is_over && !self.is_full() && !job.faults.are_enough() {
            match rows.read(&mut self.record) {
                Ok(true) => {}
                Ok(false) => {
                    self.is_over = true;
                    break;
                }
                Err(error) => {
                    copy = None;
                    self.is_readable = job
                        .faults
                        .add_read(error)
                        .map_err(file_error(rows.name().to_owned()))?;
                    if !self.is_readable {
                        break;
                    }
                    continue;
                }
            }
            job.row(name, rows.bytes())?;
            self.line.clear();
            if !self
                .lines
                .write(&self.record, &mut self.line, &mut job.faults)
            {
                copy = None;
            }
            let Some(copy) = &mut copy else {
                self.waiting.clear();
                self.bytes = 0;
                continue;
            };
            self.sent += 1;
            if self.waiting.is_empty() && self.line.gaps.is_empty() {
                copy.send(&self.line.text).map_err(doing)?;
            } else {
                self.bytes += self.line.text.len();
                self.waiting.push(std::mem::take(&mut self.line));
            }
        }
        Ok(copy)
    }

    const fn is_full(&self) -> bool {
        self.waiting.len() >= ROWS || self.bytes >= BYTES
    }
}
