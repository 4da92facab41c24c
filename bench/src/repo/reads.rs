//! Reads among a million players.

use anyhow::Result;
use bench_load::{Rows, repo};

use super::{Bench, SHAPE, of};
use crate::contest::case::Case;
use crate::contest::contender::{Contender, OURS, RUSQLITE};
use crate::contest::database::Database;
use crate::contest::table::{Table, rates_of};
use crate::contest::{on_postgres, on_sqlite};

const BOTH: [Contender; 2] = [OURS, RUSQLITE];
const ALONE: [Contender; 1] = [OURS];

/// Answers of which half have to come within a millisecond.
const QUICK: [(&str, repo::Work); 3] = [
    ("leaderboard.10", repo::Work::Leaderboard { rows: 10 }),
    ("leaderboard.100", repo::Work::Leaderboard { rows: 100 }),
    ("balance", repo::Work::Balance),
];

impl Bench<'_> {
    /// All of it, on both engines.
    pub(super) fn reads(&mut self) -> Result<()> {
        let players = self.plan.players;
        let rows = Rows {
            users: players,
            bets: 0,
            players,
        };
        let database = self.contest.file("players", &SHAPE, rows, false)?;
        self.against_rusqlite(&database);
        let mut table = Table::new(
            "Leaderboard and balance",
            format!(
                "The first page of those who won most, and what one player has, through \
                 `Database::read`, among {players} players. {} rounds.",
                self.plan.reads.rounds
            ),
        );
        self.answers(&database, "sqlite", on_sqlite, &mut table);
        database.remove()?;
        if let Some(database) = self
            .contest
            .on_server("bench_players", &SHAPE, rows, false)?
        {
            self.answers(&database, "postgres", on_postgres, &mut table);
            database.remove()?;
        }
        self.contest.sections.extend(table.done());
        Ok(())
    }

    fn against_rusqlite(&mut self, database: &Database) {
        let times = self.plan.reads;
        let cases = [("find", repo::Work::Find), ("list", repo::Work::List)]
            .map(|(name, work)| on_sqlite(format!("sqlite.{name}"), of(work), 1, database, &BOTH));
        let results = self.contest.run(&cases, times);
        for (results, (title, text)) in results.iter().zip([
            ("Find by key, SQLite", "`UserRepository::find`"),
            (
                "Page of 100, SQLite",
                "`UserRepository::list` after a user anywhere",
            ),
        ]) {
            let mut table = Table::new(
                title,
                format!(
                    "{text}, through `Database::read`, among {} users. The limit is the same SQL \
                     by rusqlite. {} rounds.",
                    database.rows.users, times.rounds
                ),
            );
            table.add("1", results, rates_of(results, RUSQLITE.key));
            self.contest.sections.extend(table.done());
        }
    }

    fn answers<'d>(
        &mut self,
        database: &'d Database,
        engine: &str,
        on: fn(String, bench_load::Work, usize, &'d Database, &'d [Contender]) -> Case<'d>,
        table: &mut Table,
    ) {
        let cases =
            QUICK.map(|(name, work)| on(format!("{engine}.{name}"), of(work), 1, database, &ALONE));
        let results = self.contest.run(&cases, self.plan.reads);
        for ((name, _), results) in QUICK.iter().zip(&results) {
            table.add(&format!("1, {name}, {engine}"), results, None);
        }
    }
}
