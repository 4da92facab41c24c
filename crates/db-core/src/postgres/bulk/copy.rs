//! Rows that stream out of a table, or into it.

use std::fmt;

use pq_sys::ExecStatusType;

use super::wire::{CopyRow, Read, Wire};
use crate::error::{Error, ErrorKind};

/// How much is gathered before it is sent: one message and one call of the system for many rows.
const CHUNK: usize = 64 * 1024;

/// Rows between two looks at the interrupt while there is no wait for the server.
const ROWS_BETWEEN_LOOKS: u32 = 1024;

/// `COPY … TO STDOUT` under way. Dropped before its end, it asks the server to stop.
pub struct CopyOut<'b> {
    wire: &'b mut Wire,
    row: Option<CopyRow>,
    looked: u32,
    ended: bool,
}

impl<'b> CopyOut<'b> {
    pub(super) fn begin(wire: &'b mut Wire, sql: &str) -> Result<Self, Error> {
        begin(wire, sql, ExecStatusType::PGRES_COPY_OUT)?;
        Ok(Self {
            wire,
            row: None,
            looked: 0,
            ended: false,
        })
    }

    /// The next row, in the format of the COPY and with its end of line; none after the last one.
    /// In the format CSV a row that holds line ends is still one.
    ///
    /// # Errors
    /// What the server says, classified; `Cancelled` when the interrupt is set.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows from the stream, which an iterator's items may not"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        self.row = None;
        if self.ended {
            return Ok(None);
        }
        self.looked += 1;
        if self.looked >= ROWS_BETWEEN_LOOKS {
            self.looked = 0;
            self.wire.obey();
        }
        match self.wire.read_row() {
            Ok(Read::Row(row)) => Ok(Some(self.row.insert(row).bytes())),
            Ok(Read::End) => {
                self.ended = true;
                self.wire.results(|_| ())?;
                Ok(None)
            }
            Err(error) => {
                self.ended = self.wire.is_gone();
                Err(error)
            }
        }
    }
}

impl Drop for CopyOut<'_> {
    fn drop(&mut self) {
        if self.ended || self.wire.is_gone() {
            return;
        }
        self.wire.cancel();
        let drained = loop {
            match self.wire.read_row() {
                Ok(Read::Row(_)) => {}
                Ok(Read::End) => break self.wire.results(|_| ()),
                Err(error) => break Err(error),
            }
        };
        // Cancelled is what was asked for.
        if let Err(error) = drained {
            tracing::debug!(%error, "a COPY was given up");
        }
    }
}

impl fmt::Debug for CopyOut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOut")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// `COPY … FROM STDIN` under way. Dropped before [`CopyIn::finish`], it fails, and nothing of it
/// stays.
pub struct CopyIn<'b> {
    wire: &'b mut Wire,
    buffer: Vec<u8>,
    ended: bool,
}

impl<'b> CopyIn<'b> {
    pub(super) fn begin(wire: &'b mut Wire, sql: &str) -> Result<Self, Error> {
        begin(wire, sql, ExecStatusType::PGRES_COPY_IN)?;
        Ok(Self {
            wire,
            buffer: Vec::with_capacity(CHUNK),
            ended: false,
        })
    }

    /// Sends a part of the rows in the format of the COPY; parts need not end where rows end. What
    /// the server finds wrong with them, [`finish`](Self::finish) says.
    ///
    /// # Errors
    /// When the connection is lost; `Cancelled` when the interrupt is set.
    pub fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the rows, and returns how many were stored.
    ///
    /// # Errors
    /// What the server says of the first row that it refuses, with its
    /// [context](Error::context); then nothing is stored.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.flush()?;
        self.wire.end_copy(None)?;
        self.ended = true;
        let mut rows = 0;
        self.wire
            .results(|answer| rows += answer.rows_done().unwrap_or_default())?;
        Ok(rows)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let sent = self.wire.write_rows(&self.buffer);
        self.buffer.clear();
        sent
    }
}

impl Drop for CopyIn<'_> {
    fn drop(&mut self) {
        if self.ended || self.wire.is_gone() {
            return;
        }
        let given_up = self.wire.end_copy(Some(c"the rows were given up"));
        if let Err(error) = given_up.and_then(|()| self.wire.results(|_| ())) {
            tracing::debug!(%error, "a COPY was given up");
        }
    }
}

impl fmt::Debug for CopyIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Sends a COPY and makes sure that the server takes it for what it should be.
fn begin(wire: &mut Wire, sql: &str, wanted: ExecStatusType) -> Result<(), Error> {
    wire.send(sql)?;
    let Some(answer) = wire.result()? else {
        return Err(Error::new(ErrorKind::Other, "the server does not answer"));
    };
    if answer.status() == wanted {
        return Ok(());
    }
    let failure = answer.failure().map(Error::from_report);
    match answer.status() {
        ExecStatusType::PGRES_COPY_IN => wire.end_copy(Some(c"no rows were to be sent"))?,
        ExecStatusType::PGRES_COPY_OUT => {
            wire.cancel();
            while let Read::Row(_) = wire.read_row()? {}
        }
        _ => {}
    }
    drop(answer);
    let rest = wire.results(|_| ());
    Err(match (failure, rest) {
        (Some(failure), _) => failure,
        (None, Err(error)) if wire.is_gone() => error,
        (None, _) => Error::new(ErrorKind::Statement, "this is no COPY of that direction"),
    })
}
