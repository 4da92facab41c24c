//! A SQLite file: copied, checked, restored, and written to meanwhile.

use anyhow::{Context as _, Result};

use super::{Answer, Bench, Metrics, Place, Samples, Section, fill, remove, row, section, text};

/// Who is measured beside ours.
const SQLITE3: &str = "sqlite3";
const CP: &str = "cp";

#[derive(Default)]
struct Case {
    ours: Samples,
    peer: Samples,
    limit: Samples,
}

#[derive(Default)]
struct Cases {
    copy: Case,
    compressed: Samples,
    check: Case,
    restore: Case,
    restored: Samples,
    drill: Samples,
}

impl Bench<'_> {
    pub(super) fn sqlite(&self, metrics: &mut Metrics) -> Result<Vec<Section>> {
        let file = self.fresh("sqlite")?.join("bench.db");
        let place = Place::Sqlite(file.clone());
        fill::fill(&place, self.plan.mebibytes)?;
        let mut cases = Cases::default();
        for round in 1..=self.plan.rounds {
            eprintln!("SQLite, round {round}");
            self.round(&place, &mut cases)?;
        }
        let Cases {
            copy,
            compressed,
            check,
            restore,
            restored,
            drill,
        } = cases;
        for (metric, case) in [("copy", &copy), ("check", &check), ("restore", &restore)] {
            let metric = format!("sqlite.{metric}.ms");
            metrics.set_rounds(&metric, "ours", &case.ours);
            metrics.set_rounds(&metric, SQLITE3, &case.peer);
            metrics.set_median(&metric, "ours", &case.ours);
            metrics.set_median(&metric, SQLITE3, &case.peer);
            metrics.set_median(&metric, CP, &case.limit);
        }
        metrics.set_median("sqlite.restored.ms", "ours", &restored);
        metrics.set_median("sqlite.drill.ms", "ours", &drill);
        let size = format!("A database of {} MiB.", self.plan.mebibytes);
        let mut sections = vec![
            section(
                "A backup, SQLite",
                &format!(
                    "{size} Copy, SHA-256 and manifest, not compressed; checks are taken off."
                ),
                "`sqlite3 .backup` and `sha256sum`",
                vec![
                    row("`bitcraps-db backup create`", &copy.ours, Some(&copy.peer)),
                    row("`sqlite3 .backup`, `sha256sum`", &copy.peer, None),
                    row("the limit: `cp`, `sync`", &copy.limit, Some(&copy.peer)),
                    row("ours, compressed by zstd 3", &compressed, Some(&copy.peer)),
                ],
            ),
            section(
                "The check of a backup, SQLite",
                &format!("{size} `quick_check` and `foreign_key_check`."),
                "SQLite's own shell on the copy",
                vec![
                    row(
                        "`bitcraps-db backup create`, its part",
                        &check.ours,
                        Some(&check.peer),
                    ),
                    row("`sqlite3`, both pragmas", &check.peer, None),
                ],
            ),
            section(
                "A restore, SQLite",
                &format!("{size} Into a new file; the first line without the check."),
                "`sha256sum --check`, `cp` and `sync`",
                vec![
                    row("`bitcraps-db restore`", &restore.ours, Some(&restore.peer)),
                    row("`sha256sum --check`, `cp`, `sync`", &restore.peer, None),
                    row(
                        "the limit: `cp`, `sync`",
                        &restore.limit,
                        Some(&restore.peer),
                    ),
                    row(
                        "ours with the check: until it can be used",
                        &restored,
                        Some(&restore.peer),
                    ),
                    row(
                        "ours, `backup verify --restore`: the complete drill",
                        &drill,
                        None,
                    ),
                ],
            ),
        ];
        sections.push(self.writers(&place, metrics)?);
        remove(file.parent().context("a folder")?)?;
        Ok(sections)
    }

    fn round(&self, place: &Place, cases: &mut Cases) -> Result<()> {
        let Place::Sqlite(file) = place else {
            anyhow::bail!("not a file");
        };
        let source = text(file)?;
        let dir = self.fresh("backups")?;
        let (took, manifest) = self.create(place, &dir, &["--compress", "none"])?;
        let (checked, by_engine) = manifest.checked();
        cases.copy.ours.push(took - checked);
        cases.check.ours.push(by_engine);

        let peer = self.fresh("peer")?;
        let copy = peer.join("copy.db");
        let copied = text(&copy)?;
        cases.copy.peer.push(self.shell(&format!(
            "sqlite3 {source} '.backup {copied}'; sha256sum {copied} > {copied}.sum"
        ))?);
        cases.check.peer.push(self.shell(&format!(
            "sqlite3 'file:{copied}?immutable=1' 'PRAGMA quick_check; PRAGMA foreign_key_check'"
        ))?);

        let target = self.fresh("target")?.join("new.db");
        let url = format!("sqlite://{}", target.display());
        let name = manifest.name.as_str();
        let restore = [
            "--quiet",
            "--json",
            "restore",
            name,
            "--dir",
            text(&dir)?,
            "--target",
            &url,
        ];
        let (took, said) = self.ours(place, &restore)?;
        let answer: Answer = serde_json::from_slice(&said)?;
        cases.restore.ours.push(took - f64::from(answer.verify_ms));
        cases.restored.push(took);
        remove(&target)?;
        let restored = text(&target)?;
        cases.restore.peer.push(self.shell(&format!(
            "sha256sum --check --quiet {copied}.sum; cp {copied} {restored}; sync {restored}"
        ))?);
        remove(&target)?;
        let limit = self.shell(&format!("cp {copied} {restored}; sync {restored}"))?;
        cases.restore.limit.push(limit);
        cases.copy.limit.push(limit);
        remove(&target)?;
        remove(&peer)?;

        // The complete check takes longer than all else, and has a bar that is far away: once.
        if cases.drill.median().is_none() {
            let verify = [
                "--quiet",
                "backup",
                "verify",
                name,
                "--restore",
                "--dir",
                text(&dir)?,
            ];
            cases.drill.push(self.ours(place, &verify)?.0);
        }
        remove(&dir)?;
        let dir = self.fresh("backups")?;
        let (took, manifest) = self.create(place, &dir, &["--compress", "3"])?;
        cases.compressed.push(took - manifest.checked().0);
        remove(&dir)
    }
}
