//! Where the bench finds and puts things: the repository, the target folder, the page.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The folders and files that every area needs.
pub(crate) struct Paths {
    /// The workspace root.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever `CARGO_TARGET_DIR` or a configuration puts it.
    pub(crate) target: PathBuf,
    /// `bench/bars.toml`.
    pub(crate) bars: PathBuf,
    /// `docs/benchmarks.md`.
    pub(crate) page: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

impl Paths {
    /// Asks cargo, which knows every way to move the target folder.
    ///
    /// # Errors
    /// If `cargo metadata` cannot be run or understood.
    pub(crate) fn find() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let root = metadata.workspace_root;
        Ok(Self {
            bars: root.join("bench").join("bars.toml"),
            page: root.join("docs").join("benchmarks.md"),
            target: metadata.target_directory,
            root,
        })
    }

    /// The folder that holds everything the bench installs and writes.
    pub(crate) fn bench(&self) -> PathBuf {
        self.target.join("bench")
    }

    /// A scratch folder that is gone when it is dropped.
    ///
    /// It lies in the target folder and not in the system's temporary one, which is often in
    /// memory: there `fsync` costs nothing and the figures would say little about a disk.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir> {
        let parent = self.bench().join("work");
        make(&parent)?;
        tempfile::tempdir_in(&parent)
            .with_context(|| format!("cannot make a folder in {}", parent.display()))
    }
}

/// Makes a folder and its parents.
///
/// # Errors
/// Names the folder that cannot be made.
pub(crate) fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Writes a file, and its folder first.
///
/// # Errors
/// Names the file that cannot be written.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(parent) = file.parent() {
        make(parent)?;
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The cargo that runs us, so that toolchain overrides hold for what we start too.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
