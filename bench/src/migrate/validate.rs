//! `validate` of the migrations compiled in: checksums, live catalog, and on SQLite a rebuild.

use std::path::Path;

use anyhow::{Result, ensure};
use db_core::Engine;

use super::eight::applied;
use super::{Bench, Measured, keep};
use crate::metrics::Metrics;
use crate::report::{Section, ranged};
use crate::tools::{Tool, ours};

impl Bench<'_> {
    /// Times our `validate`; there is no peer that has one.
    pub(super) fn validate(&self, engine: Engine, metrics: &mut Metrics) -> Option<Section> {
        let case = format!("validate, {engine}");
        eprintln!("{case}");
        let program = self.programs.get(&Tool::Ours)?;
        let measured = match self.time_validate(engine, program) {
            Ok(measured) => measured,
            Err(error) => {
                eprintln!("{case}: left out: {error:#}");
                return None;
            }
        };
        keep(metrics, engine, "validate", Tool::Ours, &measured);
        let how = match engine {
            Engine::Sqlite => "compares with a rebuild in memory as well",
            Engine::Postgres => "without the rebuild, which `--rebuild` asks for",
        };
        Some(Section {
            title: format!("`validate` of the built-in migrations, {engine}"),
            text: format!(
                "Checksums, order and the live catalog; {how}; {} runs.",
                self.plan.validate
            ),
            head: vec!["program", "time, ms", "peak memory, MiB"],
            rows: vec![vec![
                Tool::Ours.label().to_owned(),
                ranged(&measured.wall),
                ranged(&measured.peak),
            ]],
        })
    }

    fn time_validate(&self, engine: Engine, program: &Path) -> Result<Measured> {
        let place = self.fresh(engine, Tool::Ours, "validate")?;
        let empty = self.empty();
        ours(program, &place, None, &["migrate"], &empty).measure()?;
        ensure!(applied(&place)? != "0", "there are no built-in migrations");
        let validate = ours(program, &place, None, &["validate"], &empty);
        validate.measure()?;
        let mut measured = Measured::default();
        for _ in 0..self.plan.validate {
            measured.push(&validate.measure()?);
        }
        if let (Engine::Postgres, Some(server)) = (engine, &self.server) {
            server.drop("bench_validate_ours")?;
        }
        Ok(measured)
    }
}
