//! `cargo xtask ci`: everything that must hold before a merge, in the order of cost.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{process, test, tidy, workspace};

type Step = (&'static str, fn() -> Result<()>);

/// The steps; the cheap ones first, so that a slip shows early.
const STEPS: [Step; 8] = [
    ("lock", lock),
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("doc", doc),
    ("test", test::run_all),
    ("clippy with sqlcipher", clippy_sqlcipher),
    ("test with sqlcipher", test::run_sqlcipher),
];

/// Workspaces of their own: `cargo xtask bench data` and `repo` compile the peers, cargo-fuzz the other, whose
/// code a test of db-transfer has in it.
const APART: [&str; 3] = ["bench/peers/blocking", "bench/peers/sqlx", "fuzz"];

pub(crate) fn run() -> Result<()> {
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let start = Instant::now();
        step().with_context(|| format!("the step `{name}` failed"))?;
        times.push(format!("{name} {:.1} s", start.elapsed().as_secs_f64()));
    }
    println!("\nall is well: {}", times.join(", "));
    Ok(())
}

/// `Cargo.lock` fits the manifests and is committed.
fn lock() -> Result<()> {
    process::output(workspace::cargo().args(["metadata", "--format-version=1", "--locked"]))
        .context("Cargo.lock does not fit the manifests: run `cargo check`, commit Cargo.lock")?;
    let git = |arguments: &[&str]| {
        process::succeeds(
            Command::new("git")
                .current_dir(workspace::root())
                .args(arguments),
        )
    };
    // An unpacked archive has no repository to ask, and needs no git either.
    if git(&["rev-parse", "--git-dir"]) && !git(&["ls-files", "--error-unmatch", "Cargo.lock"]) {
        bail!("Cargo.lock is not committed: `git add Cargo.lock`");
    }
    Ok(())
}

fn fmt() -> Result<()> {
    process::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    for folder in APART {
        let manifest = workspace::root().join(folder).join("Cargo.toml");
        let manifest = manifest.as_os_str();
        process::run(
            workspace::cargo()
                .args(["fmt", "--check", "--manifest-path"])
                .arg(manifest),
        )?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    clippy_with(&["--all-targets"])
}

/// What is built of the other library; its tests are compiled with it soon. The whole workspace, because
/// the features of its dependencies, and so what is compiled of them already, follow from all of it.
fn clippy_sqlcipher() -> Result<()> {
    clippy_with(&["--lib", "--bins", "--features", "sqlcipher"])
}

fn clippy_with(what: &[&str]) -> Result<()> {
    process::run(
        workspace::cargo()
            .args(["clippy", "--workspace"])
            .args(what)
            .args(["--locked", "--quiet", "--", "--deny=warnings"]),
    )
}

fn doc() -> Result<()> {
    process::run(
        workspace::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
            .env("RUSTDOCFLAGS", "--deny=warnings"),
    )
}
