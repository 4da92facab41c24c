//! The `migrate` area: the migration engine beside its peers, on both engines.

mod apply;
mod eight;
mod idle;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use db_core::Engine;

use super::generate::{COUNT, migrations};
use super::metrics::{Metrics, Samples, mebibytes, millis};
use super::paths::{Paths, make};
use super::process::{Invocation, Usage};
use super::report::Section;
use super::server::Server;
use super::tools::{Place, Programs, Tool};
use super::{Args, Outcome, peers};

const PEERS: [Tool; 4] = [Tool::Diesel, Tool::Sqlx, Tool::Refinery, Tool::Dbmate];

/// How often each case is repeated.
struct Plan {
    apply: usize,
    idle: usize,
    validate: usize,
    eight: usize,
}

impl Plan {
    const FULL: Self = Self {
        apply: 15,
        idle: 31,
        validate: 31,
        eight: 5,
    };
    const QUICK: Self = Self {
        apply: 5,
        idle: 11,
        validate: 11,
        eight: 1,
    };
}

/// What the cases share.
struct Bench<'a> {
    programs: Programs,
    plan: Plan,
    scratch: &'a Path,
    server: Option<Server>,
}

/// Time and memory of one tool in one case.
#[derive(Default)]
struct Measured {
    wall: Samples,
    peak: Samples,
}

impl Measured {
    fn push(&mut self, usage: &Usage) {
        self.wall.push(millis(usage.wall()));
        self.peak.push(mebibytes(usage.peak_bytes));
    }
}

/// Runs all cases.
///
/// # Errors
/// If the bench itself cannot go on; a tool that fails is said and left out.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let scratch = paths.scratch()?;
    let bench = Bench {
        programs: peers::programs(paths, args.program.as_deref(), &PEERS)?,
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
        scratch: scratch.path(),
        server: args.server(),
    };
    bench.write_folders()?;

    let mut outcome = Outcome {
        tools: peers::versions(&bench.programs),
        ..Outcome::default()
    };
    outcome.tools.push((
        "goose".to_owned(),
        "left out: only Go's module proxy has it".to_owned(),
    ));
    outcome
        .tools
        .push(("Smallest peak that can be seen".to_owned(), bench.floor()?));
    for engine in Engine::ALL {
        if engine == Engine::Postgres {
            let Some(server) = &bench.server else {
                eprintln!("PostgreSQL is left out: no server was given");
                continue;
            };
            outcome
                .tools
                .push(("Server".to_owned(), server.describe()?));
        }
        let metrics = &mut outcome.metrics;
        let sections = [
            Some(bench.apply(engine, metrics)?),
            Some(bench.idle(engine, metrics)?),
            bench.validate(engine, metrics),
            Some(bench.eight(engine, metrics)),
        ];
        outcome.sections.extend(sections.into_iter().flatten());
    }
    Ok(outcome)
}

impl Bench<'_> {
    /// The same migrations, once per tool and engine, each in the tool's own layout.
    fn write_folders(&self) -> Result<()> {
        for engine in Engine::ALL {
            let all = migrations(engine, COUNT);
            for tool in Tool::ALL {
                tool.layout().write(&self.folder(engine, tool), &all)?;
            }
        }
        make(&self.empty())
    }

    /// The peak of a program that does nothing: the measurer's own memory shows through.
    fn floor(&self) -> Result<String> {
        let nothing = Invocation {
            program: "true".into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: self.empty(),
        };
        Ok(format!(
            "{:.1} MiB",
            mebibytes(nothing.measure()?.peak_bytes)
        ))
    }

    fn folder(&self, engine: Engine, tool: Tool) -> PathBuf {
        self.scratch
            .join(format!("migrations-{}-{}", engine.name(), tool.key()))
    }

    /// A working directory in which no tool finds a configuration.
    fn empty(&self) -> PathBuf {
        self.scratch.join("empty")
    }

    /// A database that nothing was done to yet.
    fn fresh(&self, engine: Engine, tool: Tool, case: &str) -> Result<Place> {
        let name = format!("bench_{case}_{}", tool.key());
        if engine == Engine::Postgres {
            let server = self.server.as_ref().context("no PostgreSQL server")?;
            return server.create(&name);
        }
        let folder = self.scratch.join(name);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        make(&folder)?;
        let file = folder.join("bench.db");
        if tool.needs_file() {
            super::paths::write(&file, "")?;
        }
        Ok(Place::Sqlite(file))
    }

    /// The command that applies the generated migrations.
    fn migrate(&self, engine: Engine, tool: Tool, place: &Place) -> Result<Invocation> {
        let program = self.programs.get(&tool).context("not installed")?;
        Ok(tool.migrate(program, place, &self.folder(engine, tool), &self.empty()))
    }

    /// Does something with each installed tool; one that fails is said and drops out, and the
    /// bars that need it are missed.
    fn each_tool<T>(
        &self,
        case: &str,
        mut action: impl FnMut(Tool) -> Result<T>,
    ) -> BTreeMap<Tool, T> {
        let mut results = BTreeMap::new();
        for tool in self.programs.keys().copied() {
            match action(tool) {
                Ok(result) => {
                    results.insert(tool, result);
                }
                Err(error) => eprintln!("{case}: {} is left out: {error:#}", tool.label()),
            }
        }
        results
    }
}

/// Keeps medians under `<engine>.<case>.wall_ms` and `.peak_mib`.
fn keep(metrics: &mut Metrics, engine: Engine, case: &str, tool: Tool, measured: &Measured) {
    let name = engine.name();
    metrics.set_median(
        &format!("{name}.{case}.wall_ms"),
        tool.key(),
        &measured.wall,
    );
    metrics.set_median(
        &format!("{name}.{case}.peak_mib"),
        tool.key(),
        &measured.peak,
    );
}

/// A row of a table of times: name, time, its ratio to diesel_cli's, memory.
fn time_row(name: &str, measured: &Measured, diesel: Option<f64>) -> Vec<String> {
    let ratio = match (measured.wall.median(), diesel) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
        _ => "–".to_owned(),
    };
    vec![
        name.to_owned(),
        super::report::ranged(&measured.wall),
        ratio,
        super::report::ranged(&measured.peak),
    ]
}

/// The head of such a table.
const TIME_HEAD: [&str; 4] = ["program", "time, ms", "÷ diesel_cli", "peak memory, MiB"];

/// A section with a table of times, one row per tool.
fn time_section(title: String, text: String, all: &BTreeMap<Tool, Measured>) -> Section {
    let diesel = all
        .get(&Tool::Diesel)
        .and_then(|measured| measured.wall.median());
    let rows = all
        .iter()
        .map(|(tool, measured)| time_row(tool.label(), measured, diesel))
        .collect();
    Section {
        title,
        text,
        head: TIME_HEAD.to_vec(),
        rows,
    }
}
