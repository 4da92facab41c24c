//! How old backups are.

use chrono::{DateTime, Utc};
use db_core::DatabaseUrl;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Entry};
use crate::manifest::Manifest;
use crate::{series, status};

/// How old backups are: what a store of backups tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupAges {
    /// The moment of the snapshot of the last backup that is whole and sound.
    pub last_backup: Option<DateTime<Utc>>,
    /// When a backup was last restored and verified.
    pub last_verified_restore: Option<DateTime<Utc>>,
    /// Backups that failed since the last that did not.
    pub failures: u64,
    /// Whether the last backup has less than half of the rows of the one before.
    #[serde(default)]
    pub shrunk: bool,
    /// Backups whose last verification failed.
    #[serde(default)]
    pub failed: u64,
}

impl BackupAges {
    /// What a store tells of this database, whatever else it holds: its newest sound backup and its newest drill,
    /// none of them dated in the future, and how many failed their last verification, without those of a cluster that was
    /// there before. It reads every manifest, so a monitor of a bucket better keeps the answer for some minutes. How many
    /// attempts to make one failed it cannot know.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(
        store: &dyn crate::Store,
        database: &DatabaseUrl,
        now: DateTime<Utc>,
    ) -> Result<Self, crate::Error> {
        let listing = catalog::list(store)?;
        let status = status::of(&listing, now);
        let groups = series::groups(&listing);
        let own: Vec<_> = status.of(database).collect();
        // A cluster that was made anew began another series, and the older one says nothing any more.
        let is_newest = |one: &crate::SeriesStatus| {
            let mut of_kind = own
                .iter()
                .filter(|other| other.series.kind == one.series.kind);
            of_kind.all(|other| other.made_at <= one.made_at)
        };
        let newest = own.iter().filter(|one| is_newest(one));
        let newest: Vec<_> = newest.map(|one| &one.series).collect();
        let members = groups.iter().filter(|one| newest.contains(&&one.series));
        let has_failed = |(entry, _): &&(&Entry, &Manifest)| entry.failure.is_some();
        let failed = members.flat_map(|one| &one.backups).filter(has_failed);
        Ok(Self {
            last_backup: status.of(database).filter_map(|one| one.newest_at).max(),
            last_verified_restore: status
                .of(database)
                .filter_map(|one| one.last_drill_at)
                .max(),
            failures: 0,
            shrunk: own.iter().any(|one| one.shrunk.is_some() && is_newest(one)),
            failed: u64::try_from(failed.count()).unwrap_or(u64::MAX),
        })
    }
}
