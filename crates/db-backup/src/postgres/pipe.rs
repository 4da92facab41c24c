//! A pipe between two threads of this process.
//!
//! What goes through is copied once, and the system is asked only when one side waits for the other. A
//! pipe of the system copies twice and is full with 64 KiB, beside a `pg_basebackup` that fills the cores
//! already.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Pieces that may wait to be read.
const WAITING: usize = 8;

/// Bytes of the largest piece.
const PIECE: usize = 1 << 18;

/// The end that is written to. Dropping it is the end of what is read.
#[derive(Debug)]
pub(super) struct PipeWriter {
    full: SyncSender<Vec<u8>>,
    spent: Receiver<Vec<u8>>,
}

/// The end that is read. Once it is dropped, writing fails with [`ErrorKind::BrokenPipe`].
#[derive(Debug)]
pub(super) struct PipeReader {
    full: Receiver<Vec<u8>>,
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// Bytes of the piece that were read.
    read: usize,
}

/// A pipe that holds at most two mebibytes.
pub(super) fn pipe() -> (PipeReader, PipeWriter) {
    let (filled, full) = sync_channel(WAITING);
    let (give_back, spent) = channel();
    let reader = PipeReader {
        full,
        spent: give_back,
        piece: Vec::new(),
        read: 0,
    };
    let writer = PipeWriter {
        full: filled,
        spent,
    };
    (reader, writer)
}

impl Write for PipeWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let taken = &buffer[..buffer.len().min(PIECE)];
        // An empty piece would pass for the end.
        if taken.is_empty() {
            return Ok(0);
        }
        let mut piece = self.spent.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(taken);
        match self.full.send(piece) {
            Ok(()) => Ok(taken.len()),
            Err(_) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            let Ok(next) = self.full.recv() else {
                return Ok(0);
            };
            let spent = std::mem::replace(&mut self.piece, next);
            self.read = 0;
            // The writer may be gone.
            drop(self.spent.send(spent));
        }
        let mut left = &self.piece[self.read..];
        let read = left.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_pieces_of_any_size() {
        let (mut from, mut to) = pipe();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut left = &sent[..];
                let mut size = 1;
                while !left.is_empty() {
                    let (now, later) = left.split_at(size.min(left.len()));
                    to.write_all(now).unwrap();
                    left = later;
                    size = size * 3 % 900_001;
                }
                to.flush().unwrap();
                drop(to);
            });
            let mut read = Vec::new();
            let mut buffer = vec![0; 7_777];
            loop {
                match from.read(&mut buffer).unwrap() {
                    0 => break read,
                    bytes => read.extend_from_slice(&buffer[..bytes]),
                }
            }
        });
        assert!(read == sent, "{} of {} bytes", read.len(), sent.len());
    }

    #[test]
    fn an_empty_write_is_not_the_end() {
        let (mut from, mut to) = pipe();
        assert_eq!(to.write(b"").unwrap(), 0);
        to.write_all(b"more").unwrap();
        drop(to);
        let mut read = String::new();
        from.read_to_string(&mut read).unwrap();
        assert_eq!(read, "more");
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_writer() {
        let (from, mut to) = pipe();
        to.write_all(b"unread").unwrap();
        drop(from);
        let error = to.write_all(b"more").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
