//! The `backup` area: backups and restores beside the engines' own tools, on one gibibyte.
//!
//! Every program runs as a whole process and takes turns with the others. What ours checks before it
//! publishes a backup, and its peers do not, is in the manifest and is taken off; it is held against
//! the engine's own check, and quoted.

mod fill;
mod postgres;
mod sqlite;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::metrics::{Metrics, Samples, millis};
use super::paths::{Paths, make};
use super::process::Invocation;
use super::report::{Section, ranged};
use super::server::Server;
use super::tools::{Place, Tool, ours};
use super::{Args, Outcome, peers};

/// How much is copied, and how often.
struct Plan {
    mebibytes: u64,
    rounds: usize,
    /// Of PostgreSQL's copies, which are short and differ by a quarter from one to the next.
    copies: usize,
}

impl Plan {
    const FULL: Self = Self {
        mebibytes: 1_024,
        rounds: 3,
        copies: 9,
    };
    const QUICK: Self = Self {
        mebibytes: 256,
        rounds: 3,
        copies: 3,
    };
}

/// What the cases share.
struct Bench<'a> {
    program: PathBuf,
    plan: Plan,
    scratch: &'a Path,
    server: Option<Server>,
}

/// What a manifest says of the time that a backup took.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    proof: Proof,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the manifest's names")]
struct Proof {
    integrity_ms: u32,
    foreign_keys_ms: u32,
    rows_ms: u32,
}

/// What `restore` and `backup verify` say.
#[derive(Deserialize)]
struct Answer {
    verify_ms: u32,
}

/// Measures everything.
///
/// # Errors
/// If the bench itself cannot go on.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let scratch = paths.scratch()?;
    let programs = peers::programs(paths, args.program.as_deref(), &[])?;
    let bench = Bench {
        program: programs[&Tool::Ours].clone(),
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
        scratch: scratch.path(),
        server: args.server(),
    };
    make(&bench.empty())?;
    let mut outcome = Outcome {
        tools: peers::versions(&programs),
        ..Outcome::default()
    };
    for program in ["sqlite3", "pg_dump", "pg_basebackup"] {
        let version = peers::version_of(program);
        outcome.tools.push((program.to_owned(), version));
    }
    let metrics = &mut outcome.metrics;
    outcome.sections.extend(bench.sqlite(metrics)?);
    match &bench.server {
        Some(server) => {
            outcome
                .tools
                .push(("Server".to_owned(), server.describe()?));
            outcome.sections.extend(bench.postgres(server, metrics)?);
        }
        None => eprintln!("PostgreSQL is left out: no server was given"),
    }
    Ok(outcome)
}

impl Bench<'_> {
    /// A working directory in which no tool finds a configuration.
    fn empty(&self) -> PathBuf {
        self.scratch.join("empty")
    }

    /// A folder in which nothing is.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        remove(&folder)?;
        make(&folder)?;
        Ok(folder)
    }

    /// Runs our program; returns the milliseconds, and what it printed.
    fn ours(&self, place: &Place, command: &[&str]) -> Result<(f64, Vec<u8>)> {
        run(&ours(&self.program, place, None, command, &self.empty()))
    }

    /// Runs a line of shell; returns the milliseconds.
    fn shell(&self, line: &str) -> Result<f64> {
        let invocation = Invocation {
            program: "sh".into(),
            args: vec!["-ec".into(), line.into()],
            env: Vec::new(),
            dir: self.empty(),
        };
        Ok(run(&invocation)?.0)
    }

    /// Makes a backup in a folder; returns the milliseconds of all, and the manifest.
    fn create(&self, place: &Place, dir: &Path, more: &[&str]) -> Result<(f64, Manifest)> {
        let dir = text(dir)?;
        let command = [&["--quiet", "backup", "create", "--dir", dir], more].concat();
        let (took, _) = self.ours(place, &command)?;
        let mut manifests = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                manifests.push(path);
            }
        }
        ensure!(manifests.len() == 1, "{dir}: {manifests:?}");
        let manifest = serde_json::from_slice(&fs::read(&manifests[0])?)?;
        Ok((took, manifest))
    }
}

impl Manifest {
    /// Milliseconds of what was checked, and of the engine's own part in that.
    fn checked(&self) -> (f64, f64) {
        let Proof {
            integrity_ms,
            foreign_keys_ms,
            rows_ms,
        } = self.proof;
        let engine = f64::from(integrity_ms) + f64::from(foreign_keys_ms);
        (engine + f64::from(rows_ms), engine)
    }
}

/// Runs a command whose output matters; nothing waits to be written to the disk when it begins.
fn run(invocation: &Invocation) -> Result<(f64, Vec<u8>)> {
    settle()?;
    let began = Instant::now();
    let output = invocation.answer()?;
    Ok((millis(began.elapsed()), output))
}

fn settle() -> Result<()> {
    let synced = Command::new("sync").status()?;
    ensure!(synced.success(), "sync failed");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// One program's row: time, and its ratio to the first peer.
fn row(label: &str, samples: &Samples, peer: Option<&Samples>) -> Vec<String> {
    let ratio = peer
        .and_then(|peer| samples.over(peer))
        .and_then(|ratios| ratios.median());
    vec![
        label.to_owned(),
        ranged(samples),
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
    ]
}

/// A table of times in one case.
fn section(title: &str, text: &str, against: &str, rows: Vec<Vec<String>>) -> Section {
    Section {
        title: title.to_owned(),
        text: format!("{text} The ratio is to {against}."),
        head: vec!["what", "time, ms", "ratio"],
        rows,
    }
}
