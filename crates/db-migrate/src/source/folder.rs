//! Migrations from a folder on disk, read as diesel_cli reads it, but without its blind spots.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use db_core::Engine;
use rustix::fs::{Mode, OFlags, openat};

use super::{SourceError, metadata};
use crate::migration::{Migration, Options, Origin, Rest};
use crate::{Direction, Version};

/// Larger than almost every script, so that a file is one read and one that finds its end.
const BUFFER: usize = 64 * 1024;

/// What diesel_cli reads beside the two scripts.
const METADATA: &str = "metadata.toml";

/// Reads every migration of a Diesel-style folder, or of its `sqlite/` or `postgres/` part:
/// its name and its `up.sql`. What else is in it is read by [`rest`].
///
/// With hundreds of migrations this is most of a run that has nothing to do, so it asks the
/// system for as little as it can.
pub(super) fn read(root: &Path, engine: Engine) -> Result<Vec<Migration>, SourceError> {
    let root: Arc<Path> = for_engine(root, engine)?.into();
    let names = list(&root)?;
    let opened = rustix::fs::open(&*root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| SourceError::unreadable(&root, &e.into()))?;
    let mut reader = Reader {
        root,
        opened,
        name: String::new(),
        buffer: vec![0; BUFFER],
    };
    let mut migrations = Vec::with_capacity(names.len());
    for name in names {
        if let Some(migration) = reader.migration(name, engine)? {
            migrations.push(migration);
        }
    }
    Ok(migrations)
}

/// Reads what [`read`] leaves out.
pub(crate) fn rest(path: &Path) -> Result<Rest, SourceError> {
    let down = text(&path.join(Direction::Down.file_name()))?;
    let file = path.join(METADATA);
    let options = match text(&file)? {
        Some(text) => metadata::parse(&text).map_err(|e| SourceError::invalid(&file, e))?,
        None => Options::default(),
    };
    Ok(Rest {
        down: down.map(Cow::Owned),
        options,
    })
}

/// A file's text, or none where there is no such file.
fn text(path: &Path) -> Result<Option<String>, SourceError> {
    match fs::read(path) {
        Ok(bytes) => checked(&bytes, || path.to_owned()).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(SourceError::unreadable(path, &e)),
    }
}

/// Bytes as text, or the first line that is none.
fn checked(bytes: &[u8], path: impl FnOnce() -> PathBuf) -> Result<String, SourceError> {
    str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|e| {
        let line = bytes[..e.valid_up_to()].split(|b| *b == b'\n').count();
        SourceError::invalid(&path(), format!("line {line} is not valid UTF-8"))
    })
}

/// `root/sqlite` or `root/postgres` if `root` is split by engine, else `root`.
pub(crate) fn for_engine(root: &Path, engine: Engine) -> Result<PathBuf, SourceError> {
    let meta = fs::metadata(root).map_err(|e| SourceError::unreadable(root, &e))?;
    if !meta.is_dir() {
        return Err(SourceError::invalid(
            root,
            "it is a file, not a folder of migrations",
        ));
    }
    let part = root.join(engine.name());
    if part.is_dir() {
        return Ok(part);
    }
    let other = Engine::ALL
        .into_iter()
        .find(|e| *e != engine && root.join(e.name()).is_dir());
    match other {
        Some(other) => Err(SourceError::invalid(
            root,
            format!(
                "it has migrations for {other} only; make {}/ beside {}/",
                engine.name(),
                other.name()
            ),
        )),
        None => Ok(root.to_owned()),
    }
}

/// The names of the sub-folders that Diesel would look at, in their order.
fn list(folder: &Path) -> Result<Vec<OsString>, SourceError> {
    let entries = fs::read_dir(folder).map_err(|e| SourceError::unreadable(folder, &e))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| SourceError::unreadable(folder, &e))?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        // The listing mostly knows the type already. A link is followed, as Diesel does; a
        // dangling one is an error there and here.
        let kind = entry
            .file_type()
            .map_err(|e| SourceError::unreadable(&entry.path(), &e))?;
        let is_dir = if kind.is_symlink() {
            fs::metadata(entry.path())
                .map_err(|e| SourceError::unreadable(&entry.path(), &e))?
                .is_dir()
        } else {
            kind.is_dir()
        };
        if is_dir && !hidden {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads files into one buffer (`fs::read` asks each file for its size first), by names relative
/// to the open folder, whose own path the system then need not walk for each file.
struct Reader {
    root: Arc<Path>,
    opened: OwnedFd,
    /// The file at hand.
    name: String,
    buffer: Vec<u8>,
}

impl Reader {
    /// One migration, or none for an empty folder, which Git leaves behind when a branch is
    /// switched.
    fn migration(
        &mut self,
        name: OsString,
        engine: Engine,
    ) -> Result<Option<Migration>, SourceError> {
        let name = name.into_string().map_err(|name| {
            SourceError::invalid(&self.root.join(name), "its name is not valid Unicode")
        })?;
        let file = Direction::Up.file_name();
        let up = match self.fill(&name, file) {
            Ok(length) => checked(&self.buffer[..length], || self.root.join(&name).join(file))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let path = self.root.join(&name);
                let mut entries =
                    fs::read_dir(&path).map_err(|e| SourceError::unreadable(&path, &e))?;
                return match entries.next() {
                    None => Ok(None),
                    Some(_) => Err(SourceError::invalid(&path, "it holds no up.sql")),
                };
            }
            Err(e) => {
                let path = self.root.join(&name).join(file);
                return Err(SourceError::unreadable(&path, &e));
            }
        };
        let version = Version::from_folder_name(&name)
            .map_err(|e| SourceError::invalid(&self.root.join(&name), e))?;
        Ok(Some(Migration::sql(
            engine,
            (version, name),
            Cow::Owned(up),
            None,
            Origin::Folder(Arc::clone(&self.root)),
        )))
    }

    /// Reads a whole file into the buffer, which grows if it has to; returns its length.
    fn fill(&mut self, folder: &str, file: &str) -> io::Result<usize> {
        self.name.clear();
        self.name.extend([folder, "/", file]);
        let file = openat(
            &self.opened,
            self.name.as_str(),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length * 2, 0);
            }
            match rustix::io::read(&file, &mut self.buffer[length..]) {
                Ok(0) => return Ok(length),
                Ok(count) => length += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
