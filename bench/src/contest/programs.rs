//! Builds the peers: two workspaces below `bench/peers`, each with its own lock file.
//!
//! Cargo is called inside the repository, so `.cargo/config.toml` sets `LIBSQLITE3_FLAGS` for
//! them as it does for us: every SQLite here is compiled with the same flags.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::contender::{Program, Programs};
use crate::paths::{Paths, cargo};
use crate::peers::succeed;

/// The peers' folders below `bench/peers`; their programs are called `peers-<folder>`.
const PEERS: [(Program, &str); 2] = [(Program::Blocking, "blocking"), (Program::Sqlx, "sqlx")];

/// Finds our own program and builds the peers' that are wanted; one that does not build is said and left out,
/// and the bars that need it are missed.
///
/// # Errors
/// If the system does not say which program this is.
pub(crate) fn build(paths: &Paths, wanted: &[Program]) -> Result<Programs> {
    let ours = std::env::current_exe().context("this program has no path")?;
    let mut programs = Programs::from([(Program::Ours, ours)]);
    for (program, folder) in PEERS {
        if !wanted.contains(&program) {
            continue;
        }
        match build_one(paths, folder) {
            Ok(file) => {
                programs.insert(program, file);
            }
            Err(error) => eprintln!("bench/peers/{folder} is left out: {error:#}"),
        }
    }
    Ok(programs)
}

fn build_one(paths: &Paths, folder: &str) -> Result<PathBuf> {
    eprintln!("building bench/peers/{folder} (release)");
    let target = paths.bench().join("build");
    let mut command = cargo();
    command
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(paths.root.join("bench").join("peers").join(folder));
    // What Cargo told this process about its own package would make build scripts run anew.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy();
        if ours.starts_with("CARGO_PKG_") || ours.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    succeed(&mut command)?;
    Ok(target.join("release").join(format!("peers-{folder}")))
}
