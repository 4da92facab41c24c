//! Backups that hold far fewer rows than those before them, as one of a database that was lost and
//! made anew by mistake.
//!
//! Nothing is written down for it: it follows from the row counts of the manifests. The measure is the
//! newest earlier backup that has not shrunk itself, so that a second small one is told as well, and
//! a database that grows or shrinks slowly never is. A base backup counts no rows.

use chrono::{DateTime, Utc};
use db_core::DatabaseUrl;
use serde::Serialize;

use crate::catalog::{Entry, Listing};
use crate::manifest::{Kind, Manifest};
use crate::series::{self, is_future};

/// A database of fewer rows may well lose half of them.
const LEAST_ROWS: u64 = 1_000;

/// A backup with less than half of the rows of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Shrunk {
    /// Its name.
    pub name: String,
    /// Its rows, of all tables.
    pub rows: u64,
    /// The last backup before that.
    pub before: String,
    /// The rows of that one, at least 1,000.
    pub rows_before: u64,
}

/// What is said of one in a sentence.
impl std::fmt::Display for Shrunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} has {} rows, and {} before it had {}",
            self.name, self.rows, self.before, self.rows_before
        )
    }
}

/// One that has shrunk, as retention looks at it.
pub(crate) struct Found {
    pub(crate) shrunk: Shrunk,
    /// The last backup before that which is known to be usable, where a later look at [`Shrunk::before`] failed.
    usable_before: Option<String>,
}

impl Found {
    /// The backups that hold what is gone. One that failed a look may be all that is left of it.
    pub(crate) fn before(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.shrunk.before).chain(&self.usable_before)
    }
}

/// Those of a series, oldest first. Only what is whole, was sound when it was made, and is of the past is looked at,
/// whatever later looks said of it: its rows were counted then, and a failure makes no database whole that has shrunk.
pub(crate) fn of_series(backups: &[(&Entry, &Manifest)], now: DateTime<Utc>) -> Vec<Found> {
    let mut before: Option<(&Manifest, u64)> = None;
    let mut usable: Option<&Manifest> = None;
    let mut found = Vec::new();
    for (entry, manifest) in backups {
        if is_future(manifest.started_at, now) || !entry.is_complete() || !manifest.is_sound() {
            continue;
        }
        let rows = manifest.rows();
        match before {
            Some((last, most)) if most >= LEAST_ROWS && rows < most.div_ceil(2) => {
                let usable_before = usable.filter(|one| one.name != last.name);
                found.push(Found {
                    shrunk: Shrunk {
                        name: manifest.name.clone(),
                        rows,
                        before: last.name.clone(),
                        rows_before: most,
                    },
                    usable_before: usable_before.map(|one| one.name.clone()),
                });
            }
            _ => {
                before = Some((manifest, rows));
                if entry.is_usable() {
                    usable = Some(manifest);
                }
            }
        }
    }
    found
}

/// Whether this backup has shrunk, among those of its series in the listing.
#[must_use]
pub fn shrunk(listing: &Listing, name: &str, now: DateTime<Utc>) -> Option<Shrunk> {
    series::groups(listing)
        .iter()
        .flat_map(|group| of_series(&group.backups, now))
        .map(|found| found.shrunk)
        .find(|one| one.name == name)
}

/// The newest backup of this database and kind, if it has shrunk.
pub(crate) fn newest(
    listing: &Listing,
    (database, kind): (&DatabaseUrl, Kind),
    now: DateTime<Utc>,
) -> Option<Shrunk> {
    let status = crate::status::of(listing, now);
    let own = status
        .of_kind(database, kind)
        .max_by_key(|one| one.made_at)?;
    own.shrunk.clone()
}
