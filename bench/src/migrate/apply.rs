//! All migrations on a fresh database.

use anyhow::{Result, ensure};
use db_core::Engine;

use super::{Bench, Measured, keep, time_section};
use crate::generate::{COUNT, tables};
use crate::metrics::Metrics;
use crate::report::Section;
use crate::server::lines;
use crate::tools::{Place, Tool};

impl Bench<'_> {
    /// Times every tool, one after the other, round by round.
    pub(super) fn apply(&self, engine: Engine, metrics: &mut Metrics) -> Result<Section> {
        let case = format!("{COUNT} migrations, {engine}");
        eprintln!("{case}");
        // The first round warms the caches and proves that each tool does the work.
        let mut all = self.each_tool(&case, |tool| {
            let place = self.fresh(engine, tool, "apply")?;
            self.migrate(engine, tool, &place)?.measure()?;
            done(&place)?;
            Ok(Measured::default())
        });
        for _ in 0..self.plan.apply {
            for (tool, measured) in &mut all {
                let place = self.fresh(engine, *tool, "apply")?;
                measured.push(&self.migrate(engine, *tool, &place)?.measure()?);
            }
        }
        for (tool, measured) in &all {
            keep(metrics, engine, "apply", *tool, measured);
        }
        if let (Engine::Postgres, Some(server)) = (engine, &self.server) {
            for tool in Tool::ALL {
                server.drop(&format!("bench_apply_{}", tool.key()))?;
            }
        }
        Ok(time_section(
            format!("{COUNT} small migrations on a fresh {engine} database"),
            format!(
                "Tables, columns, indexes, rows and triggers in turn, the same statements for \
                 every tool; {} runs each.",
                self.plan.apply
            ),
            &all,
        ))
    }
}

/// Makes sure that a tool which ended well has done the work.
pub(super) fn done(place: &Place) -> Result<()> {
    let built = lines(
        place,
        match place {
            Place::Sqlite(_) => {
                "SELECT CAST(count(*) AS TEXT) AS line FROM sqlite_master \
             WHERE type = 'table' AND name LIKE 'gadgets%'"
            }
            Place::Postgres(_) => {
                "SELECT CAST(count(*) AS TEXT) AS line FROM pg_tables WHERE tablename LIKE 'gadgets%'"
            }
        },
    )?;
    let expected = tables(COUNT).to_string();
    ensure!(
        built.concat() == expected,
        "it ended well, but the {expected} tables are not there"
    );
    Ok(())
}
