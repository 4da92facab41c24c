//! Hash, compress, encrypt, hash again.

use std::fmt;
use std::io::{self, Write};

use super::{Codec, Hashed};
use crate::error::Error;
use crate::manifest::Content;

/// Writes what it is given compressed and encrypted, and hashes it before and after.
pub struct Encoder<W: Write>(Hashed<Packed<W>>);

/// What came out of an [`Encoder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The plain content.
    pub content: Content,
    /// What was written.
    pub stored: Content,
}

enum Packed<W: Write> {
    Plain(Sealed<W>),
    Zstd(Box<zstd::Encoder<'static, Sealed<W>>>),
}

enum Sealed<W: Write> {
    Plain(Hashed<W>),
    Age(Box<age::stream::StreamWriter<Hashed<W>>>),
}

impl<W: Write> Encoder<W> {
    /// An encoder that writes to `out`. Threads of zstd work beside the caller's.
    ///
    /// # Errors
    /// [`Error::Usage`] for a level that is none, [`Error::Io`] if the head cannot be written.
    pub fn new(codec: &Codec, out: W) -> Result<Self, Error> {
        Ok(Self(Hashed::new(Packed::new(codec, out)?)))
    }

    /// One for content that somebody else hashes, on another core: [`Encoder::finish_as`] is told what
    /// came of it.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub(crate) fn unhashed(codec: &Codec, out: W) -> Result<Self, Error> {
        Ok(Self(Hashed::counted(Packed::new(codec, out)?)))
    }

    /// Writes what is left and tells what went through.
    ///
    /// # Errors
    /// What the system says of writing.
    pub fn finish(self) -> io::Result<(W, Encoded)> {
        let (packed, content) = self.0.finish();
        packed.finish(content)
    }

    /// The same for content that was hashed elsewhere.
    ///
    /// # Errors
    /// What the system says of writing; if not the same number of bytes went through here.
    pub(crate) fn finish_as(self, content: Content) -> io::Result<(W, Encoded)> {
        let (packed, counted) = self.0.finish();
        if counted.bytes != content.bytes {
            return Err(io::Error::other(format!(
                "{} bytes were hashed, and {} written",
                content.bytes, counted.bytes
            )));
        }
        packed.finish(content)
    }
}

impl<W: Write> Packed<W> {
    fn new(codec: &Codec, out: W) -> Result<Self, Error> {
        codec.check()?;
        let failed = |error: io::Error| Error::io("write", "the backup", error);
        let sealed = if codec.recipients.is_empty() {
            // Without a codec the hash of the content is the hash of the file.
            Sealed::Plain(if codec.is_plain() {
                Hashed::counted(out)
            } else {
                Hashed::new(out)
            })
        } else {
            let encryptor = age::Encryptor::with_recipients(codec.recipients.keys())
                .map_err(|e| Error::usage(format!("cannot encrypt: {e}"), ""))?;
            let writer = encryptor.wrap_output(Hashed::new(out)).map_err(failed)?;
            Sealed::Age(Box::new(writer))
        };
        Ok(match codec.level {
            None => Self::Plain(sealed),
            Some(level) => {
                let mut encoder = zstd::Encoder::new(sealed, level).map_err(failed)?;
                let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
                if threads > 1 {
                    let threads = u32::try_from(threads).unwrap_or(1);
                    encoder.multithread(threads).map_err(failed)?;
                }
                encoder.include_checksum(true).map_err(failed)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    fn finish(self, content: Content) -> io::Result<(W, Encoded)> {
        let sealed = match self {
            Self::Plain(sealed) => sealed,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        let hashed = match sealed {
            Sealed::Plain(hashed) => hashed,
            Sealed::Age(writer) => writer.finish()?,
        };
        let (mut out, mut stored) = hashed.finish();
        out.flush()?;
        if stored.sha256.is_empty() {
            stored.sha256.clone_from(&content.sha256);
        }
        Ok((out, Encoded { content, stored }))
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.write(buffer),
            Self::Zstd(inner) => inner.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(inner) => inner.flush(),
            Self::Zstd(inner) => inner.flush(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.write(buffer),
            Self::Age(inner) => inner.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(inner) => inner.flush(),
            Self::Age(inner) => inner.flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("bytes", &self.0.bytes)
            .finish_non_exhaustive()
    }
}
