//! `cargo xtask migration new NAME`: the four files of a new migration.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::workspace;

/// The engines' folders, and their names for a reader.
pub(crate) const ENGINES: [(&str, &str); 2] = [("sqlite", "SQLite"), ("postgres", "PostgreSQL")];

/// Longer names are hard to read in `status`.
const LONGEST_NAME: usize = 60;

/// What to do with migrations.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make up.sql and down.sql for both engines
    New {
        /// What it does, in `snake_case`: `add_bet_limits`
        name: String,
    },
}

pub(crate) fn run(command: Command) -> Result<()> {
    let Command::New { name } = command;
    #[expect(
        clippy::disallowed_methods,
        reason = "a new migration is named after the clock"
    )]
    let now = chrono::Utc::now().format("%Y%m%d%H%M%S").to_string();
    let here = std::env::current_dir().context("cannot tell the working directory")?;
    for file in create(&workspace::root().join("migrations"), &name, &now)? {
        println!("{}", shown_from(&here, &file).display());
    }
    Ok(())
}

/// A path as one would type it here.
fn shown_from<'p>(here: &Path, path: &'p Path) -> &'p Path {
    path.strip_prefix(here).unwrap_or(path)
}

/// Writes the files of one migration and returns their paths.
fn create(migrations: &Path, name: &str, now: &str) -> Result<Vec<PathBuf>> {
    check_name(name)?;
    let version = next_version(migrations, now)?;
    let folder = format!("{version}_{name}");
    let mut written = Vec::new();
    for (engine, title) in ENGINES {
        let folder = migrations.join(engine).join(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (file, text) in [
            ("up.sql", up_text(name, title)),
            ("down.sql", down_text(name, title)),
        ] {
            let path = folder.join(file);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            written.push(path);
        }
    }
    Ok(written)
}

fn up_text(name: &str, engine: &str) -> String {
    format!(
        "-- {name}, {engine}: what changes, and why.\n\
         --\n\
         -- Name every constraint and index; keep tables, columns and their order equal on\n\
         -- both engines (`cargo xtask schema check`).\n"
    )
}

fn down_text(name: &str, engine: &str) -> String {
    format!("-- {name}, {engine}: undoes up.sql, statement by statement, in reverse order.\n")
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        bail!("the name {name:?} is not snake_case of 1 to {LONGEST_NAME} letters, digits and _");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.ends_with('_')
        || name.contains("__")
    {
        bail!("the name {name:?} must begin with a letter and have single _ between words");
    }
    Ok(())
}

/// `now`, if it is after every version there is.
///
/// Versions compare as text (docs/adr/0011), so this does too.
fn next_version(migrations: &Path, now: &str) -> Result<String> {
    let mut newest = String::new();
    for (engine, _) in ENGINES {
        for version in versions(&migrations.join(engine))? {
            newest = newest.max(version);
        }
    }
    if newest.as_str() >= now {
        bail!(
            "the newest migration is {newest}, and it is {now} now: a new one must come after it. \
             Is the clock right? If so, rename that migration if no database has it yet, or wait"
        );
    }
    Ok(now.to_owned())
}

fn versions(folder: &Path) -> Result<Vec<String>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .file_name();
        if let Some((version, _)) = name.to_string_lossy().split_once('_') {
            found.push(version.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{check_name, create, shown_from};

    #[test]
    fn paths_are_shown_as_one_would_type_them() {
        let file = Path::new("/house/migrations/sqlite/1_a/up.sql");
        for (here, shown) in [
            ("/house", "migrations/sqlite/1_a/up.sql"),
            ("/house/migrations", "sqlite/1_a/up.sql"),
            ("/elsewhere", "/house/migrations/sqlite/1_a/up.sql"),
        ] {
            assert_eq!(shown_from(Path::new(here), file), Path::new(shown));
        }
    }

    #[test]
    fn both_engines_get_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let files = create(folder.path(), "add_bets", "20250102030405").unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "sqlite/20250102030405_add_bets/up.sql",
                "sqlite/20250102030405_add_bets/down.sql",
                "postgres/20250102030405_add_bets/up.sql",
                "postgres/20250102030405_add_bets/down.sql",
            ]
        );
        assert!(
            std::fs::read_to_string(&files[0])
                .unwrap()
                .starts_with("-- add_bets, SQLite")
        );
    }

    #[test]
    fn a_version_is_never_reused_or_overtaken() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), "first", "20250102030405").unwrap();
        for now in ["20250102030405", "20240102030405"] {
            let error = create(folder.path(), "second", now)
                .unwrap_err()
                .to_string();
            assert!(error.contains("20250102030405"), "{error}");
        }
        create(folder.path(), "second", "20250102030406").unwrap();
    }

    #[test]
    fn names_are_snake_case() {
        for good in ["a", "add_bet_limits", "v2_index"] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "Add",
            "add-bets",
            "add bets",
            "_add",
            "add_",
            "add__bets",
            "2_add",
            "ä",
            "../x",
        ] {
            check_name(bad).unwrap_err();
        }
        check_name(&"x".repeat(61)).unwrap_err();
    }
}
