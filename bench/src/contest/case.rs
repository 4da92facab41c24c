//! Runs one case: every contender in turn, round by round.

use std::path::Path;

use anyhow::Result;
use bench_load::{Durability, Figures, Job, Work};

use super::contender::{Contender, Programs};
use super::database::Database;
use crate::metrics::{Metrics, Samples};

/// One measurement that all contenders do.
pub(crate) struct Case<'a> {
    /// The first part of its metrics' names, `sqlite.full.16`.
    pub(crate) metric: String,
    /// What is done.
    pub(crate) work: Work,
    /// Clients of each process.
    pub(crate) clients: usize,
    /// Processes that begin together on one database.
    pub(crate) processes: usize,
    /// Connections of pools that have no number of their own.
    pub(crate) connections: u32,
    /// What a commit on SQLite waits for.
    pub(crate) durability: Durability,
    /// Where.
    pub(crate) database: &'a Database,
    /// Who.
    pub(crate) contenders: &'a [Contender],
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Rounds in which every contender has one turn.
    pub(crate) rounds: usize,
    /// Before anything counts, ms.
    pub(crate) warm_ms: u64,
    /// Measured, ms.
    pub(crate) run_ms: u64,
}

/// What one contender did in one case; one sample per round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Operations per second, of all processes together.
    pub(crate) per_s: Samples,
    /// Times of an operation, µs.
    pub(crate) p50_us: Samples,
    /// 99 of 100 took no longer.
    pub(crate) p99_us: Samples,
    /// The longest.
    pub(crate) max_us: Samples,
    /// Resident memory of the largest process.
    pub(crate) peak_mib: Samples,
    /// How far a process, or a client of a lone process, was from its fair share, %.
    pub(crate) unfair: Samples,
    /// Operations of the client with the most, divided by those of the one with the fewest.
    pub(crate) spread: Samples,
    /// Operations that failed, in all rounds.
    pub(crate) failed: u64,
    /// Reads that were too old, in all rounds.
    pub(crate) stale: u64,
    /// What it was built from.
    pub(crate) library: String,
}

/// Results in the order of the contenders; those that failed are not in it.
pub(crate) type Results = Vec<(Contender, Measured)>;

/// Measures all contenders of all cases and keeps their figures, one result for each case.
///
/// In each round everyone has a turn in every case, so that cases can be compared as well as
/// contenders. One that fails is said and left out, and the bars that need it are missed.
pub(crate) fn run(
    cases: &[Case<'_>],
    programs: &Programs,
    times: Times,
    scratch: &Path,
    metrics: &mut Metrics,
) -> Vec<Results> {
    let nothing = |case: &Case<'_>| -> Results {
        let there = case.contenders.iter().filter(|one| one.is_there(programs));
        there.map(|one| (*one, Measured::default())).collect()
    };
    let mut all: Vec<Results> = cases.iter().map(nothing).collect();
    for _ in 0..times.rounds {
        for (case, results) in cases.iter().zip(&mut all) {
            results.retain_mut(|(contender, measured)| {
                match case.turn(*contender, programs, times, scratch) {
                    Ok(figures) => {
                        measured.push(&figures);
                        true
                    }
                    Err(error) => {
                        eprintln!(
                            "{}: {} is left out: {error:#}",
                            case.metric, contender.label
                        );
                        false
                    }
                }
            });
        }
    }
    for (case, results) in cases.iter().zip(&all) {
        case.keep(results, metrics);
    }
    all
}

impl Case<'_> {
    fn keep(&self, results: &Results, metrics: &mut Metrics) {
        eprintln!("{}", self.metric);
        for (contender, measured) in results {
            measured.keep(&self.metric, contender.key, metrics);
            eprintln!(
                "  {:<34} {:>10.0}/s  p50 {:>9.1} p99 {:>9.1} max {:>10.1} µs  {:.1} MiB",
                contender.label,
                measured.per_s.median().unwrap_or_default(),
                measured.p50_us.median().unwrap_or_default(),
                measured.p99_us.median().unwrap_or_default(),
                measured.max_us.max().unwrap_or_default(),
                measured.peak_mib.median().unwrap_or_default(),
            );
        }
    }

    fn turn(
        &self,
        contender: Contender,
        programs: &Programs,
        times: Times,
        scratch: &Path,
    ) -> Result<Vec<Figures>> {
        let place = self.database.for_a_run(&scratch.join("run"))?;
        let before = self.database.books(&place)?;
        let job = Job {
            contender: String::new(),
            place: place.clone(),
            work: self.work,
            clients: self.clients,
            connections: self.connections,
            durability: self.durability,
            rows: self.database.rows.users,
            players: self.database.rows.players,
            first: 0,
            warm_ms: times.warm_ms,
            run_ms: times.run_ms,
            gated: self.processes > 1,
        };
        let all = self.processes(contender, programs, &job)?;
        before.agree(&place, self.work, &all)?;
        Ok(all)
    }

    fn processes(
        &self,
        contender: Contender,
        programs: &Programs,
        job: &Job,
    ) -> Result<Vec<Figures>> {
        let mut running = Vec::with_capacity(self.processes);
        for process in 0..u64::try_from(self.processes)? {
            let job = Job {
                first: process << 48,
                ..job.clone()
            };
            running.push(contender.start(programs, &job)?);
        }
        if job.gated {
            for process in &mut running {
                process.ready()?;
            }
            for process in &mut running {
                process.go()?;
            }
        }
        // All are waited for before an error is passed on, so that none is left running.
        let ended: Vec<Result<Figures>> = running
            .into_iter()
            .map(super::contender::Running::finish)
            .collect();
        ended.into_iter().collect()
    }
}

impl Measured {
    fn push(&mut self, all: &[Figures]) {
        let sum: f64 = all.iter().map(|one| one.ops_per_s).sum();
        self.per_s.push(sum);
        let worst = |figure: fn(&Figures) -> f64| all.iter().map(figure).fold(0.0, f64::max);
        self.p50_us.push(worst(|one| one.p50_us));
        self.p99_us.push(worst(|one| one.p99_us));
        self.max_us.push(worst(|one| one.max_us));
        self.peak_mib.push(worst(|one| one.peak_mib));
        let fair = sum / count(all.len() as u64);
        if fair > 0.0 {
            let far = |one: &Figures| (one.ops_per_s / fair - 1.0).abs() * 100.0;
            self.unfair.push(all.iter().map(far).fold(0.0, f64::max));
        }
        let fewest = all.iter().map(|one| one.shares.0).min().unwrap_or_default();
        let most = all.iter().map(|one| one.shares.1).max().unwrap_or_default();
        // A client that got nothing counts as one that got one: the ratio stays a number.
        self.spread.push(count(most) / count(fewest.max(1)));
        self.failed += all.iter().map(|one| one.failed).sum::<u64>();
        self.stale += all.iter().map(|one| one.stale).sum::<u64>();
        if let Some(one) = all.first() {
            self.library.clone_from(&one.library);
        }
    }

    /// Keeps medians, and of what must never happen the worst.
    fn keep(&self, case: &str, who: &str, metrics: &mut Metrics) {
        let mut median = |name: &str, samples: &Samples| {
            metrics.set_rounds(&format!("{case}.{name}"), who, samples);
        };
        median("per_s", &self.per_s);
        median("p50_us", &self.p50_us);
        median("p99_us", &self.p99_us);
        median("max_us", &self.max_us);
        median("peak_mib", &self.peak_mib);
        median("unfair", &self.unfair);
        median("spread", &self.spread);
        metrics.set(&format!("{case}.failed"), who, count(self.failed));
        metrics.set(&format!("{case}.stale"), who, count(self.stale));
        if let Some(worst) = self.max_us.max() {
            metrics.set(&format!("{case}.worst_ms"), who, worst / 1_000.0);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
