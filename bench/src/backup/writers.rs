//! Writers to a SQLite file, alone and while backups of it are made one after the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use db_core::{Database, DatabaseConfig};

use super::{Bench, Metrics, Place, Samples, Section, remove, section, settle};
use crate::report::ranged;

/// Writers.
const WRITERS: u64 = 4;

/// How long they are counted alone, at least nearly: a wait may end early.
const ALONE: Duration = Duration::from_secs(5);

/// Who they are when no backup is made.
const UNDISTURBED: &str = "undisturbed";

impl Bench<'_> {
    pub(super) fn writers(&self, place: &Place, metrics: &mut Metrics) -> Result<Section> {
        let Place::Sqlite(file) = place else {
            anyhow::bail!("not a file");
        };
        let database =
            Database::open(&DatabaseConfig::new(format!("sqlite://{}", file.display())))?;
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (mut alone, mut beside) = (Samples::default(), Samples::default());
        let mut took = Samples::default();
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (database, done, stop) = (&database, &done, &stop);
                    scope.spawn(move || write(database, writer, done, stop))
                })
                .collect();
            let measured = (0..self.plan.rounds).try_for_each(|round| {
                eprintln!("SQLite, writers, round {}", round + 1);
                settle()?;
                alone.push(rate(&done, || {
                    thread::park_timeout(ALONE);
                    Ok(())
                })?);
                let dir = self.fresh("backups")?;
                beside.push(rate(&done, || {
                    took.push(self.create(place, &dir, &["--compress", "none"])?.0);
                    Ok(())
                })?);
                remove(&dir)
            });
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                writer.join().ok().context("a writer ended")??;
            }
            measured
        })?;
        metrics.set_median("sqlite.beside.ms", "ours", &took);
        let metric = "sqlite.writers.per_s";
        metrics.set_median(metric, "ours", &beside);
        metrics.set_median(metric, UNDISTURBED, &alone);
        metrics.set_rounds(metric, "ours", &beside);
        metrics.set_rounds(metric, UNDISTURBED, &alone);
        let ratio = beside.over(&alone).and_then(|ratios| ratios.median());
        let mut section = section(
            "Writers beside a backup, SQLite",
            &format!(
                "{WRITERS} threads, a row each, synchronous = NORMAL, a backup with its checks, \
                 which takes {} ms beside them.",
                ranged(&took)
            ),
            "the same writers alone",
            vec![
                vec!["alone".into(), ranged(&alone), "–".into()],
                vec![
                    "beside `bitcraps-db backup create`".into(),
                    ranged(&beside),
                    ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")),
                ],
            ],
        );
        section.head[1] = "writes per second";
        Ok(section)
    }
}

fn write(database: &Database, writer: u64, done: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let mut turn = writer;
    while !stop.load(Ordering::Relaxed) {
        turn = turn.wrapping_mul(7_919) % 100_003 + WRITERS;
        let statement = format!("UPDATE bets SET amount = amount + 1 WHERE id = {turn}");
        database.write(|conn| {
            conn.batch_execute(&statement)?;
            Ok::<_, db_core::Error>(())
        })?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Writes per second while something is done.
fn rate(done: &AtomicU64, action: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = done.load(Ordering::Relaxed);
    let began = Instant::now();
    action()?;
    let took = began.elapsed();
    let count = u32::try_from(done.load(Ordering::Relaxed) - before)?;
    Ok(f64::from(count) / took.as_secs_f64())
}
