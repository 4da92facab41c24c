//! The `transfer` area: export, import and copy beside `sqlite3`, `psql` and pgloader.
//!
//! Every program runs as a whole process and takes turns with the others, on the same rows, in the
//! page cache, into targets that are new. What arrived is compared once per case, so that nobody is
//! fast by leaving something out. The proof of a copy, which pgloader does not have, is taken off
//! and quoted.

mod copy;
mod csv;
mod duel;
mod fill;
mod postgres;
mod sqlite;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use super::metrics::{Metrics, mebibytes};
use super::paths::{Paths, make};
use super::peers;
use super::process::{Invocation, Usage};
use super::report::Section;
use super::server::Server;
use super::tools::{Place, Tool, ours};
use super::{Args, Outcome};
use duel::Duel;
use fill::Rows;

/// A part of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CSV into and out of SQLite
    Sqlite,
    /// CSV into and out of PostgreSQL
    Postgres,
    /// From one engine to the other
    Copy,
    /// The memory of all of them, without peers
    Memory,
}

impl Part {
    fn measures(self, metric: &str) -> bool {
        let of_memory = metric.starts_with("memory.");
        match self {
            Self::Sqlite => metric.starts_with("sqlite."),
            Self::Postgres => metric.starts_with("postgres."),
            Self::Copy => metric.starts_with("copy."),
            Self::Memory => of_memory,
        }
    }
}

/// A number of rows, what it is called, and in how many rounds.
#[derive(Clone, Copy, Debug)]
struct Size {
    label: &'static str,
    rows: u64,
    rounds: usize,
    /// Whether the peers have their turns, too.
    peers: bool,
}

/// The two sizes: of these the memory is compared.
type Plan = [Size; 2];

const FULL: Plan = [
    Size {
        label: "1m",
        rows: 1_000_000,
        rounds: 5,
        peers: true,
    },
    Size {
        label: "10m",
        rows: 10_000_000,
        rounds: 2,
        peers: true,
    },
];

const QUICK: Plan = [
    Size {
        label: "1m",
        rows: 1_000_000,
        rounds: 3,
        peers: true,
    },
    Size {
        label: "3m",
        rows: 3_000_000,
        rounds: 1,
        peers: false,
    },
];

/// What the cases share.
struct Bench<'a> {
    program: PathBuf,
    scratch: &'a Path,
    server: Option<Server>,
    part: Option<Part>,
    size: Size,
}

/// Measures everything, or a part.
///
/// # Errors
/// If the bench itself cannot go on, or what arrived is not what was sent.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let part = super::part::<Part>(args)?;
    let scratch = paths.scratch()?;
    let programs = peers::programs(paths, args.program.as_deref(), &[])?;
    let mut bench = Bench {
        program: programs[&Tool::Ours].clone(),
        scratch: scratch.path(),
        server: args.server(),
        part,
        size: FULL[0],
    };
    make(&bench.empty())?;
    let mut outcome = Outcome {
        tools: peers::versions(&programs),
        ..Outcome::default()
    };
    for (program, package) in [
        ("sqlite3", "sqlite3"),
        ("psql", "postgresql-client"),
        ("pgloader", "pgloader"),
    ] {
        let version = peers::of_debian(program, package);
        outcome.tools.push((program.to_owned(), version));
    }
    match &bench.server {
        Some(server) => outcome
            .tools
            .push(("Server".to_owned(), server.describe()?)),
        None => eprintln!("PostgreSQL is left out: no server was given"),
    }
    let plan = if args.quick { QUICK } else { FULL };
    let mut cases: Vec<(Size, Duel)> = Vec::new();
    for size in plan {
        bench.size = Size {
            peers: size.peers && part != Some(Part::Memory),
            rounds: if part == Some(Part::Memory) {
                1
            } else {
                size.rounds
            },
            ..size
        };
        if bench.size.peers || part.is_none() || part == Some(Part::Memory) {
            let done = bench.all(&mut outcome.sections)?;
            cases.extend(done.into_iter().map(|duel| (bench.size, duel)));
        }
    }
    for (size, duel) in &cases {
        duel.record(*size, &mut outcome.metrics);
    }
    if part.is_none() || part == Some(Part::Memory) {
        let memory = memory(plan, &cases, &mut outcome.metrics);
        outcome.sections.push(memory);
    }
    let quick = args.quick;
    outcome.partly = Some(Box::new(move |metric| {
        part.is_none_or(|part| part.measures(metric)) && !(quick && metric.contains(".10m."))
    }));
    Ok(outcome)
}

/// What every command of ours needed for many rows, and for many more.
fn memory(plan: Plan, cases: &[(Size, Duel)], metrics: &mut Metrics) -> Section {
    let [small, large] = plan;
    let of = |size: Size, name: &str| {
        let mut of_size = cases.iter().filter(|(one, _)| one.label == size.label);
        of_size.find_map(|(_, duel)| (duel.name == name).then(|| duel.peak()).flatten())
    };
    let mut rows = Vec::new();
    for (_, duel) in cases.iter().filter(|(size, _)| size.label == small.label) {
        let (Some(few), Some(many)) = (of(small, duel.name), of(large, duel.name)) else {
            continue;
        };
        metrics.set(
            &format!("memory.{}.few_mib", duel.name),
            "ours",
            mebibytes(few),
        );
        metrics.set(
            &format!("memory.{}.many_mib", duel.name),
            "ours",
            mebibytes(many),
        );
        rows.push(vec![
            duel.title.to_owned(),
            format!("{:.1}", mebibytes(few)),
            format!("{:.1}", mebibytes(many)),
            format!("{:.2}", mebibytes(many) / mebibytes(few)),
        ]);
    }
    Section {
        title: "Memory".to_owned(),
        text: format!(
            "The largest resident memory of `bitcraps-db`, in MiB, for {} rows and for {}.",
            counted(small.rows),
            counted(large.rows)
        ),
        head: vec!["what", "few rows", "many rows", "ratio"],
        rows,
    }
}

impl Bench<'_> {
    /// All cases in one size.
    fn all(&self, sections: &mut Vec<Section>) -> Result<Vec<Duel>> {
        let rows = Rows::make(self)?;
        let wants = |part| match self.part {
            None | Some(Part::Memory) => true,
            Some(asked) => asked == part,
        };
        let mut duels = Vec::new();
        if wants(Part::Sqlite) {
            duels.extend(self.sqlite(&rows)?);
        }
        if let Some(server) = &self.server {
            if wants(Part::Postgres) {
                duels.extend(self.postgres(server, &rows)?);
            }
            if wants(Part::Copy) {
                duels.extend(self.copy(server, &rows)?);
            }
        }
        if self.size.peers {
            sections.extend(duels.iter().map(|duel| duel.section(self.size)));
        }
        fs::remove_dir_all(&rows.folder)?;
        Ok(duels)
    }

    /// A working directory in which no tool finds a configuration.
    fn empty(&self) -> PathBuf {
        self.scratch.join("empty")
    }

    /// A folder in which nothing is.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        make(&folder)?;
        Ok(folder)
    }

    /// A command of ours on a database.
    fn ours(&self, place: &Place, command: &[&str]) -> Invocation {
        ours(&self.program, place, None, command, &self.empty())
    }

    /// A peer's command.
    fn peer(&self, program: &str, args: &[&str]) -> Invocation {
        Invocation {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            // What a moment looks like as text is the session's choice.
            env: vec![("PGTZ", "UTC".to_owned())],
            dir: self.empty(),
        }
    }

    /// A command whose standard output goes into a file; the shell makes way for it.
    fn redirected(&self, invocation: &Invocation, file: &Path) -> Invocation {
        let script = "file=$1; shift; exec \"$@\" > \"$file\"";
        let mut args: Vec<OsString> = vec!["-ec".into(), script.into(), "sh".into(), file.into()];
        args.push(invocation.program.clone().into());
        args.extend(invocation.args.iter().cloned());
        Invocation {
            program: "sh".into(),
            args,
            env: invocation.env.clone(),
            dir: self.empty(),
        }
    }
}

/// Runs a command when nothing waits to be written to the disk.
fn settled(invocation: &Invocation) -> Result<Usage> {
    let synced = Command::new("sync").status()?;
    ensure!(synced.success(), "sync failed");
    invocation.measure()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

fn place_of(url: &Place) -> Result<&str> {
    match url {
        Place::Postgres(url) => Ok(url),
        Place::Sqlite(_) => anyhow::bail!("not a server"),
    }
}

/// `1,000,000`.
fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
