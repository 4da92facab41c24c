//! The `data` area: reads and writes through our `Database`, beside the libraries that an
//! application would use instead.
//!
//! Every contender is a whole process that gets one job and prints its figures (`bench-load`
//! holds the load, `bench/peers` the peers, [`work`](mod@work) our own side). They take turns, A B C A B C,
//! because the rate of durable commits on one disk drifts by a quarter within minutes.

mod case;
mod contender;
mod database;
mod postgres;
mod programs;
mod reads;
mod size;
mod table;
mod work;
mod writes;

use std::path::Path;

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use self::case::{Case, Results, Times};
use self::contender::{Contender, Programs};
use self::database::Database;
use super::machine;
use super::metrics::Metrics;
use super::paths::Paths;
use super::report::Section;
use super::server::Server;
use super::{Args, Outcome};

pub(crate) use self::work::run as work;

/// The parts of the area, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Reads on SQLite
    Reads,
    /// Durable and other writes on SQLite
    Writes,
    /// Reads, writes and waiting on PostgreSQL
    Postgres,
    /// The same operation on small and on large tables
    Size,
}

impl Part {
    /// Whether a metric is one of this part's.
    pub(crate) fn measures(self, metric: &str) -> bool {
        let sqlite = metric.strip_prefix("sqlite.").unwrap_or_default();
        let case = sqlite.split('.').next().unwrap_or_default();
        match self {
            Self::Reads => ["point", "list", "fresh"].contains(&case),
            Self::Writes => ["full", "normal", "pending", "processes"].contains(&case),
            Self::Postgres => metric.starts_with("postgres."),
            Self::Size => case == "size",
        }
    }
}

/// How much is measured.
struct Plan {
    reads: Times,
    writes: Times,
    postgres: Times,
    hold: Times,
    size: Times,
    /// Rows of the tables in [`Part::Size`].
    sizes: &'static [u64],
}

impl Plan {
    const FULL: Self = Self {
        reads: times(5, 300, 1_500),
        writes: times(5, 500, 1_200),
        postgres: times(5, 300, 1_200),
        hold: times(2, 2_000, 8_000),
        size: times(3, 300, 1_200),
        sizes: &[10_000, 1_000_000, 10_000_000],
    };
    const QUICK: Self = Self {
        reads: times(3, 200, 1_000),
        writes: times(3, 500, 1_500),
        postgres: times(3, 300, 1_000),
        hold: times(1, 2_000, 8_000),
        size: times(3, 500, 1_000),
        sizes: &[10_000, 1_000_000],
    };
}

const fn times(rounds: usize, warm_ms: u64, run_ms: u64) -> Times {
    Times {
        rounds,
        warm_ms,
        run_ms,
    }
}

/// What the parts share.
struct Bench<'a> {
    programs: Programs,
    plan: Plan,
    scratch: &'a Path,
    server: Option<Server>,
    metrics: Metrics,
    sections: Vec<Section>,
    libraries: Vec<(String, String)>,
}

/// Measures all parts, or the one that was asked for.
///
/// # Errors
/// If the bench itself cannot go on; a contender that fails is said and left out.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let scratch = paths.scratch()?;
    let mut bench = Bench {
        programs: programs::build(paths)?,
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
        scratch: scratch.path(),
        server: args.server(),
        metrics: Metrics::default(),
        sections: Vec::new(),
        libraries: Vec::new(),
    };
    bench.libraries.push((
        "Processors in use by others, at the start".to_owned(),
        machine::busy(),
    ));
    let wanted = |part| args.part.is_none_or(|only| only == part);
    if wanted(Part::Reads) {
        bench.reads()?;
    }
    if wanted(Part::Writes) {
        bench.writes()?;
    }
    if wanted(Part::Postgres) {
        bench.postgres()?;
    }
    if wanted(Part::Size) {
        bench.size()?;
    }
    let mut tools = bench.libraries;
    if let Some(server) = &bench.server {
        tools.push(("Server".to_owned(), server.describe()?));
    }
    Ok(Outcome {
        metrics: bench.metrics,
        sections: bench.sections,
        tools,
    })
}

impl Bench<'_> {
    /// Fills a SQLite file; see [`Database::sqlite`].
    fn file(&self, name: &str, rows: Rows, copied: bool) -> Result<Database> {
        eprintln!("filling {name}: {} users, {} bets", rows.users, rows.bets);
        Database::sqlite(&self.scratch.join(name), name, rows, copied)
    }

    /// Runs cases side by side and remembers what the contenders were built from.
    fn run(&mut self, cases: &[Case<'_>], times: Times) -> Vec<Results> {
        let metrics = &mut self.metrics;
        let all = case::run(cases, &self.programs, times, self.scratch, metrics);
        for (contender, measured) in all.iter().flatten() {
            let line = (contender.label.to_owned(), measured.library.clone());
            if !self.libraries.contains(&line) {
                self.libraries.push(line);
            }
        }
        all
    }
}

/// One process on SQLite; what differs is set by those who ask for it.
fn on_sqlite<'a>(
    metric: String,
    work: Work,
    clients: usize,
    database: &'a Database,
    contenders: &'a [Contender],
) -> Case<'a> {
    Case {
        metric,
        work,
        clients,
        processes: 1,
        connections: 10,
        durability: Durability::Normal,
        database,
        contenders,
    }
}
