//! The packages that carry the folders, and how one is had.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use db_core::Engine;

use crate::paths::cargo;

/// A folder in a published package.
pub(super) struct Folder {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) licence: &'static str,
    pub(super) engine: Engine,
    path: &'static str,
    pub(super) migrations: usize,
}

/// Shorter to read in a table of constants.
const fn folder(
    (package, version, licence): (&'static str, &'static str, &'static str),
    engine: Engine,
    path: &'static str,
    migrations: usize,
) -> Folder {
    Folder {
        package,
        version,
        licence,
        engine,
        path,
        migrations,
    }
}

const SPLINTER: (&str, &str, &str) = ("splinter", "0.6.14", "Apache-2.0");
const GRID: (&str, &str, &str) = ("grid-sdk", "0.3.5", "Apache-2.0");
const TRANSACT: (&str, &str, &str) = ("transact", "0.4.7", "Apache-2.0");
const SCABBARD: (&str, &str, &str) = ("scabbard", "0.6.14", "Apache-2.0");
const MINOTARI: (&str, &str, &str) = ("minotari_wallet", "6.3.0-pre.2", "BSD-3-Clause");
const WALLET: (&str, &str, &str) = ("tari_wallet", "0.8.1", "BSD-3-Clause");
const COMMS: (&str, &str, &str) = ("tari_comms_dht", "6.3.0-pre.2", "BSD-3-Clause");
const CONTACTS: (&str, &str, &str) = ("tari_contacts", "1.0.0-rc.5", "BSD-3-Clause");

/// All of them, the largest first.
pub(super) const FOLDERS: [Folder; 12] = [
    folder(
        SPLINTER,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        31,
    ),
    folder(MINOTARI, Engine::Sqlite, "migrations", 30),
    folder(WALLET, Engine::Sqlite, "migrations", 16),
    folder(COMMS, Engine::Sqlite, "migrations", 8),
    folder(
        GRID,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        7,
    ),
    folder(CONTACTS, Engine::Sqlite, "migrations", 5),
    folder(
        TRANSACT,
        Engine::Sqlite,
        "src/state/merkle/sql/migration/sqlite/migrations",
        3,
    ),
    folder(
        SCABBARD,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        2,
    ),
    folder(
        SPLINTER,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        33,
    ),
    folder(
        GRID,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        9,
    ),
    folder(
        TRANSACT,
        Engine::Postgres,
        "src/state/merkle/sql/migration/postgres/migrations",
        2,
    ),
    folder(
        SCABBARD,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        2,
    ),
];

/// Downloads and unpacks the package, if that has not been done yet.
pub(super) fn fetch(folder: &Folder, dir: &Path) -> Result<PathBuf> {
    let name = format!("{}-{}", folder.package, folder.version);
    let spec = format!("{}@{}", folder.package, folder.version);
    let status = cargo()
        .args(["info", "--quiet", &spec])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo info {spec} ended with {status}");

    let sources = cargo_home()?.join("registry").join("src");
    let registries = std::fs::read_dir(&sources)
        .with_context(|| format!("cannot read {}", sources.display()))?;
    let path = registries
        .flatten()
        .map(|registry| registry.path().join(&name).join(folder.path))
        .find(|path| path.is_dir())
        .with_context(|| format!("no {} in {name} below {}", folder.path, sources.display()))?;
    let found = std::fs::read_dir(&path)?
        .flatten()
        .filter(|entry| entry.path().join("up.sql").is_file())
        .count();
    ensure!(
        found == folder.migrations,
        "{name}: {found} migrations, not {}",
        folder.migrations
    );
    Ok(path)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::home_dir().context("no home folder: set CARGO_HOME")?;
    Ok(home.join(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_may_be_used_here() {
        for folder in &FOLDERS {
            assert!(["MIT", "Apache-2.0", "BSD-3-Clause"].contains(&folder.licence));
        }
    }

    #[test]
    fn there_are_enough_migrations_to_mean_something() {
        let count = |engine| -> usize {
            FOLDERS
                .iter()
                .filter(|one| one.engine == engine)
                .map(|one| one.migrations)
                .sum()
        };
        assert!(count(Engine::Sqlite) >= 100);
        assert!(count(Engine::Postgres) >= 40);
    }
}
