//! What is done in bulk or all the time: large settlements, reconciliation, the audit trail's seals
//! and the outbox. There are no peers; the figures are held against what was promised.
//!
//! Measured in this program itself, so that memory is that of one job.

mod audit;
mod ledger;
mod outbox;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bench_load::{Place, Rows};
use db_core::{Database, DatabaseConfig, Synchronous};
use db_schema::types::UtcTime;

use super::{Bench, SHAPE, fill, ledger as books};
use crate::contest::database::Shape;
use crate::metrics::Metrics;
use crate::report::Section;

/// Players of the settlements, the trail and the outbox.
const PLAYERS: u64 = 10_000;

/// How long a database may take to close.
const PATIENCE: Duration = Duration::from_secs(10);

/// The schema with a line for each balance, so that it adds up.
const SHAPE_WITH_LINES: Shape = Shape {
    fill: fill::fill_with_lines,
    questions: books::QUESTIONS,
    agree: books::agree,
};

/// One engine's database, and where its figures go.
struct Rates<'a> {
    engine: &'static str,
    database: Database,
    metrics: &'a mut Metrics,
    rows: Vec<Vec<String>>,
}

impl Rates<'_> {
    /// Keeps a figure, and shows it.
    fn set(&mut self, metric: &str, what: &str, value: f64, unit: &str) {
        eprintln!("{} {what}: {value:.1} {unit}", self.engine);
        let metric = format!("{}.{metric}", self.engine);
        self.metrics.set(&metric, "ours", value);
        self.rows.push(vec![
            what.to_owned(),
            self.engine.to_owned(),
            format!("{value:.1} {unit}"),
        ]);
    }
}

impl Bench<'_> {
    /// All of it, on both engines.
    ///
    /// # Errors
    /// If a database refuses, or does not add up.
    pub(super) fn rates(&mut self) -> Result<()> {
        let some = Rows {
            users: PLAYERS,
            bets: 0,
            players: PLAYERS,
        };
        let mut rows = Vec::new();
        let databases = [
            Some(self.contest.file("rates", &SHAPE, some, false)?),
            self.contest.on_server("bench_rates", &SHAPE, some, false)?,
        ];
        for database in databases.into_iter().flatten() {
            let mut rates = Rates {
                engine: engine(&database.place),
                database: open(&database.place)?,
                metrics: self.contest.metrics(),
                rows: Vec::new(),
            };
            rates.outbox()?;
            rates.audit(self.plan.lines)?;
            rates.settle(self.plan.settled)?;
            rows.append(&mut rates.rows);
            rates.database.close(PATIENCE)?;
            drop(rates);
            database.remove()?;
        }
        // The large one last: a size below it says whether memory grows.
        for users in [self.plan.reconciled / 10, self.plan.reconciled] {
            let many = Rows {
                users,
                bets: 0,
                players: users,
            };
            let databases = [
                Some(
                    self.contest
                        .file("reconcile", &SHAPE_WITH_LINES, many, false)?,
                ),
                self.contest
                    .on_server("bench_reconcile", &SHAPE_WITH_LINES, many, false)?,
            ];
            for database in databases.into_iter().flatten() {
                let mut rates = Rates {
                    engine: engine(&database.place),
                    database: open(&database.place)?,
                    metrics: self.contest.metrics(),
                    rows: Vec::new(),
                };
                rates.reconcile(users)?;
                rows.append(&mut rates.rows);
                rates.database.close(PATIENCE)?;
                drop(rates);
                database.remove()?;
            }
        }
        self.contest.sections.push(Section {
            title: "Rates".to_owned(),
            text:
                "Commits wait for the disk. Sealing and verifying include reading the trail; the \
                   outbox is drained by one relay whose handler does nothing, beside nobody and \
                   beside a producer of 1,000 entries a second. Memory is what the program's peak \
                   grows by."
                    .to_owned(),
            head: vec!["what", "engine", "measured"],
            rows,
        });
        Ok(())
    }
}

const fn engine(place: &Place) -> &'static str {
    match place {
        Place::Sqlite(_) => "sqlite",
        Place::Postgres(_) => "postgres",
    }
}

fn open(place: &Place) -> Result<Database> {
    let url = match place {
        Place::Sqlite(file) => format!(
            "sqlite://{}",
            file.to_str().context("the path is no UTF-8")?
        ),
        Place::Postgres(url) => url.clone(),
    };
    let config = DatabaseConfig::new(url)
        .max_connections(16)
        .synchronous(Synchronous::Full);
    Ok(Database::open(&config)?)
}

/// What it gives, and how long that takes.
fn timed<T>(f: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    let done = f()?;
    Ok((done, begun.elapsed()))
}

/// So many in this time, a second.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn now() -> UtcTime {
    chrono::DateTime::from_timestamp_micros(bench_load::repo::now_micros())
        .unwrap_or_default()
        .into()
}
