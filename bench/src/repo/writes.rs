//! Bets one by one: from one thread and from many, on SQLite and on PostgreSQL.

use bench_load::{Durability, repo};

use super::{Bench, of};
use crate::contest::case::Case;
use crate::contest::contender::{Contender, OURS, POSTGRES, RUSQLITE};
use crate::contest::database::Database;
use crate::contest::table::{Table, rates_of};
use crate::contest::{on_postgres, on_sqlite};

const ALONE: [Contender; 2] = [OURS, RUSQLITE];
const TOGETHER: [Contender; 1] = [OURS];
const SERVED: [Contender; 2] = [OURS, POSTGRES];

/// What all of these do.
const BET: &str = "`money::place_bet` complete, by an `Actor`: operation, game, balance, line, \
                   bet, player of the game, two totals, event, outbox, answer; three lines of \
                   the audit trail. 10,000 players, 1,000 games.";

impl Bench<'_> {
    /// One, 16 and 64 threads on SQLite.
    pub(super) fn writes(&mut self, bettors: &Database) {
        for (durability, name) in [(Durability::Full, "full"), (Durability::Normal, "normal")] {
            let times = self.plan.writes;
            let cases = [1, 16, 64].map(|clients| Case {
                durability,
                ..on_sqlite(
                    format!("sqlite.{name}.{clients}"),
                    of(repo::Work::PlaceBet),
                    clients,
                    bettors,
                    if clients == 1 { &ALONE } else { &TOGETHER },
                )
            });
            let results = self.contest.run(&cases, times);
            let mut table = Table::new(
                format!("Bets, SQLite, synchronous = {}", name.to_uppercase()),
                format!(
                    "{BET} The limit is the same SQL by one thread of rusqlite, a transaction \
                     for each bet. {} rounds, each on a fresh file.",
                    times.rounds
                ),
            );
            let limit = rates_of(&results[0], RUSQLITE.key);
            for (case, results) in cases.iter().zip(&results) {
                table.add(&case.clients.to_string(), results, limit);
            }
            self.contest.sections.extend(table.done());
        }
    }

    /// One, 8 and 32 clients on PostgreSQL.
    pub(super) fn clients(&mut self, bettors: &Database) {
        let times = self.plan.writes;
        let cases = [1, 8, 32].map(|clients| {
            let metric = format!("postgres.bet.{clients}");
            on_postgres(metric, of(repo::Work::PlaceBet), clients, bettors, &SERVED)
        });
        let results = self.contest.run(&cases, times);
        let mut table = Table::new(
            "Bets, PostgreSQL",
            format!(
                "{BET} The limit is the same SQL by the `postgres` crate, prepared once on a \
                 connection per client. {} rounds, each on a fresh copy of the database.",
                times.rounds
            ),
        );
        for (case, results) in cases.iter().zip(&results) {
            let limit = rates_of(results, POSTGRES.key);
            table.add(&case.clients.to_string(), results, limit);
        }
        self.contest.sections.extend(table.done());
    }
}
