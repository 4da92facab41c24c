//! Back from what is stored to the content, with every hash compared.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::zstd_safe::{self, zstd_sys::ZSTD_ErrorCode};

use super::{Hashed, Identities};
use crate::error::Error;
use crate::manifest::{Content, Manifest, Part};
use crate::progress::{Phase, Watcher};
use crate::store::Store;

/// Bytes of one step.
const CHUNK: usize = 1 << 18;

/// age's header: some hundred bytes for each recipient. Parsing a longer one costs its square.
const LARGEST_HEADER: u64 = 1 << 16;

/// The memory that zstd may take for its window, as a power of two. Level 19 needs 2^23.
const LARGEST_WINDOW: u32 = 27;

/// What was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the content.
    pub bytes: u64,
    /// Bytes that were read for it.
    pub stored_bytes: u64,
}

/// Reads the artifact of a backup and writes its plain content. All hashes and lengths fit if this
/// succeeds; if it does not, what was written is worth nothing.
///
/// # Errors
/// [`Error::Damaged`] for what is not as the manifest says, [`Error::Identity`] where no identity
/// opens it; what reading and writing meet.
pub fn decode(
    store: &dyn Store,
    manifest: &Manifest,
    identities: &Identities,
    out: &mut dyn Write,
    watcher: &mut Watcher<'_>,
) -> Result<Decoded, Error> {
    let name = manifest.name.as_str();
    let mut parts = Parts::new(store, manifest);
    let layers = Layers {
        name,
        recipients: manifest
            .encryption
            .as_ref()
            .map(|e| e.recipients.join(", ")),
        is_compressed: manifest.compression.is_some(),
    };
    let outcome = match open(&layers, identities, &mut parts) {
        Ok(mut plain) => copy(&mut plain, &manifest.content, out, watcher),
        Err(error) => Err(Copying::Open(error)),
    };
    let content = match outcome {
        Ok(content) => content,
        Err(Copying::Open(error)) => {
            return Err(match parts.error.take() {
                Some(error) => error,
                None => parts.cause(error, manifest, identities, watcher),
            });
        }
        Err(Copying::Watcher(error)) => return Err(error),
        Err(Copying::Write(error)) => return Err(Error::io("write", "the restored copy", error)),
        Err(Copying::Read(error)) => return Err(parts.failed(name, error)),
        Err(Copying::Longer) => {
            let reason = "it holds more than its manifest says";
            return Err(Error::damaged(name, reason));
        }
    };
    // Bytes behind the end of the stream are no part of the backup either.
    parts.drain(watcher)?;
    if content.bytes != manifest.content.bytes {
        let reason = format!(
            "it holds {} bytes, and its manifest says {}",
            content.bytes, manifest.content.bytes
        );
        return Err(Error::damaged(name, reason));
    }
    if content.sha256 != manifest.content.sha256 {
        return Err(Error::damaged(name, "its content has another SHA-256"));
    }
    Ok(Decoded {
        bytes: content.bytes,
        stored_bytes: manifest.stored_bytes(),
    })
}

/// What lies around a content.
pub(crate) struct Layers<'n> {
    /// What it is called in errors.
    pub(crate) name: &'n str,
    /// To whom it is encrypted, in words.
    pub(crate) recipients: Option<String>,
    pub(crate) is_compressed: bool,
}

/// Takes the layers off.
pub(crate) fn open<'r>(
    layers: &Layers<'_>,
    identities: &Identities,
    raw: impl Read + 'r,
) -> Result<Box<dyn Read + 'r>, Error> {
    let limit = Arc::new(AtomicU64::new(u64::MAX));
    let raw = Limited {
        inner: raw,
        left: Arc::clone(&limit),
    };
    let raw = BufReader::with_capacity(CHUNK, raw);
    let name = layers.name;
    let sealed: Box<dyn Read + 'r> = match &layers.recipients {
        None => Box::new(raw),
        Some(keys) => {
            if identities.is_empty() {
                return Err(Error::Identity {
                    name: name.to_owned(),
                    reason: format!(
                        "it is encrypted to {keys}, and no identity is named (--identity FILE)"
                    ),
                });
            }
            // A header is read as long as it goes on.
            limit.store(LARGEST_HEADER, Ordering::Relaxed);
            let opened = age::Decryptor::new_buffered(raw)
                .and_then(|decryptor| decryptor.decrypt(identities.keys()));
            limit.store(u64::MAX, Ordering::Relaxed);
            match opened {
                Ok(reader) => Box::new(reader),
                Err(age::DecryptError::NoMatchingKeys) => {
                    return Err(Error::Identity {
                        name: name.to_owned(),
                        reason: format!("it is encrypted to {keys}, and no identity fits"),
                    });
                }
                Err(age::DecryptError::Io(error)) => return Err(unreadable(name, error)),
                Err(error) => {
                    return Err(Error::damaged(
                        name,
                        format!("it cannot be decrypted: {error}"),
                    ));
                }
            }
        }
    };
    if !layers.is_compressed {
        return Ok(sealed);
    }
    let mut decoder = zstd::Decoder::new(sealed).map_err(|e| Error::io("decompress", name, e))?;
    decoder
        .window_log_max(LARGEST_WINDOW)
        .map_err(|e| Error::io("decompress", name, e))?;
    Ok(Box::new(decoder))
}

/// Why copying ended early.
enum Copying {
    Open(Error),
    Read(io::Error),
    Write(io::Error),
    Longer,
    Watcher(Error),
}

/// Copies at most what the manifest says, and hashes it.
fn copy(
    plain: &mut dyn Read,
    expected: &Content,
    out: &mut dyn Write,
    watcher: &mut Watcher<'_>,
) -> Result<Content, Copying> {
    let mut out = Hashed::new(out);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Copying::Read(e)),
        };
        if out.bytes + read as u64 > expected.bytes {
            return Err(Copying::Longer);
        }
        out.write_all(&buffer[..read]).map_err(Copying::Write)?;
        watcher
            .at(Phase::Decode, out.bytes, expected.bytes)
            .map_err(Copying::Watcher)?;
    }
    out.flush().map_err(Copying::Write)?;
    Ok(out.finish().1)
}

/// Why bytes cannot be read back: what the store or the system said, or else that they are damaged.
pub(crate) fn unreadable(name: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) if error.raw_os_error().is_some() || is_of_memory(&error) => {
            Error::io("read", name, error)
        }
        Err(error) => Error::damaged(name, format!("it cannot be read back: {error}")),
    }
}

/// Whether there was no memory to read them back with, which zstd says in a word of its own.
fn is_of_memory(error: &io::Error) -> bool {
    let code = ZSTD_ErrorCode::ZSTD_error_memory_allocation as usize;
    // Its functions return codes as negative numbers.
    let word = zstd_safe::get_error_name(0_usize.wrapping_sub(code));
    error.kind() == ErrorKind::OutOfMemory || error.to_string() == word
}

/// The stored files one after the other, each compared with its length and hash at its end.
struct Parts<'p> {
    store: &'p dyn Store,
    left: &'p [Part],
    /// Not where the content is hashed, which is the same bytes.
    hashed: bool,
    current: Option<(&'p Part, Hashed<Box<dyn Read + Send>>)>,
    /// What went wrong, if it was more than the text of an `io::Error`.
    error: Option<Error>,
}

impl<'p> Parts<'p> {
    fn new(store: &'p dyn Store, manifest: &'p Manifest) -> Self {
        Self {
            store,
            left: &manifest.parts,
            hashed: !manifest.is_stored_plain(),
            current: None,
            error: None,
        }
    }

    /// Reads on, and remembers what failed.
    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            let Some((part, reader)) = &mut self.current else {
                let Some((first, left)) = self.left.split_first() else {
                    return Ok(0);
                };
                self.left = left;
                let reader = self.store.read(&first.name).map_err(missing(first))?;
                let reader = if self.hashed {
                    Hashed::new(reader)
                } else {
                    Hashed::counted(reader)
                };
                self.current = Some((first, reader));
                continue;
            };
            let read = match reader.read(buffer) {
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("read", &part.name, e)),
            };
            if reader.bytes > part.bytes {
                return Err(Error::damaged(&part.name, "it is longer than it was"));
            }
            if read > 0 {
                return Ok(read);
            }
            if let Some((part, reader)) = self.current.take() {
                let (_, found) = reader.finish();
                if found.bytes != part.bytes {
                    let reason = format!("it is cut off: {} of {} bytes", found.bytes, part.bytes);
                    return Err(Error::damaged(&part.name, reason));
                }
                if self.hashed && found.sha256 != part.sha256 {
                    return Err(Error::damaged(&part.name, "it has another SHA-256"));
                }
            }
        }
    }

    /// Reads what nobody needed, for its hash.
    fn drain(&mut self, watcher: &Watcher<'_>) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut buffer = vec![0; CHUNK];
        while self.read_on(&mut buffer)? > 0 {
            watcher.check()?;
        }
        Ok(())
    }

    /// The error behind one that came through the layers.
    fn failed(&mut self, name: &str, error: io::Error) -> Error {
        match self.error.take() {
            Some(error) => error,
            None => unreadable(name, error),
        }
    }

    /// Why no identity opens it. If one of them should, by the manifest, then the head is not what it
    /// was, which the hashes tell.
    fn cause(
        &mut self,
        error: Error,
        manifest: &Manifest,
        identities: &Identities,
        watcher: &Watcher<'_>,
    ) -> Error {
        let named = manifest.encryption.as_ref().map(|e| &e.recipients);
        let should_fit = named.is_some_and(|keys| identities.fit_any(keys));
        if !matches!(error, Error::Identity { .. }) || !should_fit {
            return error;
        }
        self.drain(watcher).err().unwrap_or(error)
    }
}

/// A file that the manifest names and that is not there is damage, not a wrong name.
fn missing(part: &Part) -> impl FnOnce(Error) -> Error {
    |error| match error {
        Error::NotFound { .. } => Error::damaged(&part.name, "it is not there"),
        other => other,
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_on(buffer).map_err(|error| {
            let text = error.to_string();
            self.error.get_or_insert(error);
            io::Error::other(text)
        })
    }
}

/// Ends early while a limit is set.
struct Limited<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "its header has no end",
            ));
        }
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.inner.read(&mut buffer[..most])?;
        if left != u64::MAX {
            self.left
                .store(left.saturating_sub(read as u64), Ordering::Relaxed);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_memory_is_no_damage() {
        let of = |error: io::Error| unreadable("it", error);
        for said in [
            io::Error::other("Allocation error : not enough memory"),
            ErrorKind::OutOfMemory.into(),
        ] {
            let told = of(said);
            assert!(matches!(told, Error::Io { .. }), "{told}");
        }
        for said in ["Unknown frame descriptor", "Data corruption detected"] {
            let told = of(io::Error::other(said));
            assert!(matches!(told, Error::Damaged { .. }), "{told}");
        }
    }
}
