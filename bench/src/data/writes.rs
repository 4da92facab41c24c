//! Writes on SQLite: from one thread, from many, from ten thousand tasks, from four processes.

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use super::Bench;
use crate::contest::case::{Case, Results};
use crate::contest::contender::{
    Contender, DIESEL, DIESEL_ONE, OURS, OURS_ASYNC, RUSQLITE, SQLX, SQLX_ONE,
};
use crate::contest::database::Database;
use crate::contest::on_sqlite;
use crate::contest::table::{Table, rates_of};
use crate::metrics::Samples;

/// The tables begin all but empty, as those of the figures in the design do.
const ROWS: Rows = Rows {
    users: 1_000,
    bets: 1_000,
    players: 1_000,
};

const WRITERS: [Contender; 6] = [OURS, RUSQLITE, DIESEL, DIESEL_ONE, SQLX, SQLX_ONE];
/// Those who share a file with other processes.
const TOGETHER: [Contender; 4] = [OURS, RUSQLITE, DIESEL, SQLX];

/// Tasks with a write pending each.
const PENDING: usize = 10_000;

/// Processes on one file, and threads in each.
const PROCESSES: usize = 4;
const THREADS: usize = 16;

/// What all of these do.
const BET: &str = "One transaction takes 1 from a balance that suffices and inserts a bet \
                   (two indexes).";

impl Bench<'_> {
    /// All writes.
    pub(super) fn writes(&mut self) -> Result<()> {
        let database = self.file("writes", ROWS, true)?;
        self.writers(&database, Durability::Full, "full");
        self.writers(&database, Durability::Normal, "normal");
        self.pending(&database);
        Ok(())
    }

    /// One, 16 and 64 threads; where commits are durable, several processes in the same rounds.
    fn writers(&mut self, database: &Database, durability: Durability, name: &str) {
        let times = self.plan.writes;
        let alone = |clients| Case {
            durability,
            ..on_sqlite(
                format!("sqlite.{name}.{clients}"),
                Work::Bet,
                clients,
                database,
                &WRITERS,
            )
        };
        let mut cases: Vec<Case<'_>> = [1, THREADS, 64].map(alone).into();
        if durability == Durability::Full {
            cases.push(Case {
                metric: "sqlite.processes".to_owned(),
                processes: PROCESSES,
                contenders: &TOGETHER,
                ..alone(THREADS)
            });
        }
        let results = self.contest.run(&cases, times);
        let mut table = Table::new(
            format!("Writers, SQLite, synchronous = {}", name.to_uppercase()),
            format!(
                "{BET} {} rounds, each on a fresh file. The limit is one thread of rusqlite on \
                 its own connection; 16 and 64 threads of it share that connection behind a \
                 mutex. Transactions are immediate, `busy_timeout` is 30 s.",
                times.rounds
            ),
        );
        let limit = rates_of(&results[0], RUSQLITE.key);
        for (case, results) in cases.iter().zip(&results).take(3) {
            table.add(&case.clients.to_string(), results, limit);
        }
        self.contest.sections.extend(table.done());
        if let Some(together) = results.get(3) {
            let limit = rates_of(&results[1], RUSQLITE.key);
            self.several(together, limit);
        }
    }

    fn pending(&mut self, database: &Database) {
        let times = self.plan.writes;
        let mut table = Table::new(
            "Ten thousand pending writes, SQLite, synchronous = FULL",
            format!(
                "{BET} {PENDING} tasks of a tokio runtime, each waiting for its own; {} rounds. \
                 A task's time is the length of the queue before it.",
                times.rounds
            ),
        );
        let contenders = [OURS_ASYNC, SQLX, SQLX_ONE];
        let metric = format!("sqlite.pending.{PENDING}");
        let case = Case {
            durability: Durability::Full,
            ..on_sqlite(metric, Work::Bet, PENDING, database, &contenders)
        };
        let results = &self.contest.run(&[case], times)[0];
        table.add(
            &PENDING.to_string(),
            results,
            rates_of(results, SQLX_ONE.key),
        );
        table.say("Divided by sqlx with one connection.");
        self.contest.sections.extend(table.done());
    }

    fn several(&mut self, results: &Results, limit: Option<&Samples>) {
        let times = self.plan.writes;
        let mut table = Table::new(
            "Four processes on one file, SQLite, synchronous = FULL",
            format!(
                "{BET} {PROCESSES} processes of {THREADS} threads each, begun together; \
                 {} rounds. The rate is that of all, the times are those of the worst process. \
                 Divided by one process of rusqlite with as many threads.",
                times.rounds
            ),
        );
        table.add(&format!("{PROCESSES} × {THREADS}"), results, limit);
        for (contender, measured) in results {
            if let (Some(median), Some(worst)) = (measured.unfair.median(), measured.unfair.max()) {
                table.say(&format!(
                    "{}: the process farthest from its fair share was {median:.1} % off \
                     (worst round {worst:.1} %).",
                    contender.label
                ));
            }
        }
        self.contest.sections.extend(table.done());
    }
}
