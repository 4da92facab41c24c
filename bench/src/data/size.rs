//! The same operations on small and on large tables: what an index's depth and a cache that is
//! too small cost.

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use super::case::Case;
use super::contender::{OURS, RUSQLITE};
use super::table::{Table, rate, rates_of};
use super::{Bench, on_sqlite};

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
                let results = &self.run(&[case], times)[0];
                let rows = rate(rows_shown(*size));
                table.add(
                    &format!("{operation}, {rows} rows, {clients}"),
                    results,
                    rates_of(results, RUSQLITE.key),
                );
            }
            std::fs::remove_dir_all(self.scratch.join(format!("size-{size}")))?;
        }
        self.sections.extend(table.done());
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rows_shown(size: u64) -> f64 {
    size as f64
}
