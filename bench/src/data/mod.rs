//! The `data` area: reads and writes through our `Database`, beside the libraries that an
//! application would use instead.

mod postgres;
mod reads;
mod size;
mod work;
mod writes;

use anyhow::{Result, ensure};
use bench_load::{Rows, Work};
use db_core::Conn;

use super::contest::case::Times;
use super::contest::contender::Program;
use super::contest::database::{Database, Done, Shape};
use super::contest::{Contest, times};
use super::paths::Paths;
use super::{Args, Outcome, part};

pub(crate) use self::work::run as work;

/// The parts of the area, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
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
    fn measures(self, metric: &str) -> bool {
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

/// The tables of `bench-load`.
const SHAPE: Shape = Shape {
    fill,
    questions: &[
        "SELECT CAST(count(*) AS TEXT) AS line FROM bets",
        "SELECT CAST(sum(balance) AS TEXT) AS line FROM balances",
    ],
    agree,
};

fn fill(conn: &mut Conn<'_>, rows: Rows) -> Result<()> {
    let script = match conn {
        Conn::Sqlite(_) => rows.sqlite(),
        Conn::Postgres(_) => rows.postgres(),
    };
    Ok(conn.batch_execute(&script)?)
}

fn agree(work: Work, changes: &[i64], done: Done) -> Result<()> {
    let [placed, earned] = changes else {
        anyhow::bail!("two questions, {} answers", changes.len());
    };
    if work != Work::Bet {
        ensure!(*placed == 0, "a reader placed {placed} bets");
        return Ok(());
    }
    ensure!(
        *placed == -earned,
        "{placed} bets were placed and {} paid",
        -earned
    );
    done.are(*placed)
}

/// What the parts share.
struct Bench<'a> {
    contest: Contest<'a>,
    plan: Plan,
}

/// Measures all parts, or the one that was asked for.
///
/// # Errors
/// If the bench itself cannot go on; a contender that fails is said and left out.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let only: Option<Part> = part(args)?;
    let scratch = paths.scratch()?;
    let mut bench = Bench {
        contest: Contest::new(
            paths,
            args,
            &[Program::Blocking, Program::Sqlx],
            scratch.path(),
        )?,
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
    };
    let wanted = |part| only.is_none_or(|only| only == part);
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
    let outcome = bench.contest.outcome()?;
    Ok(outcome.of_part(only, Part::measures))
}

impl Bench<'_> {
    /// Fills a SQLite file; see [`Database::sqlite`].
    fn file(&self, name: &str, rows: Rows, copied: bool) -> Result<Database> {
        self.contest.file(name, &SHAPE, rows, copied)
    }
}
