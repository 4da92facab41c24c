//! Where the workspace is, and how to call Cargo in it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The folder that holds the workspace's `Cargo.toml`.
///
/// Cargo sets the variable for `cargo run`; the value at build time serves a binary that is
/// called by its path.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let xtask = PathBuf::from(xtask);
    xtask
        .parent()
        .map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The Cargo that runs us, called in the workspace.
///
/// Without what Cargo told this process about `xtask`, build scripts which watch such variables are not
/// run anew for nothing.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = command(cargo);
    command.current_dir(root());
    command
}

/// A program without what Cargo told this process about the package `xtask`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Where Cargo builds.
pub(crate) fn target() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let text = process::output(&mut command)?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let folder = metadata["target_directory"].as_str();
    folder
        .map(PathBuf::from)
        .context("cargo metadata names no target folder")
}

/// Builds the program as people install it, and says where it is.
pub(crate) fn release(sqlcipher: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "--release", "--package", "db-cli"]);
    if sqlcipher {
        command.args(["--features", "sqlcipher"]);
    }
    process::run(&mut command)?;
    Ok(target()?.join("release").join("bitcraps-db"))
}
