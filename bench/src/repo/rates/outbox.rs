//! The outbox: drained as fast as it goes, and beside a producer.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use db_core::{RetryPolicy, SystemClock};
use db_repo::{OutboxRelay, OutboxRepository};
use db_schema::rows::{NewOutboxEntry, OutboxType};
use serde_json::json;

use super::{Rates, now, per_second, timed};
use crate::metrics::Samples;

/// Entries of one write of the producer, and between two of them.
const AT_ONCE: u64 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// How long it produces.
const PRODUCING: Duration = Duration::from_secs(10);

/// Entries that are drained.
const WAITING: u64 = 20_000;

/// How long the relay waits when it found nothing.
const IDLE: Duration = Duration::from_millis(20);

impl Rates<'_> {
    pub(super) fn outbox(&mut self) -> Result<()> {
        let relay = OutboxRelay::new().with_limit(1_000);
        for first in (0..WAITING).step_by(1_000) {
            let entries = entries(first, 1_000);
            self.database
                .write(|conn| OutboxRepository::enqueue_many(conn, &entries))?;
        }
        let (done, time) = timed(|| {
            let mut done = 0;
            while done < WAITING {
                done += self.relayed(&relay, &mut |_| {})?;
            }
            Ok(done)
        })?;
        ensure!(done == WAITING, "{done} of {WAITING} were delivered");
        let rate = per_second(done, time);
        self.set("outbox.per_s", "outbox entries delivered", rate, "/s");
        self.beside_a_producer(&relay)
    }

    fn beside_a_producer(&mut self, relay: &OutboxRelay) -> Result<()> {
        let over = AtomicBool::new(false);
        let mut oldest = Samples::default();
        let mut delivered = 0;
        let produced = thread::scope(|scope| -> Result<u64> {
            let producer = scope.spawn(|| self.produce(&over));
            loop {
                // Looked at before: what was there then has to be delivered now.
                let last = over.load(Ordering::Relaxed);
                let done = self.relayed(relay, &mut |age| oldest.push(age))?;
                delivered += done;
                if done == 0 {
                    if last {
                        break;
                    }
                    thread::park_timeout(IDLE);
                }
            }
            producer.join().ok().context("the producer panicked")?
        })?;
        ensure!(
            delivered == produced,
            "{delivered} of {produced} were delivered"
        );
        self.set(
            "outbox.beside.per_s",
            "entries produced beside the relay",
            per_second(produced, PRODUCING),
            "/s",
        );
        self.set(
            "outbox.oldest.ms",
            "the oldest of them when it was handed over",
            oldest.max().unwrap_or_default(),
            "ms",
        );
        Ok(())
    }

    /// One run; how many were delivered. `age` is told how old each was, in milliseconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds are far below 2^52"
    )]
    fn relayed(&self, relay: &OutboxRelay, age: &mut dyn FnMut(f64)) -> Result<u64> {
        let report = relay.run_once(&self.database, &SystemClock, |entry| {
            age((*now() - *entry.created_at).num_milliseconds() as f64);
            Ok::<_, Infallible>(())
        })?;
        ensure!(report.claimed == report.delivered, "{report:?}");
        Ok(u64::try_from(report.delivered)?)
    }

    /// At its pace as long as the database keeps up; how many.
    fn produce(&self, over: &AtomicBool) -> Result<u64> {
        let begun = Instant::now();
        let mut produced = 0;
        let mut due = begun;
        while begun.elapsed() < PRODUCING {
            let entries = entries(WAITING + produced, AT_ONCE);
            self.database
                .write_with_retry(&RetryPolicy::default(), |conn| {
                    OutboxRepository::enqueue_many(conn, &entries)
                })?;
            produced += AT_ONCE;
            due += PAUSE;
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
        }
        over.store(true, Ordering::Relaxed);
        Ok(produced)
    }
}

fn entries(first: u64, count: u64) -> Vec<NewOutboxEntry> {
    let created_at = now();
    (first..first + count)
        .map(|number| NewOutboxEntry {
            user_id: None,
            outbox_type: OutboxType::BetPlaced,
            payload: json!({"reference": format!("bench-{number}"), "amount": 10}).into(),
            created_at,
        })
        .collect()
}
