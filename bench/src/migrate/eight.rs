//! Several processes that start on one empty database at the same moment.

use std::process::Child;

use anyhow::{Result, ensure};
use db_core::Engine;

use super::Bench;
use crate::generate::COUNT;
use crate::metrics::{Metrics, Samples};
use crate::report::Section;
use crate::server::lines;
use crate::tools::{Place, Tool};

/// How many replicas start at once.
const PROCESSES: usize = 8;

impl Bench<'_> {
    /// Counts the processes that do not exit 0, for every tool.
    pub(super) fn eight(&self, engine: Engine, metrics: &mut Metrics) -> Section {
        let case = format!("{PROCESSES} at once, {engine}");
        eprintln!("{case}");
        let all = self.each_tool(&case, |tool| {
            let mut failed = Samples::default();
            for _ in 0..self.plan.eight {
                failed.push(self.start_at_once(engine, tool)?);
            }
            Ok(failed)
        });
        let mut rows = Vec::new();
        for (tool, failed) in &all {
            // The worst round counts: a replica that fails now and then still fails.
            let worst = failed.max().unwrap_or_default();
            metrics.set(
                &format!("{}.eight.failed", engine.name()),
                tool.key(),
                worst,
            );
            rows.push(vec![
                tool.label().to_owned(),
                format!("{:.0} of {PROCESSES}", failed.median().unwrap_or_default()),
                format!("{worst:.0} of {PROCESSES}"),
            ]);
        }
        Section {
            title: format!("{PROCESSES} processes at once on an empty database, {engine}"),
            text: format!(
                "All start `migrate` with the same {COUNT} migrations; {} rounds.",
                self.plan.eight
            ),
            head: vec!["program", "failed, median", "failed, worst round"],
            rows,
        }
    }

    fn start_at_once(&self, engine: Engine, tool: Tool) -> Result<f64> {
        let place = self.fresh(engine, tool, "eight")?;
        let migrate = self.migrate(engine, tool, &place)?;
        let started: Vec<Result<Child>> = (0..PROCESSES).map(|_| migrate.start()).collect();
        // All are waited for before an error is passed on, so that none is left running.
        let ended: Vec<Result<bool>> = started
            .into_iter()
            .map(|child| Ok(child?.wait()?.success()))
            .collect();
        let mut failed = 0.0;
        for success in ended {
            if !success? {
                failed += 1.0;
            }
        }
        if tool == Tool::Ours {
            let applied = applied(&place)?;
            ensure!(
                applied == COUNT.to_string(),
                "{applied} of {COUNT} are in the ledger"
            );
        }
        if let (Engine::Postgres, Some(server)) = (engine, &self.server) {
            server.drop(&format!("bench_eight_{}", tool.key()))?;
        }
        Ok(failed)
    }
}

/// How many migrations the ledger that we share with diesel_cli names.
pub(super) fn applied(place: &Place) -> Result<String> {
    let sql = "SELECT CAST(count(*) AS TEXT) AS line FROM __diesel_schema_migrations";
    Ok(lines(place, sql)?.concat())
}
