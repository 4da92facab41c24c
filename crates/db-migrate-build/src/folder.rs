//! What a folder of migrations holds, read by the rules of `db-migrate`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Sub-folders that split a folder by engine, and the static that each becomes.
const ENGINES: [(&str, &str); 2] = [("sqlite", "SQLITE"), ("postgres", "POSTGRES")];

/// The static for a folder that is not split.
const UNDIVIDED: &str = "MIGRATIONS";

/// The script that every migration has.
const UP: &str = "up.sql";

/// The files that belong to a migration; anything else beside them is left out of the program.
const FILES: [&str; 3] = [UP, "down.sql", "metadata.toml"];

/// What was found, and what to watch for changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// One per static.
    pub(crate) sets: Vec<Set>,
    /// Every folder and file that was looked at.
    pub(crate) watched: Vec<PathBuf>,
}

/// The migrations of one static.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Set {
    /// The name of the static.
    pub(crate) name: &'static str,
    /// In the order of their names.
    pub(crate) migrations: Vec<Migration>,
}

/// One migration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    /// The folder's name.
    pub(crate) name: String,
    /// Name and full path of each file.
    pub(crate) files: Vec<(&'static str, PathBuf)>,
}

/// Reads a folder; what was seen up to an error stays in `found`.
pub(crate) fn read(root: &Path, found: &mut Found) -> Result<(), String> {
    found.watched.push(root.to_owned());
    match fs::metadata(root) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            return Err(format!(
                "{} is a file, not a folder of migrations",
                root.display()
            ));
        }
        Err(error) => return Err(unreadable(root, &error)),
    }
    let mut split = false;
    for (engine, name) in ENGINES {
        let part = root.join(engine);
        if part.is_dir() {
            split = true;
            found.watched.push(part.clone());
            let migrations = list(&part, found)?;
            found.sets.push(Set { name, migrations });
        }
    }
    if !split {
        let migrations = list(root, found)?;
        let name = UNDIVIDED;
        found.sets.push(Set { name, migrations });
    }
    Ok(())
}

/// The text of a path, for Cargo and for Rust.
pub(crate) fn text(path: &Path) -> Result<&str, String> {
    match path.to_str() {
        Some(text) if !text.contains(['\r', '\n']) => Ok(text),
        _ => Err(format!(
            "the path {path:?} cannot be given to Cargo: it is not Unicode, or holds a line break"
        )),
    }
}

fn list(folder: &Path, found: &mut Found) -> Result<Vec<Migration>, String> {
    let mut migrations = Vec::new();
    for path in entries(folder)? {
        let meta = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if meta.is_dir() && !hidden {
            found.watched.push(path.clone());
            migrations.extend(migration(&path, found)?);
        }
    }
    Ok(migrations)
}

/// One migration, or none for an empty folder, which Git leaves behind when a branch is switched.
fn migration(folder: &Path, found: &mut Found) -> Result<Option<Migration>, String> {
    if entries(folder)?.is_empty() {
        return Ok(None);
    }
    let name = folder.file_name().map(Path::new).unwrap_or(folder);
    let name = text(name)?.to_owned();
    let mut files = Vec::new();
    for file in FILES {
        let path = folder.join(file);
        match fs::read(&path) {
            Ok(bytes) => {
                found.watched.push(path.clone());
                check_text(&path, &bytes)?;
                files.push((file, path));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if file == UP {
                    return Err(format!("{} holds no {UP}", folder.display()));
                }
            }
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(Some(Migration { name, files }))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(folder, &error))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The compiler would say so too, but without the line.
fn check_text(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let Err(error) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
    Err(format!(
        "{}: line {line} is not valid UTF-8",
        path.display()
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::{Found, read};
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn found(root: &Path) -> Result<Found, String> {
        let mut found = Found::default();
        read(root, &mut found).map(|()| found)
    }

    /// `STATIC folder: files` for each migration.
    fn lines(found: &Found) -> Vec<String> {
        let mut lines = Vec::new();
        for set in &found.sets {
            for migration in &set.migrations {
                let files: Vec<_> = migration.files.iter().map(|(name, _)| *name).collect();
                lines.push(format!(
                    "{} {}: {}",
                    set.name,
                    migration.name,
                    files.join(" ")
                ));
            }
        }
        lines
    }

    #[test]
    fn a_diesel_folder_is_read_in_order_and_by_diesels_rules() {
        let root = folder(&[
            ("2_b/up.sql", b"SELECT 2;"),
            ("1_a/up.sql", b"SELECT 1;"),
            ("1_a/down.sql", b"SELECT 0;"),
            ("1_a/metadata.toml", b"run_in_transaction = true"),
            ("1_a/notes.md", b"not compiled in"),
            (".git/up.sql", b"hidden"),
            ("README.md", b"not a migration"),
        ]);
        fs::create_dir(root.path().join("3_left_behind")).unwrap();
        let found = found(root.path()).unwrap();
        assert_eq!(
            lines(&found),
            [
                "MIGRATIONS 1_a: up.sql down.sql metadata.toml",
                "MIGRATIONS 2_b: up.sql"
            ]
        );
        for path in [
            "",
            "1_a",
            "1_a/up.sql",
            "1_a/metadata.toml",
            "3_left_behind",
        ] {
            assert!(found.watched.contains(&root.path().join(path)), "{path}");
        }
    }

    #[test]
    fn a_folder_is_split_by_engine() {
        let root = folder(&[
            ("sqlite/1_a/up.sql", b"SELECT 1;"),
            ("postgres/1_a/up.sql", b"SELECT 1;"),
            ("postgres/2_b/up.sql", b"SELECT 2;"),
        ]);
        assert_eq!(
            lines(&found(root.path()).unwrap()),
            [
                "SQLITE 1_a: up.sql",
                "POSTGRES 1_a: up.sql",
                "POSTGRES 2_b: up.sql"
            ]
        );
    }

    #[test]
    fn what_cannot_be_compiled_in_is_named() {
        let root = folder(&[("1_a/down.sql", b"SELECT 1;")]);
        let missing = found(&root.path().join("nowhere")).unwrap_err();
        assert!(missing.starts_with("cannot read ") && missing.contains("nowhere"));
        assert!(
            found(root.path())
                .unwrap_err()
                .ends_with("1_a holds no up.sql")
        );

        let root = folder(&[("1_a/up.sql", b"SELECT 1;\n-- caf\xe9\n")]);
        let latin = found(root.path()).unwrap_err();
        assert!(
            latin.ends_with("up.sql: line 2 is not valid UTF-8"),
            "{latin}"
        );
        let file = found(&root.path().join("1_a/up.sql")).unwrap_err();
        assert!(
            file.ends_with("is a file, not a folder of migrations"),
            "{file}"
        );
    }

    #[test]
    fn what_was_seen_before_an_error_is_watched() {
        let root = folder(&[("1_a/up.sql", b"\xff")]);
        let mut found = Found::default();
        assert!(read(root.path(), &mut found).is_err());
        assert!(found.watched.contains(&root.path().join("1_a/up.sql")));
    }
}
