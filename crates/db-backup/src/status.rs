//! What would be lost now, and how long it would take to be back: as last measured.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::catalog::{self, Entry};
use crate::error::Error;
use crate::store::Store;

/// The state of a store at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Backups that are whole.
    pub backups: usize,
    /// Names of those that are not.
    pub damaged: Vec<String>,
    /// The newest that is whole.
    pub newest: Option<String>,
    /// The moment of its snapshot.
    pub newest_at: Option<DateTime<Utc>>,
    /// Seconds since then: what would be lost now (RPO). Nothing if the clock is behind it.
    pub rpo_s: Option<u64>,
    /// The longest time between two backups of those that are there, in seconds.
    pub longest_gap_s: Option<u64>,
    /// The newest that was restored on trial.
    pub newest_verified: Option<String>,
    /// The moment of its snapshot.
    pub newest_verified_at: Option<DateTime<Utc>>,
    /// When the last trial restore of any ended.
    pub last_drill_at: Option<DateTime<Utc>>,
    /// How long that one took, from the first byte to a checked database (RTO), in milliseconds.
    pub rto_ms: Option<u64>,
    /// Of how many bytes.
    pub rto_bytes: Option<u64>,
}

/// Looks at a store.
///
/// # Errors
/// What keeps it from being read.
pub fn status(store: &dyn Store, now: DateTime<Utc>) -> Result<Status, Error> {
    let listing = catalog::list(store)?;
    let (whole, broken): (Vec<&Entry>, Vec<&Entry>) = listing
        .backups
        .iter()
        .partition(|entry| entry.is_complete());
    let mut moments: Vec<(DateTime<Utc>, &Entry)> = whole
        .iter()
        .filter_map(|entry| Some((entry.manifest.as_ref().ok()?.started_at, *entry)))
        .collect();
    moments.sort_by_key(|(at, entry)| (*at, entry.name));
    let newest = moments.last();
    let verified = moments
        .iter()
        .rev()
        .find(|(_, entry)| entry.verification.is_some());
    let drills = moments.iter().filter_map(|(_, e)| e.verification.as_ref());
    let last_drill = drills.max_by_key(|drill| drill.at);
    let gaps = moments.windows(2).map(|pair| match pair {
        [(earlier, _), (later, _)] => seconds(later.signed_duration_since(*earlier)),
        _ => None,
    });
    Ok(Status {
        backups: whole.len(),
        damaged: broken.iter().map(|entry| entry.name.to_string()).collect(),
        newest: newest.map(|(_, entry)| entry.name.to_string()),
        newest_at: newest.map(|(at, _)| *at),
        rpo_s: newest.and_then(|(at, _)| seconds(now.signed_duration_since(*at))),
        longest_gap_s: gaps.flatten().max(),
        newest_verified: verified.map(|(_, entry)| entry.name.to_string()),
        newest_verified_at: verified.map(|(at, _)| *at),
        last_drill_at: last_drill.map(|drill| drill.at),
        rto_ms: last_drill.map(|drill| drill.total_ms),
        rto_bytes: last_drill.map(|drill| drill.bytes),
    })
}

fn seconds(delta: TimeDelta) -> Option<u64> {
    u64::try_from(delta.num_seconds()).ok()
}
