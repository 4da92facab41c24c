//! What a contender prints.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::tally::{Tally, Window};

/// The figures of one process, printed as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Operations per second that ended well within the window.
    pub ops_per_s: f64,
    /// Half of the operations took no longer, µs.
    pub p50_us: f64,
    /// 99 of 100 took no longer, µs.
    pub p99_us: f64,
    /// The longest, µs.
    pub max_us: f64,
    /// The largest resident memory of the process, MiB.
    pub peak_mib: f64,
    /// Operations that ended well, those outside the window included.
    pub done: u64,
    /// Operations that ended with an error.
    pub failed: u64,
    /// The first error.
    pub error: Option<String>,
    /// Operations of the client that got the fewest and of the one that got the most.
    pub shares: (u64, u64),
    /// Reads that were older than a commit acknowledged before they began.
    pub stale: u64,
    /// What was linked: library and engine versions.
    pub library: String,
}

/// What a contender is built from.
#[derive(Clone, Debug)]
pub struct Library {
    /// Name and version, such as `rusqlite 0.40.2, SQLite 3.53.2`.
    pub name: String,
}

impl Figures {
    /// Sums up the clients: one number of counted operations per client.
    ///
    /// # Errors
    /// If the system does not tell this process's memory.
    pub fn of(window: Window, tally: &Tally, clients: &[u64], stale: u64) -> Result<Self> {
        Ok(Self {
            ops_per_s: float(tally.counted) / window.seconds(),
            p50_us: tally.quantile_us(0.5),
            p99_us: tally.quantile_us(0.99),
            max_us: tally.quantile_us(1.0),
            peak_mib: peak_mib()?,
            done: tally.done,
            failed: tally.failed,
            error: tally.error.clone(),
            shares: (
                clients.iter().copied().min().unwrap_or_default(),
                clients.iter().copied().max().unwrap_or_default(),
            ),
            stale,
            library: String::new(),
        })
    }
}

impl Figures {
    /// Of so many operations that were done at once, in this time.
    ///
    /// # Errors
    /// If the system does not tell this process's memory.
    pub(crate) fn at_once(operations: u64, took: Duration) -> Result<Self> {
        let us = took.as_secs_f64() * 1e6;
        Ok(Self {
            ops_per_s: float(operations) / took.as_secs_f64(),
            p50_us: us,
            p99_us: us,
            max_us: us,
            peak_mib: peak_mib()?,
            done: operations,
            failed: 0,
            error: None,
            shares: (operations, operations),
            stale: 0,
            library: String::new(),
        })
    }
}

/// Prints the figures as the last line of this process.
///
/// # Errors
/// If they cannot be written as JSON.
#[expect(clippy::print_stdout, reason = "the contenders are programs")]
pub fn print(mut figures: Figures, library: &Library) -> Result<()> {
    figures.library.clone_from(&library.name);
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// The largest resident memory so far. `getrusage` would begin with that of the process which
/// started us; this begins anew with each program.
fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("no /proc")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("/proc/self/status has no VmHWM")?
        .parse()?;
    Ok(kib / 1_024.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::peak_mib;

    #[test]
    fn the_process_has_a_peak() {
        assert!(peak_mib().unwrap() > 0.1);
    }
}
