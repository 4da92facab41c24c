//! A database that is up to date: what every start of an application costs.

use anyhow::{Context as _, Result};
use db_core::Engine;

use super::apply::done;
use super::{Bench, Measured, TIME_HEAD, keep, time_row};
use crate::metrics::Metrics;
use crate::report::Section;
use crate::tools::{Tool, ours};

impl Bench<'_> {
    /// Times `migrate` of every tool, and our `status`, with nothing to do.
    pub(super) fn idle(&self, engine: Engine, metrics: &mut Metrics) -> Result<Section> {
        let case = format!("nothing to do, {engine}");
        eprintln!("{case}");
        let mut all = self.each_tool(&case, |tool| {
            let place = self.fresh(engine, tool, "idle")?;
            let migrate = self.migrate(engine, tool, &place)?;
            migrate.measure()?;
            done(&place)?;
            migrate.measure()?;
            Ok((migrate, place, Measured::default()))
        });
        let status = match all.get(&Tool::Ours) {
            Some((_, place, _)) => {
                let program = self.programs.get(&Tool::Ours).context("not installed")?;
                let folder = self.folder(engine, Tool::Ours).into_os_string();
                Some(ours(
                    program,
                    place,
                    Some(&folder),
                    &["status"],
                    &self.empty(),
                ))
            }
            None => None,
        };

        let mut status_measured = Measured::default();
        for _ in 0..self.plan.idle {
            for (migrate, _, measured) in all.values_mut() {
                measured.push(&migrate.measure()?);
            }
            if let Some(status) = &status {
                status_measured.push(&status.measure()?);
            }
        }

        let diesel = all
            .get(&Tool::Diesel)
            .and_then(|(_, _, measured)| measured.wall.median());
        let mut rows = Vec::new();
        for (tool, (_, _, measured)) in &all {
            keep(metrics, engine, "idle_migrate", *tool, measured);
            rows.push(time_row(
                &format!("{}, migrate", tool.label()),
                measured,
                diesel,
            ));
        }
        if status.is_some() {
            keep(metrics, engine, "idle_status", Tool::Ours, &status_measured);
            let name = format!("{}, status", Tool::Ours.label());
            rows.insert(1.min(rows.len()), time_row(&name, &status_measured, diesel));
        }
        if let (Engine::Postgres, Some(server)) = (engine, &self.server) {
            for tool in Tool::ALL {
                server.drop(&format!("bench_idle_{}", tool.key()))?;
            }
        }
        Ok(Section {
            title: format!("Nothing to do, {engine}"),
            text: format!(
                "The same database again, everything applied already; {} runs each.",
                self.plan.idle
            ),
            head: TIME_HEAD.to_vec(),
            rows,
        })
    }
}
