//! A window that moves over the bytes of a file.

use std::io::{self, Read};

/// How much is asked of the file at a time.
const CHUNK: usize = 256 << 10;

/// Bytes that were read and not used up yet.
pub(crate) struct Buffer<R> {
    from: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    done: bool,
}

impl<R: Read> Buffer<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            bytes: vec![0; CHUNK],
            start: 0,
            end: 0,
            done: false,
        }
    }

    /// What is there.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing comes behind what is there.
    pub(crate) const fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count.min(self.end - self.start);
    }

    /// Reads more behind what is there, at least one byte, unless the file ends.
    ///
    /// What is left of a window that is more than half full makes it twice as large, so that whoever
    /// begins anew with the whole of it does so a few times only.
    pub(crate) fn more(&mut self) -> io::Result<()> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end > self.bytes.len() / 2 {
            self.bytes.resize(self.bytes.len() * 2, 0);
        } else if self.bytes.len() > CHUNK && self.end < CHUNK / 2 {
            // After an unusually long value.
            self.bytes.truncate(CHUNK);
            self.bytes.shrink_to_fit();
        }
        while self.end < self.bytes.len() {
            match self.from.read(&mut self.bytes[self.end..]) {
                Ok(0) => {
                    self.done = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
