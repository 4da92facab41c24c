//! Where an export goes: a stream, or a file that appears when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use db_core::folder;
use flate2::write::GzEncoder;
use tempfile::{NamedTempFile, TempPath};
use zstd::Encoder;

use super::room::{DRAFT, Room};
use crate::error::Error;

/// Where an export goes.
pub enum Output {
    /// A stream, standard output for one.
    Stream(Box<dyn Write>),
    /// A file, compressed if its name ends in `.gz` or `.zst`; for CSV of several tables a folder.
    File(PathBuf),
}

impl Output {
    /// The name, if it has one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stream(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Output").field(&self.path()).finish()
    }
}

enum Compressed {
    Plain(Raw),
    Gzip(GzEncoder<Raw>),
    Zstd(Encoder<'static, Raw>),
}

enum Raw {
    Stream(Box<dyn Write>),
    Draft(NamedTempFile),
}

/// What writes an export. It does not buffer: whoever writes brings many rows at once.
pub(super) struct Sink {
    to: Compressed,
    path: PathBuf,
    bytes: u64,
}

/// A file that is whole, and not yet under its name. It is closed: there may be one for each of many
/// tables.
pub(super) struct Finished {
    draft: Option<TempPath>,
    path: PathBuf,
    bytes: u64,
}

impl Sink {
    pub(super) fn open(output: Output, room: &mut Room) -> Result<Self, Error> {
        let (raw, path) = match output {
            Output::Stream(to) => (Raw::Stream(to), PathBuf::from("-")),
            Output::File(path) if is_folder(&path) => return Err(no_file(&path)),
            Output::File(path) if is_special(&path) => {
                // Behind what stands there already, where it is a file.
                let to = File::options().append(true).open(&path);
                let to = to.map_err(|source| at(&path, source))?;
                (Raw::Stream(Box::new(to)), path)
            }
            Output::File(path) => {
                room.refuse_databases(&path)?;
                room.hold(folder::of(&path));
                // Of mode 0600, and gone if it is dropped.
                let draft = tempfile::Builder::new()
                    .prefix(DRAFT)
                    .tempfile_in(folder::of(&path))
                    .map_err(|source| no_draft(&path, source))?;
                (Raw::Draft(draft), path)
            }
        };
        let ending = path.extension().map(OsStr::to_ascii_lowercase);
        let to = match ending.as_ref().and_then(|ending| ending.to_str()) {
            // Without name and time, so that the same rows are the same bytes.
            Some("gz") => Compressed::Gzip(GzEncoder::new(raw, flate2::Compression::default())),
            Some("zst") => {
                let mut encoder = Encoder::new(raw, 0).map_err(|source| at(&path, source))?;
                encoder
                    .include_checksum(true)
                    .map_err(|source| at(&path, source))?;
                Compressed::Zstd(encoder)
            }
            _ => Compressed::Plain(raw),
        };
        Ok(Self { to, path, bytes: 0 })
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        let written = match &mut self.to {
            Compressed::Plain(to) => to.write_all(data),
            Compressed::Gzip(to) => to.write_all(data),
            Compressed::Zstd(to) => to.write_all(data),
        };
        written.map_err(|source| at(&self.path, source))?;
        self.bytes += data.len() as u64;
        Ok(())
    }

    /// Ends the compression, and makes sure that the file is on the disk.
    pub(super) fn finish(self) -> Result<Finished, Error> {
        let Self { to, path, bytes } = self;
        let raw = match to {
            Compressed::Plain(raw) => Ok(raw),
            Compressed::Gzip(to) => to.finish(),
            Compressed::Zstd(to) => to.finish(),
        };
        let done = raw.and_then(|mut raw| {
            raw.flush()?;
            match raw {
                Raw::Stream(_) => Ok(None),
                Raw::Draft(draft) => draft
                    .as_file()
                    .sync_all()
                    .map(|()| Some(draft.into_temp_path())),
            }
        });
        match done {
            Ok(draft) => Ok(Finished { draft, path, bytes }),
            Err(source) => Err(at(&path, source)),
        }
    }
}

impl Finished {
    /// How many bytes were written, before they were compressed.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the file its name, if it is one.
    pub(super) fn publish(self) -> Result<Option<PathBuf>, Error> {
        let Some(draft) = self.draft else {
            return Ok(None);
        };
        draft
            .persist(&self.path)
            .map_err(|e| at(&self.path, e.error))?;
        // A name that is not on the disk is lost in a power cut with the file.
        let folder = folder::of(&self.path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        if let Err(error) = synced {
            tracing::debug!(%error, folder = %folder.display(), "a folder cannot be synced");
        }
        Ok(Some(self.path))
    }
}

impl Write for Raw {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(to) => to.write(data),
            Self::Draft(to) => to.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(to) => to.flush(),
            Self::Draft(to) => to.flush(),
        }
    }
}

/// Makes a folder for files, if it is not there, which only its owner may read.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| at(path, source))
}

/// Whether it is a folder, or is to be one: its name ends as only a folder's does.
pub(super) fn is_folder(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    path.is_dir() || last.is_some_and(|byte| std::path::is_separator(char::from(*byte)))
}

/// Whether it is a pipe, a device or a folder, in the place of which no file may be put. Or another
/// name of an open stream, such as `/dev/stdout`.
pub(super) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file()) || is_open_stream(path)
}

/// Links that are followed at most, as Linux does.
const LINKS: usize = 40;

/// Whether it leads to an open file of a process by its number.
fn is_open_stream(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let folder = folder::of(&path);
        if fs::canonicalize(folder).is_ok_and(|it| it.starts_with("/proc") && it.ends_with("fd")) {
            return true;
        }
        let Ok(to) = fs::read_link(&path) else {
            return false;
        };
        path = folder.join(to);
    }
    false
}

/// A folder where a file has to be named.
fn no_file(path: &Path) -> Error {
    let reason = "the export is one file, and only CSV goes to a folder";
    Error::File {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::IsADirectory, reason),
    }
}

/// No file can be made beside this name, most often because its folder is not there.
fn no_draft(path: &Path, source: io::Error) -> Error {
    let folder = folder::of(path).display();
    let reason = match source.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {folder}"),
        io::ErrorKind::NotADirectory => format!("{folder} is no folder"),
        _ => return at(path, source),
    };
    Error::File {
        path: path.to_owned(),
        source: io::Error::new(source.kind(), reason),
    }
}

fn at(path: &Path, source: io::Error) -> Error {
    // What else it says is the name of a draft, which nobody has asked for.
    let source = match source.kind() {
        io::ErrorKind::Other => source,
        kind if source.get_ref().is_some() => kind.into(),
        _ => source,
    };
    Error::File {
        path: path.to_owned(),
        source,
    }
}
