//! Runs clients as tasks of a tokio runtime: ten thousand of them need no ten thousand threads.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use tokio::runtime::{Builder, Runtime};

use super::clients::first_number;
use super::figures::Figures;
use super::job::Job;
use super::tally::{Lap, Tally, Window};

/// Tallies that the tasks share: a histogram each would be what the memory goes to.
const SHARDS: usize = 16;

/// A runtime with a thread per core, as `#[tokio::main]` makes it.
///
/// # Errors
/// If the system gives no threads.
pub fn runtime() -> Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("no runtime")
}

/// Runs `job.clients` tasks; each repeats what `connect` made for it, with numbers that no other
/// client gets.
///
/// # Errors
/// If a task panics. Failed operations are counted, not returned.
pub async fn tasks<C, F>(job: &Job, mut connect: impl FnMut(usize) -> C) -> Result<Figures>
where
    C: FnMut(u64) -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let shards = (0..SHARDS)
        .map(|_| Ok(Mutex::new(Tally::new()?)))
        .collect::<Result<Vec<_>>>()?;
    let shards = Arc::new(shards);
    job.pass_gate()?;
    let window = Window::after(job.warm(), job.run());
    let handles: Vec<_> = (0..)
        .zip((0..job.clients).map(&mut connect))
        .map(|(client, mut operation)| {
            let first = first_number(job, client);
            let shards = Arc::clone(&shards);
            tokio::spawn(async move {
                let shard = &shards[usize::try_from(client).unwrap_or_default() % SHARDS];
                let mut mine = 0_u64;
                let mut lap = Lap::begin(window);
                for number in first.. {
                    let result = operation(number).await;
                    let mut tally = shard.lock().unwrap_or_else(PoisonError::into_inner);
                    let (goes_on, counted) = lap.end(&mut tally, &result);
                    mine += u64::from(counted);
                    if !goes_on {
                        break;
                    }
                }
                mine
            })
        })
        .collect();
    let mut shares = Vec::with_capacity(handles.len());
    for handle in handles {
        shares.push(handle.await.map_err(|_| anyhow!("a client panicked"))?);
    }
    let mut all = Tally::new()?;
    for shard in Arc::into_inner(shards).context("a client is still running")? {
        all.add(shard.into_inner().unwrap_or_else(PoisonError::into_inner))?;
    }
    Figures::of(window, &all, &shares, 0)
}
