//! Finds the server programs where Debian, Red Hat, Homebrew and `PATH` keep them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Run};

/// The oldest server that the tests can use: `DROP DATABASE … WITH (FORCE)` came with 13.
const OLDEST: u32 = 13;

/// What a throw-away cluster needs, all from one folder so that the versions agree.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Folders with one folder per version in them: parent, start of the name, folder inside.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// A set of server programs.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    /// The major version.
    pub version: u32,
}

impl Programs {
    /// One of the programs, by name.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The server programs of this machine, if it has any that serve.
pub fn find(run: Run) -> Option<Programs> {
    candidates(run)
        .into_iter()
        .find_map(|folder| inspect(run, &folder).ok())
}

/// Every folder that may hold them, the likeliest first.
fn candidates(run: Run) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = std::env::var_os("PATH") {
        for folder in std::env::split_paths(&path) {
            // A link or a wrapper in PATH stands alone: its siblings are where it leads to.
            if let Ok(real) = folder.join("initdb").canonicalize() {
                folders.extend(real.parent().map(Path::to_path_buf));
            }
        }
    }
    if let Ok(folder) = run(Command::new("pg_config").arg("--bindir")) {
        folders.push(PathBuf::from(folder.trim()));
    }
    for (parent, start, inside) in VERSIONED {
        folders.extend(
            newest_first(Path::new(parent), start)
                .into_iter()
                .map(|f| f.join(inside)),
        );
    }
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders.push(PathBuf::from(
        "/Applications/Postgres.app/Contents/Versions/latest/bin",
    ));
    folders
}

/// The folders in `parent` whose name begins with `start`, by falling version.
fn newest_first(parent: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_prefix(start)?.to_owned();
            // `postgresql` itself, without a version, is Homebrew's newest.
            let digits: String = name.chars().filter(char::is_ascii_digit).collect();
            Some((digits.parse().unwrap_or(u32::MAX), entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Looks whether a folder holds all programs, of a version that serves.
fn inspect(run: Run, folder: &Path) -> Result<Programs, Error> {
    for program in PROGRAMS {
        if !folder.join(program).is_file() {
            return Err(Error::new(format!("{} has no {program}", folder.display())));
        }
    }
    let text = run(Command::new(folder.join("postgres")).arg("--version"))?;
    let version =
        major_version(&text).ok_or_else(|| Error::new(format!("not a server: {text:?}")))?;
    if version < OLDEST {
        let text = format!("{} holds version {version}, too old", folder.display());
        return Err(Error::new(text));
    }
    Ok(Programs {
        folder: folder.to_owned(),
        version,
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` → 15.
fn major_version(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("postgres (PostgreSQL) ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{inspect, major_version, newest_first};

    #[test]
    fn versions_are_read() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_version("some wrapper 15.1\n"), None);
        assert_eq!(major_version(""), None);
    }

    #[test]
    fn nine_is_older_than_fifteen() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pg-9.6", "pg-15", "pg-16", "other-17"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: Vec<_> = newest_first(folder.path(), "pg-")
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        // 9.6 reads as 96: such old servers are refused by their own --version.
        assert_eq!(names, ["pg-9.6", "pg-16", "pg-15"]);
    }

    #[test]
    fn half_a_server_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("initdb"), "").unwrap();
        let error = inspect(crate::run, folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no pg_ctl"), "{error}");
    }
}
