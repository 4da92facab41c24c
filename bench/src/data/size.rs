//! The same operations on small and on large tables: what an index's depth and a cache that is
//! too small cost.

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use super::Bench;
use crate::contest::case::Case;
use crate::contest::contender::{OURS, RUSQLITE};
use crate::contest::on_sqlite;
use crate::contest::table::{Table, rate, rates_of};

/// Bets of each player, so that a list of 100 has its rows at every size.
const BETS_PER_PLAYER: u64 = 100;

impl Bench<'_> {
    /// Point read, list and durable writes at every size.
    pub(super) fn size(&mut self) -> Result<()> {
        let times = self.plan.size;
        let cases = [
            ("point", "point read", Work::Point, 1),
            ("list", "list of 100", Work::List, 1),
            ("bet", "durable write", Work::Bet, 1),
            ("bet16", "durable write", Work::Bet, 16),
        ];
        let mut table = Table::new(
            "Cost against size, SQLite",
            format!(
                "As many users and as many bets as named; every operation asks for another key \
                 anywhere in the table. 64 MB of page cache and 256 MB of mapped file for each \
                 connection; the system's cache holds it all. Writes are FULL, on one file that \
                 all share. {} rounds, divided by rusqlite.",
                times.rounds
            ),
        );
        let both = [OURS, RUSQLITE];
        for size in self.plan.sizes {
            let rows = Rows {
                users: *size,
                bets: *size,
                players: *size / BETS_PER_PLAYER,
            };
            let database = self.file(&format!("size-{size}"), rows, false)?;
            for (name, operation, work, clients) in cases {
                let case = Case {
                    durability: Durability::Full,
                    ..on_sqlite(
                        format!("sqlite.size.{size}.{name}"),
                        work,
                        clients,
                        &database,
                        &both,
                    )
                };
                let results = &self.contest.run(&[case], times)[0];
                let rows = rate(rows_shown(*size));
                table.add(
                    &format!("{operation}, {rows} rows, {clients}"),
                    results,
                    rates_of(results, RUSQLITE.key),
                );
            }
            database.remove()?;
        }
        self.contest.sections.extend(table.done());
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rows_shown(size: u64) -> f64 {
    size as f64
}
