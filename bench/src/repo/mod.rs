//! The `repo` area: what the repositories cost above their SQL, on the real schema.
//!
//! The peers run the very statements that the repositories run (`bench_load::repo`), by rusqlite
//! and by the `postgres` crate; `texts` makes sure of it before anything is measured. Audit
//! triggers are on, and after each run the books have to agree.

mod bulk;
mod fill;
mod ledger;
mod rates;
mod reads;
mod texts;
mod work;
mod writes;

use anyhow::Result;
use bench_load::{Rows, Work, repo};

use super::contest::case::Times;
use super::contest::contender::Program;
use super::contest::database::Shape;
use super::contest::{Contest, times};
use super::paths::Paths;
use super::{Args, Outcome, part};

pub(crate) use self::work::run as work;

/// The parts of the area, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Users, pages, leaderboard and balances
    Reads,
    /// Bets on SQLite
    Writes,
    /// Bets on PostgreSQL
    Postgres,
    /// Bets by the million, on both
    Bulk,
    /// Large settlements, reconciliation, the trail and the outbox, on both
    Rates,
}

impl Part {
    /// Whether a metric is one of this part's.
    fn measures(self, metric: &str) -> bool {
        let mut words = metric.split('.');
        let (engine, case) = (words.next(), words.next().unwrap_or_default());
        match self {
            Self::Reads => ["find", "list", "leaderboard", "balance"].contains(&case),
            Self::Writes => ["full", "normal"].contains(&case),
            Self::Postgres => engine == Some("postgres") && case == "bet",
            Self::Bulk => case == "bulk",
            Self::Rates => [
                "settle",
                "reconcile",
                "seal",
                "verify",
                "sealed_bets",
                "outbox",
            ]
            .contains(&case),
        }
    }
}

/// How much is measured.
struct Plan {
    reads: Times,
    writes: Times,
    bulk: usize,
    /// Players whom reads are among.
    players: u64,
    /// Bets of [`Part::Bulk`].
    bets: u64,
    /// Bets of the largest game that is settled.
    settled: u64,
    /// Lines of the trail.
    lines: u64,
    /// Players who are reconciled.
    reconciled: u64,
}

impl Plan {
    const FULL: Self = Self {
        // The host changes its speed within seconds: many short turns, so that all have the same share of it.
        reads: times(15, 150, 500),
        writes: times(7, 500, 2_000),
        bulk: 3,
        players: 1_000_000,
        bets: 1_000_000,
        settled: 5_000,
        lines: 1_000_000,
        reconciled: 1_000_000,
    };
    const QUICK: Self = Self {
        reads: times(3, 200, 700),
        writes: times(3, 500, 1_500),
        bulk: 3,
        players: 1_000_000,
        bets: 100_000,
        settled: 5_000,
        lines: 200_000,
        reconciled: 100_000,
    };
}

/// The real schema with players, and games that they can bet in.
const SHAPE: Shape = Shape {
    fill: fill::fill,
    questions: ledger::QUESTIONS,
    agree: ledger::agree,
};

/// The players who bet: enough that 32 clients seldom meet at one balance.
const BETTORS: Rows = Rows {
    users: 10_000,
    bets: 0,
    players: 10_000,
};

/// What the parts share.
struct Bench<'a> {
    contest: Contest<'a>,
    plan: Plan,
}

/// Measures all parts, or the one that was asked for.
///
/// # Errors
/// If the repositories run other SQL than the peers, or the bench itself cannot go on; a
/// contender that fails is said and left out.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let only: Option<Part> = part(args)?;
    let scratch = paths.scratch()?;
    let mut bench = Bench {
        contest: Contest::new(paths, args, &[Program::Blocking], scratch.path())?,
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
    };
    let wanted = |parts: &[Part]| only.is_none_or(|only| parts.contains(&only));
    let bettors = bench.contest.file("bettors", &SHAPE, BETTORS, true)?;
    texts::are_those_of_the_peers(&bettors, scratch.path())?;
    if wanted(&[Part::Writes]) {
        bench.writes(&bettors);
    }
    if wanted(&[Part::Bulk]) {
        bench.bulk_sqlite(&bettors);
    }
    if wanted(&[Part::Postgres, Part::Bulk])
        && let Some(bettors) = bench
            .contest
            .on_server("bench_bettors", &SHAPE, BETTORS, true)?
    {
        texts::are_those_of_the_peers(&bettors, scratch.path())?;
        if wanted(&[Part::Postgres]) {
            bench.clients(&bettors);
        }
        if wanted(&[Part::Bulk]) {
            bench.bulk_postgres(&bettors);
        }
        bettors.remove()?;
    }
    if wanted(&[Part::Reads]) {
        bench.reads()?;
    }
    if wanted(&[Part::Rates]) {
        bench.rates()?;
    }
    let outcome = bench.contest.outcome()?;
    Ok(outcome.of_part(only, Part::measures))
}

/// One of the area's.
const fn of(work: repo::Work) -> Work {
    Work::Repo(work)
}
