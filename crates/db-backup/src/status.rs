//! What would be lost now, and how long it would take to be back: as last measured, for each database.

use chrono::{DateTime, TimeDelta, Utc};
use db_core::DatabaseUrl;
use serde::Serialize;

use crate::catalog::{self, Entry, Listing};
use crate::error::Error;
use crate::manifest::{Kind, Manifest};
use crate::series::{self, Members, Series, is_future};
use crate::shrunk::{self, Shrunk};
use crate::store::Store;

/// The state of a store at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// Backups that are whole, of all series, and did not fail their last verification.
    pub backups: usize,
    /// Names of the others.
    pub damaged: Vec<String>,
    /// Names of those whose data was not sound when they were made.
    pub unsound: Vec<String>,
    /// Names of those that are dated in the future: their clock was wrong, or ours is.
    pub future: Vec<String>,
    /// Each database and each kind of backup of it.
    pub series: Vec<SeriesStatus>,
}

/// The state of one series. Backups that are damaged, not sound or dated in the future are left out
/// of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct SeriesStatus {
    /// Of what, and of which kind.
    #[serde(flatten)]
    pub series: Series,
    /// How many there are, sound or not.
    pub backups: usize,
    /// The moment of the oldest one's snapshot.
    pub oldest_at: Option<DateTime<Utc>>,
    /// The newest.
    pub newest: Option<String>,
    /// One that is newer and not sound: the data were damaged when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_unsound: Option<String>,
    /// The newest, if it has less than half of the rows of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrunk>,
    /// The moment of its snapshot.
    pub newest_at: Option<DateTime<Utc>>,
    /// Seconds since then: what would be lost now (RPO).
    pub rpo_s: Option<u64>,
    /// The moment of the newest that was whole and sound when it was made, whatever a later look at it said: by it a series goes
    /// on, and its next backup is due. Who restores goes by `newest_at`.
    #[serde(skip)]
    pub(crate) made_at: Option<DateTime<Utc>>,
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

impl Status {
    /// The series of the database behind a URL: usually one.
    pub fn of<'s>(&'s self, url: &'s DatabaseUrl) -> impl Iterator<Item = &'s SeriesStatus> {
        self.series.iter().filter(|one| one.series.is_of(url))
    }

    /// The same of one kind of backup.
    pub fn of_kind<'s>(
        &'s self,
        url: &'s DatabaseUrl,
        kind: Kind,
    ) -> impl Iterator<Item = &'s SeriesStatus> {
        self.of(url).filter(move |one| one.series.kind == kind)
    }
}

/// Looks at a store.
///
/// # Errors
/// What keeps it from being read.
pub fn status(store: &dyn Store, now: DateTime<Utc>) -> Result<Status, Error> {
    Ok(of(&catalog::list(store)?, now))
}

/// The state of what was listed.
#[must_use]
pub fn of(listing: &Listing, now: DateTime<Utc>) -> Status {
    let (whole, broken): (Vec<&Entry>, Vec<&Entry>) =
        listing.backups.iter().partition(|entry| entry.is_usable());
    let names = |entries: Vec<&Entry>| entries.iter().map(|entry| entry.name.to_string()).collect();
    Status {
        backups: whole.len(),
        damaged: names(broken),
        unsound: names(
            whole
                .iter()
                .copied()
                .filter(|entry| entry.manifest.as_ref().is_ok_and(|m| !m.is_sound()))
                .collect(),
        ),
        future: names(whole.into_iter().filter(|e| e.is_future(now)).collect()),
        series: series::groups(listing)
            .into_iter()
            .map(|members| of_series(members, now))
            .collect(),
    }
}

fn of_series(members: Members<'_>, now: DateTime<Utc>) -> SeriesStatus {
    let shrunk = shrunk::of_series(&members.backups, now);
    let made = members.backups.iter().rfind(|(entry, manifest)| {
        entry.is_complete() && manifest.is_sound() && !entry.is_future(now)
    });
    let made_at = made.map(|(_, manifest)| manifest.started_at);
    let whole: Vec<(&Entry, &Manifest)> = members
        .backups
        .into_iter()
        .filter(|(entry, _)| entry.is_usable() && !entry.is_future(now))
        .collect();
    let backups = whole.len();
    let is_sound = |(_, manifest): &(&Entry, &Manifest)| manifest.is_sound();
    let newest_unsound = whole.last().filter(|last| !is_sound(last));
    let newest_unsound = newest_unsound.map(|(entry, _)| entry.name.to_string());
    let whole: Vec<_> = whole.into_iter().filter(is_sound).collect();
    let newest = whole.last();
    let mut shrunk = shrunk.into_iter().map(|found| found.shrunk);
    let shrunk = shrunk.find(|one| newest.is_some_and(|(_, m)| m.name == one.name));
    let at = |(_, manifest): &(&Entry, &Manifest)| manifest.started_at;
    let verified = whole
        .iter()
        .rfind(|(entry, _)| entry.verification.is_some());
    let last_drill = whole
        .iter()
        .filter_map(|(entry, _)| entry.verification.as_ref())
        .filter(|drill| !is_future(drill.at, now))
        .max_by_key(|drill| drill.at);
    let gaps = whole
        .windows(2)
        .filter_map(|pair| seconds(at(&pair[1]).signed_duration_since(at(&pair[0]))));
    SeriesStatus {
        series: members.series,
        backups,
        newest_unsound,
        shrunk,
        oldest_at: whole.first().map(at),
        newest: newest.map(|(entry, _)| entry.name.to_string()),
        newest_at: newest.map(at),
        made_at,
        rpo_s: newest.and_then(|found| seconds(now.signed_duration_since(at(found)))),
        longest_gap_s: gaps.max(),
        newest_verified: verified.map(|(entry, _)| entry.name.to_string()),
        newest_verified_at: verified.map(at),
        last_drill_at: last_drill.map(|drill| drill.at),
        rto_ms: last_drill.map(|drill| drill.total_ms),
        rto_bytes: last_drill.map(|drill| drill.bytes),
    }
}

/// Nothing before: that of a clock a little ahead of ours.
fn seconds(delta: TimeDelta) -> Option<u64> {
    u64::try_from(delta.num_seconds().max(0)).ok()
}
