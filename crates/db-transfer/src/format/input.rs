//! The bytes of a file: opened, counted, and without their compression.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Where data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input; it can be read only once.
    Stdin,
}

impl Input {
    /// `-` is standard input.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::File(path.to_owned())
        }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Stdin => PathBuf::from("-"),
        }
    }

    /// Whether a second look is possible: a pipe with a name is read only once too.
    pub(crate) fn is_rereadable(&self) -> bool {
        match self {
            Self::File(path) => path.is_file(),
            Self::Stdin => false,
        }
    }

    /// Opens it, and takes off a compression that its first bytes show.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<Opened> {
        let (raw, size): (Box<dyn Read + Send>, _) = match self {
            Self::File(path) => {
                let file = File::open(path)?;
                let about = file.metadata()?;
                if about.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                let size = about.is_file().then_some(about.len());
                (Box::new(file), size)
            }
            Self::Stdin => (Box::new(io::stdin()), None),
        };
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            raw,
            read: Arc::clone(&read),
        };
        Ok(Opened {
            plain: plain(counted)?,
            read,
            size,
        })
    }
}

/// An input that is being read.
pub struct Opened {
    plain: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

impl Opened {
    /// How many bytes of the file have been read, compressed as they are.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// How many bytes the file has, if it is one.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

struct Counted {
    raw: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The first bytes tell more than a name does, which standard input does not have. No text begins
/// with either of them: both are no UTF-8.
fn plain(mut raw: Counted) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(ZSTD.len());
    raw.by_ref()
        .take(ZSTD.len() as u64)
        .read_to_end(&mut start)?;
    let (gzip, zstd) = (start.starts_with(GZIP), start == ZSTD);
    let whole = io::Cursor::new(start).chain(raw);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(
            1 << 16,
            whole,
        )))
    } else if zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}
