//! Migrations from a folder on disk, read as diesel_cli reads it, but without its blind spots.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use db_core::Engine;

use super::{SourceError, metadata};
use crate::Version;
use crate::migration::{Migration, Options, Origin};

/// Larger than almost every script, so that a file is one read and one that finds its end.
const BUFFER: usize = 64 * 1024;

/// Reads every migration of a Diesel-style folder, or of its `sqlite/` or `postgres/` part.
///
/// With hundreds of migrations this is most of a run that has nothing to do, so it asks the
/// system for as little as it can.
pub(super) fn read(root: &Path, engine: Engine) -> Result<Vec<Migration>, SourceError> {
    let folders = list(&for_engine(root, engine)?)?;
    let mut reader = Reader {
        buffer: vec![0; BUFFER],
    };
    let mut migrations = Vec::with_capacity(folders.len());
    for folder in &folders {
        if let Some(migration) = reader.migration(folder, engine)? {
            migrations.push(migration);
        }
    }
    Ok(migrations)
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

/// The sub-folders that Diesel would look at, in order of their names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let entries = fs::read_dir(folder).map_err(|e| SourceError::unreadable(folder, &e))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| SourceError::unreadable(folder, &e))?;
        let path = entry.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        // The listing mostly knows the type already. A link is followed, as Diesel does; a
        // dangling one is an error there and here.
        let kind = entry
            .file_type()
            .map_err(|e| SourceError::unreadable(&path, &e))?;
        let is_dir = if kind.is_symlink() {
            fs::metadata(&path)
                .map_err(|e| SourceError::unreadable(&path, &e))?
                .is_dir()
        } else {
            kind.is_dir()
        };
        if is_dir && !hidden {
            folders.push(path);
        }
    }
    // By name and not by path, whose comparison takes both apart again and again.
    folders.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(folders)
}

/// Reads files into one buffer: `fs::read` asks each file for its size first.
struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// One migration, or none for an empty folder, which Git leaves behind when a branch is
    /// switched.
    fn migration(&mut self, path: &Path, engine: Engine) -> Result<Option<Migration>, SourceError> {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(SourceError::invalid(path, "its name is not valid Unicode"));
        };
        let Some(up) = self.text(&path.join(crate::Direction::Up.file_name()))? else {
            let mut entries = fs::read_dir(path).map_err(|e| SourceError::unreadable(path, &e))?;
            return match entries.next() {
                None => Ok(None),
                Some(_) => Err(SourceError::invalid(path, "it holds no up.sql")),
            };
        };
        let down = self.text(&path.join(crate::Direction::Down.file_name()))?;
        let version = Version::from_folder_name(name).map_err(|e| SourceError::invalid(path, e))?;
        let options = self.options(&path.join("metadata.toml"))?;
        Ok(Some(Migration::sql(
            engine,
            (version, name.to_owned()),
            (Cow::Owned(up), down.map(Cow::Owned)),
            options,
            Origin::Folder(path.to_owned()),
        )))
    }

    fn options(&mut self, path: &Path) -> Result<Options, SourceError> {
        match self.text(path)? {
            Some(text) => metadata::parse(&text).map_err(|e| SourceError::invalid(path, e)),
            None => Ok(Options::default()),
        }
    }

    /// A file's text, or none where there is no such file.
    fn text(&mut self, path: &Path) -> Result<Option<String>, SourceError> {
        let length = match self.fill(path) {
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SourceError::unreadable(path, &e)),
        };
        let bytes = &self.buffer[..length];
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(e) => {
                let line = bytes[..e.valid_up_to()].split(|b| *b == b'\n').count();
                Err(SourceError::invalid(
                    path,
                    format!("line {line} is not valid UTF-8"),
                ))
            }
        }
    }

    /// Reads a whole file into the buffer, which grows if it has to; returns its length.
    fn fill(&mut self, path: &Path) -> io::Result<usize> {
        let mut file = File::open(path)?;
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length * 2, 0);
            }
            match file.read(&mut self.buffer[length..]) {
                Ok(0) => return Ok(length),
                Ok(count) => length += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
