//! Finds PostgreSQL's own programs where Debian, Red Hat, Homebrew and `PATH` keep them, and holds
//! their version against the server's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// Folders with one folder per version in them: parent, start of the name, folder inside.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// Folders with one version in them.
const SINGLE: [&str; 2] = [
    "/usr/local/pgsql/bin",
    "/Applications/Postgres.app/Contents/Versions/latest/bin",
];

/// A piece of work, and the programs that it needs, all of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// `pg_dump`, and `pg_restore` that reads what it wrote.
    Dump,
    /// `pg_restore` of an archive into a server.
    Restore,
    /// `pg_basebackup` and `pg_verifybackup`.
    BaseBackup,
    /// `pg_verifybackup`, which checks the files of a base backup.
    Files,
    /// A server on a folder of files.
    Server,
}

impl Task {
    /// The first one tells the version.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Dump => &["pg_dump", "pg_restore"],
            Self::Restore => &["pg_restore"],
            Self::BaseBackup => &["pg_basebackup", "pg_verifybackup", "pg_waldump"],
            Self::Files => &["pg_verifybackup", "pg_waldump"],
            Self::Server => &[
                "postgres",
                "pg_controldata",
                "pg_verifybackup",
                "pg_waldump",
            ],
        }
    }

    /// Whether programs of major version `found` serve where `server` is that of the server.
    const fn fits(self, found: u32, server: u32) -> bool {
        match self {
            // A dump must be read and written by programs that know the server's catalog.
            Self::Dump | Self::Restore => found >= server,
            // Files and their log have the format of one major version.
            Self::BaseBackup | Self::Files | Self::Server => found == server,
        }
    }

    const fn rule(self) -> &'static str {
        match self {
            Self::Dump | Self::Restore => "the server's or a newer one",
            Self::BaseBackup | Self::Files | Self::Server => "exactly the server's",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Server => "postgresql",
            Self::Dump | Self::Restore | Self::BaseBackup | Self::Files => "postgresql-client",
        }
    }

    /// What to type to get the programs of a version.
    fn install(self, version: u32) -> String {
        let red_hat = match self {
            Self::Server => "-server",
            Self::Dump | Self::Restore | Self::BaseBackup | Self::Files => "",
        };
        format!(
            "install PostgreSQL's programs (Debian: apt install {}-{version}; Red Hat: dnf install \
             postgresql{version}{red_hat}; macOS: brew install postgresql@{version}), or name their \
             folder with --pg-bin",
            self.package()
        )
    }
}

/// The programs for one task.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    folder: PathBuf,
    version: u32,
}

impl Tools {
    /// The programs for `task` on a server of major version `server`: those in `given`, if a folder is
    /// given; else the nearest version that fits, of all that this machine has.
    pub(crate) fn find(task: Task, given: Option<&Path>, server: u32) -> Result<Self, Error> {
        let folders = match given {
            Some(folder) => vec![folder.to_owned()],
            None => candidates(task.programs()[0]),
        };
        let mut found: Vec<Self> = Vec::new();
        let mut half = None;
        for folder in &folders {
            match inspect(task, folder) {
                Ok(tools) => found.push(tools),
                Err(missing) => half = half.or(missing.map(|name| (name, folder.clone()))),
            }
        }
        // The nearest above: a newer pg_dump writes archives that older pg_restores cannot read.
        // `min_by_key` takes the first of equals, which is that of PATH.
        let best = found
            .iter()
            .filter(|tools| task.fits(tools.version, server))
            .min_by_key(|tools| tools.version);
        if let Some(tools) = best {
            tracing::debug!(folder = %tools.folder.display(), version = tools.version, "found PostgreSQL's programs");
            return Ok(tools.clone());
        }
        if let Some(nearest) = found.iter().max_by_key(|tools| tools.version) {
            return Err(Error::Tool {
                reason: format!(
                    "{} is of version {}, and the server of version {server}: it must be {}",
                    nearest.path(task.programs()[0]).display(),
                    nearest.version,
                    task.rule(),
                ),
                hint: task.install(server),
            });
        }
        let (program, beside) = match half {
            Some((program, folder)) => (program, Some(folder)),
            None => (task.programs()[0], None),
        };
        let place = match given.or(beside.as_deref()) {
            Some(folder) => format!("in {}", folder.display()),
            None => "in PATH or where packages put it".to_owned(),
        };
        Err(Error::Tool {
            reason: format!("there is no {program} {place}"),
            hint: task.install(server),
        })
    }

    /// One of the programs, by name.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Every folder that may hold the programs, the likeliest first.
fn candidates(program: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = std::env::var_os("PATH") {
        for folder in std::env::split_paths(&path) {
            // A link stands alone: its siblings are where it leads to. Debian's leads to a wrapper that
            // would choose a version by itself, and has none of the programs beside it.
            if let Ok(real) = folder.join(program).canonicalize() {
                folders.extend(real.parent().map(Path::to_path_buf));
            }
        }
    }
    for (parent, start, inside) in VERSIONED {
        folders.extend(beginning(Path::new(parent), start).map(|folder| folder.join(inside)));
    }
    folders.extend(SINGLE.map(PathBuf::from));
    let mut seen = BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// The folders in `parent` whose name begins with `start`.
fn beginning(parent: &Path, start: &str) -> impl Iterator<Item = PathBuf> {
    let mut entries: Vec<PathBuf> = parent
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries.into_iter()
}

/// The programs in a folder; else the one of them that a folder with others lacks.
fn inspect(task: Task, folder: &Path) -> Result<Tools, Option<&'static str>> {
    let programs = task.programs();
    let is_there = |program: &&&str| folder.join(program).is_file();
    let there = programs.iter().filter(is_there).count();
    if there < programs.len() {
        let lacking = programs.iter().find(|program| !is_there(program));
        return Err(lacking.copied().filter(|_| there > 0));
    }
    let version = version_of(&folder.join(programs[0])).ok_or(None)?;
    Ok(Tools {
        folder: folder.to_owned(),
        version,
    })
}

/// The major version that a program tells of itself.
fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    major_version(&String::from_utf8_lossy(&output.stdout))
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)` → 15.
fn major_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(" (PostgreSQL) ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A folder of programs that tell nothing but this version.
    fn programs(task: Task, version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for program in task.programs() {
            let path = folder.path().join(program);
            std::fs::write(
                &path,
                format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn versions_are_read() {
        let debian = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_version("some wrapper 15.1\n"), None);
        assert_eq!(major_version(""), None);
    }

    #[test]
    fn a_dump_needs_the_servers_version_or_a_newer_one_and_files_exactly_it() {
        for (task, found, fits) in [
            (Task::Dump, "15.4", true),
            (Task::Dump, "16beta1", true),
            (Task::Dump, "14.9", false),
            (Task::BaseBackup, "15.4", true),
            (Task::BaseBackup, "16.1", false),
            (Task::Server, "14.1", false),
        ] {
            let folder = programs(task, found);
            let tools = Tools::find(task, Some(folder.path()), 15);
            assert_eq!(tools.is_ok(), fits, "{task:?} {found}");
            if let Err(error) = tools {
                let text = error.to_string();
                let major = &found[..2];
                assert!(text.contains(&format!("is of version {major}")), "{text}");
                assert!(text.contains("the server of version 15"), "{text}");
                assert!(error.hint().unwrap().contains("-15"), "{error:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let folder = programs(Task::Dump, "15.4");
        std::fs::remove_file(folder.path().join("pg_restore")).unwrap();
        let error = Tools::find(Task::Dump, Some(folder.path()), 15).unwrap_err();
        assert!(error.to_string().contains("no pg_restore in"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("apt install postgresql-client-15"), "{hint}");
        let empty = tempfile::tempdir().unwrap();
        let error = Tools::find(Task::Server, Some(empty.path()), 15).unwrap_err();
        assert!(error.to_string().contains("no postgres in"), "{error}");
    }
}
