//! Installs the peers, each in its own folder below `target/bench/peers`, once per version.
//!
//! goose is not here: it is published through Go's module proxy only, and the bench needs no
//! toolchain beyond Rust's (and npm for dbmate, which is left out where there is none).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::paths::{Paths, cargo, make};
use super::process::tail;
use super::tools::{Programs, Tool};

/// Read by the build scripts of bundled SQLite and set by this repository's configuration for
/// its own build. The peers are built as their users build them.
const OUR_BUILD_FLAGS: &str = "LIBSQLITE3_FLAGS";

/// A peer from crates.io.
struct Crate {
    tool: Tool,
    name: &'static str,
    version: &'static str,
    program: &'static str,
    /// Bundled libraries where there is a choice, so that plain Debian with a C compiler
    /// suffices (refinery_cli alone wants OpenSSL's headers).
    features: &'static str,
}

const CRATES: [Crate; 3] = [
    Crate {
        tool: Tool::Diesel,
        name: "diesel_cli",
        version: "2.3.14",
        program: "diesel",
        features: "sqlite-bundled,postgres-bundled",
    },
    Crate {
        tool: Tool::Sqlx,
        name: "sqlx-cli",
        version: "0.9.0",
        program: "sqlx",
        features: "sqlite,postgres,rustls",
    },
    Crate {
        tool: Tool::Refinery,
        name: "refinery_cli",
        version: "0.10.0",
        program: "refinery",
        features: "sqlite-bundled,postgresql",
    },
];

const DBMATE_VERSION: &str = "2.36.0";

/// Builds our program, unless one is given, and installs the `wanted` peers; one that cannot be
/// had is said and left out, and the bars that need it are missed.
///
/// # Errors
/// If our own program does not build.
pub(crate) fn programs(paths: &Paths, given: Option<&Path>, wanted: &[Tool]) -> Result<Programs> {
    let ours = match given {
        Some(file) => file
            .canonicalize()
            .with_context(|| format!("no program at {}", file.display()))?,
        None => build_ours(paths)?,
    };
    let mut programs = Programs::from([(Tool::Ours, ours)]);
    for tool in wanted {
        let installed = match CRATES.iter().find(|one| one.tool == *tool) {
            Some(one) => install_crate(paths, one),
            None => install_dbmate(paths),
        };
        match installed {
            Ok(program) => {
                programs.insert(*tool, program);
            }
            Err(error) => eprintln!("{} is left out: {error:#}", tool.label()),
        }
    }
    Ok(programs)
}

/// Each program with the version it is pinned to.
pub(crate) fn versions(programs: &Programs) -> Vec<(String, String)> {
    programs
        .keys()
        .map(|tool| {
            let version = match CRATES.iter().find(|one| one.tool == *tool) {
                Some(one) => format!("{} ({})", one.version, one.features),
                None if *tool == Tool::Dbmate => format!("{DBMATE_VERSION} (npm)"),
                None => env!("CARGO_PKG_VERSION").to_owned(),
            };
            (tool.label().to_owned(), version)
        })
        .collect()
}

fn build_ours(paths: &Paths) -> Result<PathBuf> {
    eprintln!("building bitcraps-db (release)");
    let mut command = cargo();
    command
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            "db-cli",
            "--bin",
            "bitcraps-db",
        ])
        .current_dir(&paths.root);
    succeed(&mut command)?;
    Ok(paths.target.join("release").join("bitcraps-db"))
}

fn install_crate(paths: &Paths, one: &Crate) -> Result<PathBuf> {
    let root = paths
        .bench()
        .join("peers")
        .join(format!("{}-{}", one.name, one.version));
    let program = root.join("bin").join(one.program);
    if program.exists() {
        return Ok(program);
    }
    eprintln!("installing {} {} (once)", one.name, one.version);
    let mut command = cargo();
    command
        .args(["install", one.name, "--locked", "--quiet", "--version"])
        .arg(format!("={}", one.version))
        .args([
            "--no-default-features",
            "--features",
            one.features,
            "--root",
        ])
        .arg(&root)
        .arg("--target-dir")
        .arg(paths.bench().join("build"))
        .env_remove(OUR_BUILD_FLAGS);
    succeed(&mut command)?;
    ensure!(
        program.exists(),
        "cargo install wrote no {}",
        program.display()
    );
    Ok(program)
}

fn install_dbmate(paths: &Paths) -> Result<PathBuf> {
    let root = paths
        .bench()
        .join("peers")
        .join(format!("dbmate-{DBMATE_VERSION}"));
    if let Some(program) = dbmate_program(&root) {
        return Ok(program);
    }
    eprintln!("installing dbmate {DBMATE_VERSION} (once)");
    make(&root)?;
    let mut command = Command::new("npm");
    command
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ])
        .arg("--prefix")
        .arg(&root)
        .arg(format!("dbmate@{DBMATE_VERSION}"));
    succeed(&mut command)?;
    dbmate_program(&root).context("the npm package has no program for this machine")
}

/// The native program: the one in `.bin` starts Node first, which is not what is measured.
fn dbmate_program(root: &Path) -> Option<PathBuf> {
    let platforms = std::fs::read_dir(root.join("node_modules").join("@dbmate")).ok()?;
    platforms
        .flatten()
        .map(|platform| platform.path().join("bin").join("dbmate"))
        .find(|program| program.exists())
}

/// What a program says of its version.
pub(crate) fn version_of(program: &str) -> String {
    let said = Command::new(program).arg("--version").output();
    match said {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words: Vec<_> = text.split_whitespace().take(3).collect();
            words.join(" ")
        }
        Err(error) => format!("not there: {error}"),
    }
}

/// The version of a program of Debian's, which is installed if it is not there and that is possible;
/// what needs it says so otherwise.
pub(crate) fn of_debian(program: &str, package: &str) -> String {
    if !is_there(program) {
        eprintln!("installing Debian's package `{package}` (once)");
        // A machine without lists knows no package at all.
        let update: &[&str] = &["update", "--quiet"];
        let install: &[&str] = &[
            "install",
            "--quiet",
            "--yes",
            "--no-install-recommends",
            package,
        ];
        for args in [update, install] {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
            if let Err(error) = succeed(&mut command) {
                eprintln!("{program} cannot be had: {error:#}");
                break;
            }
        }
    }
    version_of(program)
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok()
}

/// Runs a command in silence; an error ends with what it wrote.
///
/// # Errors
/// If it cannot be started or does not exit 0.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}\n{}",
        output.status,
        tail(&String::from_utf8_lossy(&output.stderr))
    );
    Ok(())
}
