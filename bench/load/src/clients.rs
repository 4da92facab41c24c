//! Runs clients on threads of their own.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::figures::Figures;
use super::job::Job;
use super::sql::BALANCE;
use super::tally::{Lap, Tally, Window};

/// Operations that one client is numbered for, so that no two ask for the same rows.
const STRIDE: u64 = 1 << 32;

/// Runs `job.clients` threads; each repeats what `connect` made for it, with numbers that no
/// other client gets.
///
/// # Errors
/// If a client cannot be made, or a thread panics. Failed operations are counted, not returned.
pub fn clients<C>(job: &Job, connect: impl FnMut(usize) -> Result<C>) -> Result<Figures>
where
    C: FnMut(u64) -> Result<()> + Send,
{
    run(job, connect, || Ok(()), &Freshness::default())
}

/// Runs so many operations that are done at once, and times them as one.
///
/// # Errors
/// If they fail.
pub fn once(job: &Job, operations: u64, run: impl FnOnce() -> Result<()>) -> Result<Figures> {
    job.pass_gate()?;
    let begin = Instant::now();
    run()?;
    Figures::at_once(operations, begin.elapsed())
}

/// What the readers and the writer of [`with_writer`] tell each other.
#[derive(Debug, Default)]
pub struct Freshness {
    acknowledged: AtomicI64,
    stale: AtomicU64,
    over: AtomicBool,
}

impl Freshness {
    /// How often the writer was told that it took 1 from the balance.
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Looks at a balance that was read after `acknowledged` was.
    pub fn check(&self, acknowledged: i64, balance: i64) {
        if BALANCE - balance < acknowledged {
            self.stale.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// As [`clients`], with a writer beside them that takes 1 from the balance of user 0 by `write`,
/// `commits_per_s` times a second.
///
/// # Errors
/// As [`clients`], and if a write fails.
pub fn with_writer<C>(
    job: &Job,
    freshness: &Freshness,
    commits_per_s: u64,
    connect: impl FnMut(usize) -> Result<C>,
    mut write: impl FnMut() -> Result<()> + Send,
) -> Result<Figures>
where
    C: FnMut(u64) -> Result<()> + Send,
{
    let pause = Duration::from_secs(1) / u32::try_from(commits_per_s.max(1))?;
    let writer = || {
        let begin = Instant::now();
        for turn in 1_u32.. {
            if freshness.over.load(Ordering::SeqCst) {
                break;
            }
            write().context("the writer beside the readers failed")?;
            freshness
                .acknowledged
                .store(i64::from(turn), Ordering::SeqCst);
            if let Some(wait) = (pause * turn).checked_sub(begin.elapsed()) {
                pace(wait);
            }
        }
        Ok(())
    };
    run(job, connect, writer, freshness)
}

fn run<C>(
    job: &Job,
    mut connect: impl FnMut(usize) -> Result<C>,
    beside: impl FnOnce() -> Result<()> + Send,
    freshness: &Freshness,
) -> Result<Figures>
where
    C: FnMut(u64) -> Result<()> + Send,
{
    let ready = (0..job.clients)
        .map(|client| Ok((connect(client)?, Tally::new()?)))
        .collect::<Result<Vec<(C, Tally)>>>()?;
    job.pass_gate()?;
    let start = Barrier::new(ready.len());
    let window = Window::after(job.warm(), job.run());
    let ended: Vec<thread::Result<(Tally, u64)>> = thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let threads: Vec<_> = (0..)
            .zip(ready)
            .map(|(client, (operation, tally))| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    repeat(first_number(job, client), window, tally, operation)
                })
            })
            .collect();
        let ended = threads.into_iter().map(ScopedJoinHandle::join).collect();
        freshness.over.store(true, Ordering::SeqCst);
        beside
            .join()
            .map_err(|_| anyhow!("the writer panicked"))??;
        Ok::<_, anyhow::Error>(ended)
    })?;
    let mut all = Tally::new()?;
    let mut shares = Vec::new();
    for end in ended {
        let (tally, mine) = end.map_err(|_| anyhow!("a client panicked"))?;
        all.add(tally)?;
        shares.push(mine);
    }
    Figures::of(
        window,
        &all,
        &shares,
        freshness.stale.load(Ordering::SeqCst),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a writer of so many commits per second"
)]
fn pace(wait: Duration) {
    thread::sleep(wait);
}

fn repeat(
    first: u64,
    window: Window,
    mut tally: Tally,
    mut operation: impl FnMut(u64) -> Result<()>,
) -> (Tally, u64) {
    let mut mine = 0;
    let mut lap = Lap::begin(window);
    for number in first.. {
        let (goes_on, counted) = lap.end(&mut tally, &operation(number));
        mine += u64::from(counted);
        if !goes_on {
            break;
        }
    }
    (tally, mine)
}

/// The number of a client's first operation.
pub(crate) const fn first_number(job: &Job, client: u64) -> u64 {
    job.first + client * STRIDE
}
