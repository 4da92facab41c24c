//! A PostgreSQL database by `pg_dump`, and its cluster by `pg_basebackup`, alone and driven by ours.

use anyhow::Result;

use super::{
    Answer, Bench, Metrics, Place, Samples, Section, Server, fill, remove, row, section, text,
};

/// What is restored into.
const RESTORED: &str = "bench_restored";

impl Bench<'_> {
    pub(super) fn postgres(&self, server: &Server, metrics: &mut Metrics) -> Result<Vec<Section>> {
        let place = server.create("bench_backup")?;
        fill::fill(&place, self.plan.mebibytes)?;
        let measured = self.both_ways(&place, metrics).and_then(|mut sections| {
            sections.push(self.restored(server, &place, metrics)?);
            Ok(sections)
        });
        server.drop("bench_backup")?;
        server.drop(RESTORED)?;
        measured
    }

    /// How long it takes until a dump is a database again, checked.
    fn restored(&self, server: &Server, place: &Place, metrics: &mut Metrics) -> Result<Section> {
        let dir = self.fresh("backups")?;
        let (_, manifest) = self.create(place, &dir, &["--compress", "none"])?;
        let Place::Postgres(target) = server.create(RESTORED)? else {
            anyhow::bail!("not a server");
        };
        eprintln!("PostgreSQL, restore");
        server.drop(RESTORED)?;
        let command = [
            "--quiet",
            "--json",
            "restore",
            &manifest.name,
            "--dir",
            text(&dir)?,
            "--target",
            &target,
        ];
        let (took, said) = self.ours(place, &command)?;
        remove(&dir)?;
        let answer: Answer = serde_json::from_slice(&said)?;
        let mut all = Samples::default();
        all.push(took);
        metrics.set_median("postgres.restored.ms", "ours", &all);
        Ok(section(
            "A restore, PostgreSQL",
            &format!(
                "A database of {} MiB from its dump into a new database, checked: {} ms of it.",
                self.plan.mebibytes, answer.verify_ms
            ),
            "nothing: once",
            vec![row("`bitcraps-db restore`", &all, None)],
        ))
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
            for round in 1..=self.plan.copies {
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
