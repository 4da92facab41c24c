//! A PostgreSQL database by `pg_dump`, and its cluster by `pg_basebackup`, alone and driven by ours.

use anyhow::Result;

use super::{Bench, Metrics, Place, Samples, Section, Server, fill, remove, row, section, text};

impl Bench<'_> {
    pub(super) fn postgres(&self, server: &Server, metrics: &mut Metrics) -> Result<Vec<Section>> {
        let place = server.create("bench_backup")?;
        fill::fill(&place, self.plan.mebibytes)?;
        let measured = self.both_ways(&place, metrics);
        server.drop("bench_backup")?;
        measured
    }

    fn both_ways(&self, place: &Place, metrics: &mut Metrics) -> Result<Vec<Section>> {
        let Place::Postgres(url) = place else {
            anyhow::bail!("not a server");
        };
        let mut sections = Vec::new();
        for (method, peer, command) in [
            ("dump", "pg_dump", format!("pg_dump -Fc -Z0 -d '{url}' -f ")),
            (
                "base",
                "pg_basebackup",
                format!("pg_basebackup -c fast -X stream -d '{url}' -D "),
            ),
        ] {
            let (mut ours, mut theirs) = (Samples::default(), Samples::default());
            for round in 1..=self.plan.rounds {
                eprintln!("PostgreSQL, {method}, round {round}");
                let dir = self.fresh("backups")?;
                let (took, manifest) =
                    self.create(place, &dir, &["--method", method, "--compress", "none"])?;
                ours.push(took - manifest.checked().0);
                remove(&dir)?;
                let out = self.fresh("peer")?.join("out");
                let synced = text(&out)?;
                theirs.push(self.shell(&format!("{command}{synced}; sync {synced}"))?);
                remove(&self.fresh("peer")?)?;
            }
            let metric = format!("postgres.{method}.ms");
            metrics.set_median(&metric, "ours", &ours);
            metrics.set_median(&metric, peer, &theirs);
            metrics.set_rounds(&metric, "ours", &ours);
            metrics.set_rounds(&metric, peer, &theirs);
            sections.push(section(
                &format!("A backup, PostgreSQL, {method}"),
                &format!(
                    "A database of {} MiB, not compressed, with SHA-256 and manifest; checks are \
                     taken off.",
                    self.plan.mebibytes
                ),
                &format!("`{peer}` alone"),
                vec![
                    row(
                        &format!("`bitcraps-db backup create --method {method}`"),
                        &ours,
                        Some(&theirs),
                    ),
                    row(&format!("`{peer}`"), &theirs, None),
                ],
            ));
        }
        Ok(sections)
    }
}
