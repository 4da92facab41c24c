//! Migrations from a folder on disk, read as diesel_cli reads it, but without its blind spots.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use db_core::Engine;

use super::{SourceError, metadata};
use crate::Version;
use crate::migration::{Migration, Options, Origin};

/// Reads every migration of a Diesel-style folder, or of its `sqlite/` or `postgres/` part.
pub(super) fn read(root: &Path, engine: Engine) -> Result<Vec<Migration>, SourceError> {
    let folder = for_engine(root, engine)?;
    let mut migrations = Vec::new();
    for entry in list(&folder)? {
        if let Some(migration) = read_migration(&entry, engine)? {
            migrations.push(migration);
        }
    }
    Ok(migrations)
}

/// `root/sqlite` or `root/postgres` if `root` is split by engine, else `root`.
pub(crate) fn for_engine(root: &Path, engine: Engine) -> Result<PathBuf, SourceError> {
    let meta = fs::metadata(root).map_err(|e| SourceError::unreadable(root, &e))?;
    if !meta.is_dir() {
        return Err(SourceError::invalid(root, "it is a file, not a folder of migrations"));
    }
    let part = root.join(engine.name());
    if part.is_dir() {
        return Ok(part);
    }
    let other = Engine::ALL.into_iter().find(|e| *e != engine && root.join(e.name()).is_dir());
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
        let path = entry.map_err(|e| SourceError::unreadable(folder, &e))?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        // Follows links, as Diesel does; a dangling one is an error there and here.
        let is_dir = fs::metadata(&path).map_err(|e| SourceError::unreadable(&path, &e))?.is_dir();
        if is_dir && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// One migration, or none for an empty folder, which Git leaves behind when a branch is switched.
fn read_migration(path: &Path, engine: Engine) -> Result<Option<Migration>, SourceError> {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return Err(SourceError::invalid(path, "its name is not valid Unicode"));
    };
    let up_path = path.join(crate::Direction::Up.file_name());
    let Some(up) = read_text(&up_path)? else {
        let mut entries = fs::read_dir(path).map_err(|e| SourceError::unreadable(path, &e))?;
        return match entries.next() {
            None => Ok(None),
            Some(_) => Err(SourceError::invalid(path, "it holds no up.sql")),
        };
    };
    let down = read_text(&path.join(crate::Direction::Down.file_name()))?;
    let version = Version::from_folder_name(name).map_err(|e| SourceError::invalid(path, e))?;
    let options = read_metadata(&path.join("metadata.toml"))?;
    Ok(Some(Migration::sql(
        engine,
        (version, name.to_owned()),
        (Cow::Owned(up), down.map(Cow::Owned)),
        options,
        Origin::Folder(path.to_owned()),
    )))
}

fn read_metadata(path: &Path) -> Result<Options, SourceError> {
    match read_text(path)? {
        Some(text) => metadata::parse(&text).map_err(|e| SourceError::invalid(path, e)),
        None => Ok(Options::default()),
    }
}

/// A file's text, or none where there is no such file.
fn read_text(path: &Path) -> Result<Option<String>, SourceError> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            SourceError::invalid(path, format!("line {line} is not valid UTF-8"))
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(SourceError::unreadable(path, &e)),
    }
}
