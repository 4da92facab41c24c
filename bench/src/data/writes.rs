//! Writes on SQLite: from one thread, from many, from ten thousand tasks, from four processes.

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use super::case::Case;
use super::contender::{Contender, DIESEL, DIESEL_ONE, OURS, OURS_ASYNC, RUSQLITE, SQLX, SQLX_ONE};
use super::database::Database;
use super::table::{Table, rate_of};
use super::{Bench, on_sqlite};

/// The tables begin all but empty, as those of the figures in the design do.
const ROWS: Rows = Rows {
    users: 1_000,
    bets: 1_000,
    players: 1_000,
};

const WRITERS: [Contender; 6] = [OURS, RUSQLITE, DIESEL, DIESEL_ONE, SQLX, SQLX_ONE];

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
        self.several(&database);
        Ok(())
    }

    fn writers(&mut self, database: &Database, durability: Durability, name: &str) {
        let times = self.plan.writes;
        let mut table = Table::new(
            format!("Writers, SQLite, synchronous = {}", name.to_uppercase()),
            format!(
                "{BET} {} rounds, each on a fresh file. The limit is one thread of rusqlite on \
                 its own connection; 16 and 64 threads of it share that connection behind a \
                 mutex. Transactions are immediate, `busy_timeout` is 30 s.",
                times.rounds
            ),
        );
        let mut limit = None;
        for clients in [1, 16, 64] {
            let metric = format!("sqlite.{name}.{clients}");
            let case = Case {
                durability,
                ..on_sqlite(metric, Work::Bet, clients, database, &WRITERS)
            };
            let results = self.run(&case, times);
            limit = limit.or_else(|| rate_of(&results, RUSQLITE.key));
            table.add(&clients.to_string(), &results, limit);
        }
        self.sections.extend(table.done());
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
        let results = self.run(&case, times);
        table.add(
            &PENDING.to_string(),
            &results,
            rate_of(&results, SQLX_ONE.key),
        );
        table.say("Divided by sqlx with one connection.");
        self.sections.extend(table.done());
    }

    fn several(&mut self, database: &Database) {
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
        let contenders = [OURS, RUSQLITE, DIESEL, SQLX];
        let case = Case {
            durability: Durability::Full,
            processes: PROCESSES,
            ..on_sqlite(
                "sqlite.processes".to_owned(),
                Work::Bet,
                THREADS,
                database,
                &contenders,
            )
        };
        let results = self.run(&case, times);
        let limit = self
            .metrics
            .get(&format!("sqlite.full.{THREADS}.per_s"), RUSQLITE.key);
        table.add(&format!("{PROCESSES} × {THREADS}"), &results, limit);
        for (contender, measured) in &results {
            if let (Some(median), Some(worst)) = (measured.unfair.median(), measured.unfair.max()) {
                table.say(&format!(
                    "{}: the process farthest from its fair share was {median:.1} % off \
                     (worst round {worst:.1} %).",
                    contender.label
                ));
            }
        }
        self.sections.extend(table.done());
    }
}
