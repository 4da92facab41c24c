//! From plain content to what is stored, and back: hash, zstd, age, hash.
//!
//! Everything is streamed. On the way back nothing is trusted: the number of bytes is bounded by the
//! manifest, and both hashes are compared.

mod decode;
mod encode;
mod keys;

use std::io::{self, Read, Write};
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

pub use decode::{Decoded, decode};
pub(crate) use decode::{Layers, open, unreadable};
pub use encode::{Encoded, Encoder};
pub use keys::{Identities, Recipients};

use crate::error::Error;
use crate::manifest::{Compression, Content, Encryption, ZSTD, hex};

/// Levels of zstd that can be chosen.
pub const LEVELS: RangeInclusive<i32> = 1..=19;

/// The level that is chosen without one: higher ones win little on a database and cost much.
pub const DEFAULT_LEVEL: i32 = 3;

/// How content becomes what is stored.
#[derive(Debug, Clone)]
pub struct Codec {
    /// The level of zstd, or none to leave it as it is.
    pub level: Option<i32>,
    /// Who can open it; nobody means that it is not encrypted.
    pub recipients: Recipients,
}

impl Default for Codec {
    fn default() -> Self {
        Self {
            level: Some(DEFAULT_LEVEL),
            recipients: Recipients::default(),
        }
    }
}

impl Codec {
    /// Whether what is stored is the content itself.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.level.is_none() && self.recipients.is_empty()
    }

    /// What the manifest says of compression.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.level.map(|level| Compression {
            method: ZSTD.to_owned(),
            level,
        })
    }

    /// What the manifest says of encryption.
    #[must_use]
    pub fn encryption(&self) -> Option<Encryption> {
        self.recipients.manifest()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.level {
            Some(level) if !LEVELS.contains(&level) => Err(Error::usage(
                format!("{level} is no level of compression"),
                "write a number from 1 to 19, or `none`",
            )),
            _ => Ok(()),
        }
    }
}

/// Counts and hashes what goes through it.
#[derive(Debug)]
pub(crate) struct Hashed<S> {
    inner: S,
    /// None where somebody else hashes the same bytes.
    hash: Option<Sha256>,
    bytes: u64,
}

impl<S> Hashed<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            hash: Some(Sha256::new()),
            bytes: 0,
        }
    }

    fn counted(inner: S) -> Self {
        Self {
            inner,
            hash: None,
            bytes: 0,
        }
    }

    /// What went through, and the stream.
    pub(crate) fn finish(self) -> (S, Content) {
        let sha256 = self.hash.map_or_else(String::new, |h| hex(&h.finalize()));
        (
            self.inner,
            Content {
                bytes: self.bytes,
                sha256,
            },
        )
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.note(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.note(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
