//! `cargo xtask bench AREA [--quick] [--check]`: measures one area and judges it by its bars.
//!
//! A program of its own beside `xtask`, which starts it with a PostgreSQL server at hand: it
//! links the database crates, and `xtask` has to build in seconds.
//!
//! An area fills a [`Metrics`] store and a list of [`Section`]s; everything after that (bars,
//! printing, the page in `docs/`) is common to all areas. A new area is one module with a
//! `measure` function, one variant of [`Area`], and its bars in `bench/bars.toml`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod backup;
mod bars;
mod contest;
mod data;
mod folders;
mod generate;
mod layout;
mod machine;
mod metrics;
mod migrate;
mod paths;
mod peers;
mod process;
mod repo;
mod report;
mod schema;
mod server;
mod tools;
mod transfer;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use bars::Bars;
use metrics::Metrics;
use paths::Paths;
use report::Section;
use server::Server;

/// Measures one area, and judges it by the bars in bench/bars.toml.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// What to measure
    #[arg(value_enum)]
    area: Area,
    /// Fewer runs, print only: for a first look, not for the page in docs/
    #[arg(long)]
    quick: bool,
    /// Exit 1 and name each bar that is missed
    #[arg(long)]
    check: bool,
    /// The PostgreSQL server to use; without one, SQLite alone is measured
    #[arg(
        long,
        env = "BITCRAPS_TEST_POSTGRES_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    postgres: Option<String>,
    /// Only this part of the area `data`, `repo` or `transfer`; prints only
    #[arg(long, value_name = "PART")]
    part: Option<String>,
    /// Measure this bitcraps-db instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The command of the hidden `measure` area, or the job of `work`
    #[arg(last = true, hide = true)]
    command: Vec<OsString>,
}

/// The areas that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Area {
    /// The migration engine beside diesel_cli, sqlx-cli, refinery and dbmate
    Migrate,
    /// Migration folders of public projects, ours and diesel_cli's result compared
    Folders,
    /// Reads and writes beside rusqlite, Diesel with r2d2, sqlx and PostgreSQL's own clients
    Data,
    /// The repositories beside the same SQL on rusqlite and the `postgres` crate
    Repo,
    /// Backups and restores beside `sqlite3`, `cp`, `pg_dump` and `pg_basebackup`
    Backup,
    /// Export, import and copy beside `sqlite3`, `psql` and pgloader
    Transfer,
    /// Run one command and print its time and peak memory (used by the other areas)
    #[value(hide = true)]
    Measure,
    /// Do one job of the areas `data` and `repo` and print its figures (used by these)
    #[value(hide = true)]
    Work,
}

impl Args {
    /// The server to use; an empty variable names none.
    fn server(&self) -> Option<Server> {
        self.postgres
            .as_deref()
            .filter(|url| !url.is_empty())
            .map(Server::new)
    }
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Folders => "folders",
            Self::Data => "data",
            Self::Repo => "repo",
            Self::Backup => "backup",
            Self::Transfer => "transfer",
            Self::Measure => "measure",
            Self::Work => "work",
        }
    }
}

/// Whether a metric belongs to something.
type Belongs = Box<dyn Fn(&str) -> bool>;

/// What an area hands back: figures for the bars, and text for people.
#[derive(Default)]
struct Outcome {
    metrics: Metrics,
    sections: Vec<Section>,
    tools: Vec<(String, String)>,
    /// Whether a metric belongs to what was measured, where that is a part of the area.
    partly: Option<Belongs>,
}

impl Outcome {
    /// Of one part of its area, or of all.
    fn of_part<P: Copy + 'static>(self, part: Option<P>, measures: fn(P, &str) -> bool) -> Self {
        let Some(part) = part else {
            return self;
        };
        Self {
            partly: Some(Box::new(move |metric| measures(part, metric))),
            ..self
        }
    }
}

/// The part of an area that was asked for.
fn part<P: ValueEnum>(args: &Args) -> Result<Option<P>> {
    let Some(name) = &args.part else {
        return Ok(None);
    };
    let names = P::value_variants().iter().filter_map(P::to_possible_value);
    let names: Vec<String> = names.map(|one| one.get_name().to_owned()).collect();
    match P::from_str(name, true) {
        Ok(part) => Ok(Some(part)),
        Err(_) => bail!("there is no part {name}, but {}", names.join(", ")),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.area == Area::Measure {
        return process::measure(&args.command);
    }
    if args.area == Area::Work {
        return contest::work(&args.command);
    }
    let paths = Paths::find()?;
    let bars = Bars::read(&paths.bars)?;
    let outcome = match args.area {
        Area::Migrate => migrate::measure(&paths, args)?,
        Area::Folders => folders::measure(&paths, args)?,
        Area::Data => data::measure(&paths, args)?,
        Area::Repo => repo::measure(&paths, args)?,
        Area::Backup => backup::measure(&paths, args)?,
        Area::Transfer => transfer::measure(&paths, args)?,
        Area::Measure | Area::Work => Outcome::default(),
    };

    let mut verdicts = bars.judge(args.area.name(), &outcome.metrics);
    if let Some(measured) = &outcome.partly {
        verdicts.retain(|verdict| measured(verdict.bar.metric()));
    }
    let page = report::Page {
        area: args.area.name(),
        sections: &outcome.sections,
        verdicts: &verdicts,
        tools: &outcome.tools,
    };
    println!("{}", page.body());
    if !args.quick && args.part.is_none() {
        page.write(&paths.page)?;
        eprintln!("written: {}", paths.page.display());
    }

    let missed: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.passed())
        .map(ToString::to_string)
        .collect();
    if args.check && !missed.is_empty() {
        bail!(
            "{} of {} bars missed:\n  {}",
            missed.len(),
            verdicts.len(),
            missed.join("\n  ")
        );
    }
    Ok(())
}
