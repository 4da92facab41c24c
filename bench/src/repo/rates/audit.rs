//! The trail: sealed, verified, and sealed beside those who write it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_load::repo::{Bet, game_key, now_micros};
use db_core::{Database, RetryPolicy, SystemClock};
use db_repo::{AuditRepository, BetRepository};

use super::ledger::SETTLED;
use super::{PLAYERS, Rates, per_second, timed};
use crate::repo::work::{acting, place_bet, row, time};

/// Lines under one seal, as the command line has it.
const SEAL: i64 = 1_000;

/// Bets handed over at once.
const AT_A_TIME: u64 = 8_192;

/// Who write beside the sealing, how long, and how often with and without it.
const WRITERS: u64 = 8;
const WRITING: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

impl Rates<'_> {
    pub(super) fn audit(&mut self, lines: u64) -> Result<()> {
        self.beside_writers()?;
        // What is there so far does not count.
        AuditRepository::seal_all(&self.database, SEAL, &SystemClock, None)?;
        write_lines(&self.database, lines)?;
        let (sealed, took) = timed(|| {
            let sealed = AuditRepository::seal_all(&self.database, SEAL, &SystemClock, None)?;
            Ok(sealed)
        })?;
        ensure!(
            u64::try_from(sealed.lines)? >= lines,
            "{} of {lines} lines were sealed",
            sealed.lines
        );
        let rate = per_second(u64::try_from(sealed.lines)?, took);
        self.set("seal.per_s", "lines sealed", rate, "/s");
        let (verified, took) = timed(|| {
            let verified = self
                .database
                .read(|conn| AuditRepository::verify(conn, &[]))?;
            Ok(verified)
        })?;
        ensure!(
            verified.is_sound() && verified.unsealed == 0,
            "{verified:?}"
        );
        let rate = per_second(u64::try_from(verified.lines)?, took);
        self.set("verify.per_s", "lines verified", rate, "/s");
        Ok(())
    }

    /// Bets of several writers, in turn alone and beside one who seals all the time.
    fn beside_writers(&mut self) -> Result<()> {
        let next = AtomicU64::new(0);
        let mut alone = crate::metrics::Samples::default();
        let mut beside = crate::metrics::Samples::default();
        for _ in 0..ROUNDS {
            alone.push(bets_per_second(&self.database, &next, false)?);
            beside.push(bets_per_second(&self.database, &next, true)?);
        }
        let ratio = beside.over(&alone).and_then(|ratios| ratios.median());
        self.set(
            "sealed_bets.per_s",
            &format!("bets of {WRITERS} writers beside sealing"),
            beside.median().unwrap_or_default(),
            "/s",
        );
        self.set(
            "sealed_bets.ratio",
            "of what they place alone",
            ratio.context("nobody placed a bet")?,
            "×",
        );
        Ok(())
    }
}

fn bets_per_second(database: &Database, next: &AtomicU64, sealing: bool) -> Result<f64> {
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let mut placed = 0;
    thread::scope(|scope| -> Result<()> {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| scope.spawn(|| write_until(database, next, &over)))
            .collect();
        let sealer = sealing.then(|| {
            scope.spawn(|| -> Result<()> {
                while !over.load(Ordering::Relaxed) {
                    AuditRepository::seal_all(database, SEAL, &SystemClock, None)?;
                }
                Ok(())
            })
        });
        // A scope that ended before may have left a wake-up.
        while let Some(left) = WRITING.checked_sub(begun.elapsed()) {
            thread::park_timeout(left);
        }
        over.store(true, Ordering::Relaxed);
        for writer in writers {
            placed += writer.join().ok().context("a writer panicked")??;
        }
        if let Some(sealer) = sealer {
            sealer.join().ok().context("the sealer panicked")??;
        }
        Ok(())
    })?;
    Ok(per_second(placed, begun.elapsed()))
}

fn write_until(database: &Database, next: &AtomicU64, over: &AtomicBool) -> Result<u64> {
    let (mut bet, mut placed) = (Bet::default(), 0);
    while !over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        // Not in the games that are settled later, which have bets of their own.
        let bet = bet.of(number, PLAYERS);
        if SETTLED.map(game_key).iter().any(|game| game == bet.game()) {
            continue;
        }
        database.write_with_retry(&RetryPolicy::default(), |conn| place_bet(conn, bet))?;
        placed += 1;
    }
    Ok(placed)
}

/// Settled bets in bulk, one line of the trail each.
fn write_lines(database: &Database, lines: u64) -> Result<()> {
    let now = now_micros();
    let (mut bet, mut rows, mut first) = (Bet::default(), Vec::new(), 0);
    while first < lines {
        let end = lines.min(first + AT_A_TIME);
        rows.clear();
        // Numbers that no writer comes to.
        rows.extend((first..end).map(|number| row(bet.at((1 << 40) + number, PLAYERS, now))));
        database.write(|conn| {
            acting("bench").acts(conn, time(now), |conn| {
                BetRepository::create_many(conn, &rows)
            })
        })?;
        first = end;
    }
    Ok(())
}
