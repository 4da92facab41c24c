//! Bets by the million, in one transaction.

use bench_load::repo;

use super::{Bench, of};
use crate::contest::case::Case;
use crate::contest::contender::{Contender, OURS, POSTGRES, POSTGRES_COPY_TEXT, RUSQLITE};
use crate::contest::database::Database;
use crate::contest::table::{Table, rates_of};
use crate::contest::{on_postgres, on_sqlite, times};

const LOOPS: [Contender; 2] = [OURS, RUSQLITE];
const COPIES: [Contender; 3] = [OURS, POSTGRES, POSTGRES_COPY_TEXT];

impl Bench<'_> {
    /// Against a prepared loop.
    pub(super) fn bulk_sqlite(&mut self, bettors: &Database) {
        let work = of(repo::Work::Bulk {
            bets: self.plan.bets,
        });
        let case = on_sqlite("sqlite.bulk".to_owned(), work, 1, bettors, &LOOPS);
        self.bulk(
            &case,
            "SQLite",
            "a prepared INSERT in a loop of rusqlite",
            RUSQLITE,
        );
    }

    /// Against COPY.
    pub(super) fn bulk_postgres(&mut self, bettors: &Database) {
        let work = of(repo::Work::Bulk {
            bets: self.plan.bets,
        });
        let case = on_postgres("postgres.bulk".to_owned(), work, 1, bettors, &COPIES);
        self.bulk(
            &case,
            "PostgreSQL",
            "COPY by the `postgres` crate, binary and as text",
            POSTGRES,
        );
    }

    fn bulk(&mut self, case: &Case<'_>, engine: &str, limit: &str, by: Contender) {
        let rounds = self.plan.bulk;
        let results = self
            .contest
            .run(std::slice::from_ref(case), times(rounds, 0, 0));
        let mut table = Table::new(
            format!("Bets in bulk, {engine}"),
            format!(
                "{} settled bets by `BetRepository::create_many` in one transaction, each with \
                 a line of the audit trail. The limit is {limit}. The time is that of all. \
                 {rounds} rounds.",
                self.plan.bets
            ),
        );
        table.add("1", &results[0], rates_of(&results[0], by.key));
        self.contest.sections.extend(table.done());
    }
}
