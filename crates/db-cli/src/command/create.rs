//! `create`: the files of a new migration, for both engines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use db_core::{Clock, Engine, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::Create;
use crate::error::Error;
use crate::exit::Code;

/// Used without a word if it is there.
const USUAL_FOLDER: &str = "migrations";

/// Longer names are hard to read in `status`.
const LONGEST_NAME: usize = 60;

/// How a new version is written: `20250824000100`.
const VERSION_FORMAT: &str = "%Y%m%d%H%M%S";

/// What was written, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    version: String,
    name: String,
    files: Vec<String>,
}

pub(super) fn run(context: &Context<'_>, options: &Create) -> Result<Code, Error> {
    check_name(&options.name)?;
    let root = folder(context)?;
    let parts = parts(&root)?;
    let now = SystemClock.now().format(VERSION_FORMAT).to_string();
    let version = next_version(&parts, &now)?;
    let mut files = Vec::new();
    for (part, engine) in &parts {
        files.extend(write(
            part,
            &format!("{version}_{}", options.name),
            *engine,
        )?);
    }
    if context.output.is_json() {
        context.output.document(&Document {
            version,
            name: options.name.clone(),
            files,
        })?;
    } else {
        let lines: Vec<String> = files.iter().map(|path| format!("{path}\n")).collect();
        context.output.data(&lines.concat())?;
    }
    Ok(Code::Done)
}

/// The one folder of migrations there is.
fn folder(context: &Context<'_>) -> Result<PathBuf, Error> {
    let folders = context.file()?.folders(context.global);
    match folders.as_slice() {
        [one] => Ok(one.path.clone()),
        [] if Path::new(USUAL_FOLDER).is_dir() => Ok(PathBuf::from(USUAL_FOLDER)),
        [] => Err(Error::usage(
            "there is no folder for a new migration; those in use are compiled in",
            "name one with --migrations DIR, or write migrations = \"DIR\" into bitcraps-db.toml",
        )),
        _ => Err(Error::usage(
            "there are several folders of migrations",
            "name the one to write to with a single --migrations DIR",
        )),
    }
}

/// Where the files go: `sqlite/` and `postgres/`, whichever there are, or the folder itself if it
/// holds migrations of its own.
fn parts(root: &Path) -> Result<Vec<(PathBuf, Option<Engine>)>, Error> {
    let split: Vec<_> = Engine::ALL
        .into_iter()
        .map(|engine| (root.join(engine.name()), Some(engine)))
        .collect();
    let present: Vec<_> = split
        .iter()
        .filter(|(part, _)| part.is_dir())
        .cloned()
        .collect();
    if !present.is_empty() {
        return Ok(present);
    }
    if names(root)?.is_empty() {
        return Ok(split);
    }
    Ok(vec![(root.to_owned(), None)])
}

/// Names of the migrations in a folder; none if it does not exist.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if entry.path().join("up.sql").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// `now`, or the second after the newest version if that is later. Versions compare as text.
fn next_version(parts: &[(PathBuf, Option<Engine>)], now: &str) -> Result<String, Error> {
    let mut newest = String::new();
    for (part, _) in parts {
        for name in names(part)? {
            let version = name.split('_').next().unwrap_or_default().replace('-', "");
            newest = newest.max(version);
        }
    }
    if newest.as_str() < now {
        return Ok(now.to_owned());
    }
    let next = newest
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_add(1))
        .map(|number| format!("{number:0width$}", width = newest.len()))
        .filter(|next| *next > newest);
    next.ok_or_else(|| {
        Error::usage(
            format!("no version follows {newest}, the newest in the folder"),
            "name the new migration by hand, so that it sorts after that one",
        )
    })
}

fn write(part: &Path, name: &str, engine: Option<Engine>) -> Result<Vec<String>, Error> {
    let folder = part.join(name);
    fs::create_dir_all(part).map_err(|e| Error::io(part, e))?;
    // Fails if it exists already: nothing is ever overwritten.
    fs::create_dir(&folder).map_err(|e| Error::io(&folder, e))?;
    let title = engine.map_or_else(|| name.to_owned(), |engine| format!("{name}, {engine}"));
    let mut written = Vec::new();
    for (file, text) in [
        ("up.sql", format!("-- {title}: what changes, and why.\n")),
        (
            "down.sql",
            format!("-- {title}: undoes up.sql, in reverse order.\n"),
        ),
    ] {
        let path = folder.join(file);
        fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

fn check_name(name: &str) -> Result<(), Error> {
    let proper = snake_case(name);
    if name == proper
        && name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Ok(());
    }
    let hint = if proper.starts_with(|c: char| c.is_ascii_lowercase()) && proper != name {
        format!("write {}", &proper[..proper.len().min(LONGEST_NAME)])
    } else {
        "begin with a letter, for example add_bet_limits".to_owned()
    };
    Err(Error::usage(
        format!("{name:?} is not snake_case of at most {LONGEST_NAME} letters, digits and _"),
        hint,
    ))
}

/// The nearest name that would do: `Add BetLimits!` becomes `add_bet_limits`.
fn snake_case(name: &str) -> String {
    let mut proper = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && after_lower {
                proper.push('_');
            }
            proper.push(c.to_ascii_lowercase());
        } else if !proper.is_empty() && !proper.ends_with('_') {
            proper.push('_');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    proper.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_snake_case_or_a_better_one_is_suggested() {
        for (name, proper) in [
            ("add_bet_limits", "add_bet_limits"),
            ("AddBetLimits", "add_bet_limits"),
            ("add bet-limits!", "add_bet_limits"),
            ("add__bet_", "add_bet"),
            ("_x", "x"),
        ] {
            assert_eq!(snake_case(name), proper);
            assert_eq!(check_name(name).is_ok(), name == proper, "{name}");
        }
        for name in ["", "1st", "../evil", &"x".repeat(61), "été"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_new_version_comes_after_every_other() {
        let root = tempfile::tempdir().unwrap();
        let parts = parts(root.path()).unwrap();
        assert_eq!(
            next_version(&parts, "20260101000000").unwrap(),
            "20260101000000"
        );
        for (existing, next) in [
            ("20250101000000_a", "20260101000000"),
            ("2026-02-01-000000_b", "20260201000001"),
            ("99999999999999_c", ""),
        ] {
            let folder = root.path().join("sqlite").join(existing);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("up.sql"), "").unwrap();
            let found = next_version(&parts, "20260101000000").unwrap_or_default();
            assert_eq!(found, next, "{existing}");
        }
    }
}
