//! Reads on SQLite.

use anyhow::Result;
use bench_load::{Rows, Work};

use super::Bench;
use crate::contest::contender::{Contender, DIESEL, OURS, RUSQLITE, SQLX};
use crate::contest::on_sqlite;
use crate::contest::table::{Table, rates_of};

/// 20 MB: it fits every cache, so that the library is measured and not the disk.
const ROWS: Rows = Rows {
    users: 100_000,
    bets: 100_000,
    players: 1_000,
};

const READERS: [Contender; 4] = [OURS, RUSQLITE, DIESEL, SQLX];

/// Commits per second of the writer beside the readers.
const COMMITS: u64 = 1_000;

impl Bench<'_> {
    /// Point reads, lists, and reads beside a writer.
    pub(super) fn reads(&mut self) -> Result<()> {
        let database = self.file("reads", ROWS, false)?;
        let times = self.plan.reads;

        let mut table = Table::new(
            "Point read, SQLite",
            format!(
                "One of {} users by primary key, all columns into a row of owned values; \
                 {} rounds. The limit is one thread of rusqlite with a held connection and a \
                 cached statement; ours goes through `read` and sees a snapshot.",
                ROWS.users, times.rounds
            ),
        );
        let cases = [1, 2].map(|clients| {
            let metric = format!("sqlite.point.{clients}");
            on_sqlite(metric, Work::Point, clients, &database, &READERS)
        });
        let results = self.contest.run(&cases, times);
        let limit = rates_of(&results[0], RUSQLITE.key);
        for (case, results) in cases.iter().zip(&results) {
            table.add(&case.clients.to_string(), results, limit);
        }
        self.contest.sections.extend(table.done());

        let mut table = Table::new(
            "List of 100 rows, SQLite",
            format!(
                "The newest 100 bets of a player by an index; {} rounds.",
                times.rounds
            ),
        );
        let case = on_sqlite(
            "sqlite.list.1".to_owned(),
            Work::List,
            1,
            &database,
            &READERS,
        );
        let results = &self.contest.run(&[case], times)[0];
        table.add("1", results, rates_of(results, RUSQLITE.key));
        self.contest.sections.extend(table.done());

        let mut table = Table::new(
            "Reads beside a writer, SQLite",
            format!(
                "Two readers of one row that a third thread changes {COMMITS} times a second; \
                 each read is held against what the writer had been told before it began; \
                 {} rounds.",
                times.rounds
            ),
        );
        let database = self.file("fresh", ROWS, true)?;
        let work = Work::Fresh {
            commits_per_s: COMMITS,
        };
        let both = [OURS, RUSQLITE];
        let case = on_sqlite("sqlite.fresh.2".to_owned(), work, 2, &database, &both);
        let results = &self.contest.run(&[case], times)[0];
        table.add("2", results, rates_of(results, RUSQLITE.key));
        for (contender, measured) in results {
            let stale = measured.stale;
            table.say(&format!("{}: {stale} stale reads.", contender.label));
        }
        self.contest.sections.extend(table.done());
        Ok(())
    }
}
