//! PostgreSQL: what a pool costs, and who waits how long for it.

use anyhow::Result;
use bench_load::{Rows, Work};

use super::{Bench, SHAPE};
use crate::contest::case::Case;
use crate::contest::contender::{
    Contender, DEADPOOL, DIESEL_POSTGRES, OURS, OURS_ONE, POSTGRES, POSTGRES_TRANSACTION,
    SQLX_POSTGRES,
};
use crate::contest::database::Database;
use crate::contest::on_postgres;
use crate::contest::table::{Table, rates_of};

/// Players enough that 32 clients seldom meet at one balance.
const ROWS: Rows = Rows {
    users: 100_000,
    bets: 100_000,
    players: 10_000,
};

const READERS: [Contender; 5] = [OURS_ONE, POSTGRES, DIESEL_POSTGRES, SQLX_POSTGRES, DEADPOOL];
const SNAPSHOTS: [Contender; 2] = [OURS, POSTGRES_TRANSACTION];
const WRITERS: [Contender; 5] = [OURS, POSTGRES, DIESEL_POSTGRES, SQLX_POSTGRES, DEADPOOL];
const POOLS: [Contender; 4] = [OURS_ONE, DIESEL_POSTGRES, SQLX_POSTGRES, DEADPOOL];

/// What is done at 1, 8 and 32 clients.
struct Operation {
    title: &'static str,
    text: &'static str,
    metric: &'static str,
    work: Work,
    contenders: &'static [Contender],
    /// Who is the limit.
    limit: Contender,
}

const POINT: Operation = Operation {
    title: "Point read, PostgreSQL",
    text: "One user by primary key. The limit is the `postgres` crate with a connection per client \
           and a prepared statement. Pools have ten connections.",
    metric: "postgres.point",
    work: Work::Point,
    contenders: &READERS,
    limit: POSTGRES,
};

const SNAPSHOT: Operation = Operation {
    title: "Point read in a snapshot, PostgreSQL",
    text: "The same read between BEGIN, with the isolation level that a snapshot needs, and \
           COMMIT: what several statements need that are to see one state.",
    metric: "postgres.snapshot",
    work: Work::Point,
    contenders: &SNAPSHOTS,
    limit: POSTGRES_TRANSACTION,
};

const BET: Operation = Operation {
    title: "Two statements in a transaction, PostgreSQL",
    text: "BEGIN, take 1 from a balance that suffices, insert a bet (two indexes), COMMIT; the \
           server waits for its disk.",
    metric: "postgres.bet",
    work: Work::Bet,
    contenders: &WRITERS,
    limit: POSTGRES,
};

/// Row 11 of the reliability table: many threads, few connections, each held for a while.
const WAITING: usize = 256;
const CONNECTIONS: u32 = 4;
const HOLD_MS: u64 = 20;
const PATIENCE_MS: u64 = 5_000;

impl Bench<'_> {
    /// All of it, if there is a server.
    pub(super) fn postgres(&mut self) -> Result<()> {
        let database = self.contest.on_server("bench_data", &SHAPE, ROWS, false)?;
        let Some(database) = database else {
            return Ok(());
        };
        self.clients(&database, &POINT);
        self.clients(&database, &SNAPSHOT);
        self.clients(&database, &BET);
        self.waiting(&database);
        database.remove()
    }

    fn clients(&mut self, database: &Database, operation: &Operation) {
        let Operation {
            title,
            text,
            metric,
            work,
            contenders,
            limit,
        } = *operation;
        let times = self.plan.postgres;
        let mut table = Table::new(title, format!("{text} {} rounds.", times.rounds));
        let cases = [1, 8, 32].map(|clients| {
            let metric = format!("{metric}.{clients}");
            on_postgres(metric, work, clients, database, contenders)
        });
        let results = self.contest.run(&cases, times);
        for (case, results) in cases.iter().zip(&results) {
            let limit = rates_of(results, limit.key);
            table.add(&case.clients.to_string(), results, limit);
        }
        self.contest.sections.extend(table.done());
    }

    fn waiting(&mut self, database: &Database) {
        let times = self.plan.hold;
        let mut table = Table::new(
            "Waiting for a connection, PostgreSQL",
            format!(
                "{WAITING} clients share {CONNECTIONS} connections, hold one for {HOLD_MS} ms, \
                 and give up after {PATIENCE_MS} ms; {} rounds. In perfect order each waits \
                 {} ms.",
                times.rounds,
                WAITING as u64 * HOLD_MS / u64::from(CONNECTIONS)
            ),
        );
        let work = Work::Hold {
            hold_ms: HOLD_MS,
            patience_ms: PATIENCE_MS,
        };
        let metric = format!("postgres.hold.{WAITING}");
        let case = Case {
            connections: CONNECTIONS,
            ..on_postgres(metric, work, WAITING, database, &POOLS)
        };
        let results = &self.contest.run(&[case], times)[0];
        table.add(&WAITING.to_string(), results, None);
        for (contender, measured) in results {
            if let Some(spread) = measured.spread.median() {
                table.say(&format!(
                    "{}: the client with the most turns had {spread:.2} times those of the \
                     client with the fewest.",
                    contender.label
                ));
            }
        }
        self.contest.sections.extend(table.done());
    }
}
