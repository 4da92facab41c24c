//! Where a recovery ends.

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Lsn;

use super::base::place;
use super::gap::Chain;
use super::server::Setting;
use crate::error::Error;
use crate::manifest::Manifest;

/// Where a recovery ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// At the end of the log that the archive has.
    #[default]
    End,
    /// With the last transaction that was committed at this moment or before.
    Time(DateTime<Utc>),
    /// With what was written before this place, as `pg_current_wal_lsn()` gives it after a commit.
    Lsn(Lsn),
    /// At a point that `pg_create_restore_point` named.
    RestorePoint(String),
}

impl RecoveryTarget {
    pub(super) fn settings(&self) -> Vec<Setting> {
        match self {
            Self::End => Vec::new(),
            Self::Time(time) => vec![
                (
                    "recovery_target_time",
                    time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string(),
                ),
                ("recovery_target_inclusive", "on".to_owned()),
            ],
            // Inclusive would mean the record that begins there, which is the first one after it.
            Self::Lsn(lsn) => vec![
                ("recovery_target_lsn", lsn.to_string()),
                ("recovery_target_inclusive", "off".to_owned()),
            ],
            Self::RestorePoint(name) => vec![("recovery_target_name", name.clone())],
        }
    }

    /// Refuses a moment that the backup is later than.
    pub(crate) fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let too_late = |moment: String, what: String| {
            Err(Error::refused(
                format!("{} is of {what}, which is after {moment}", manifest.name),
                "name an older base backup, or `latest`, which is the newest one that is old enough",
            ))
        };
        match self {
            Self::Time(time) if *time < manifest.started_at => {
                too_late(time.to_rfc3339(), manifest.started_at.to_rfc3339())
            }
            Self::Lsn(lsn) => {
                let stop = manifest.engine.stop_lsn.as_deref().unwrap_or("0/0");
                if place(&lsn.to_string())? < place(stop)? {
                    return too_late(lsn.to_string(), stop.to_owned());
                }
                Ok(())
            }
            Self::End | Self::Time(_) | Self::RestorePoint(_) => Ok(()),
        }
    }

    /// Whether it is after the end of the backup too: in between nothing can be reached.
    pub(crate) fn is_after(&self, manifest: &Manifest) -> bool {
        let took = i64::try_from(manifest.duration_ms).ok();
        let took = took
            .and_then(TimeDelta::try_milliseconds)
            .unwrap_or(TimeDelta::MAX);
        match self {
            Self::Time(time) => manifest
                .started_at
                .checked_add_signed(took)
                .is_some_and(|end| end <= *time),
            Self::End | Self::Lsn(_) | Self::RestorePoint(_) => self.check(manifest).is_ok(),
        }
    }

    /// Whether it can be told now that a recovery through this log does not get there.
    pub(super) fn is_beyond_a_gap(&self, chain: &Chain) -> bool {
        match self {
            Self::End => chain.gap.is_some(),
            Self::Lsn(lsn) => place(&lsn.to_string()).is_ok_and(|at| !chain.is_whole_up_to(at)),
            // Where they are is known when the server has come to them.
            Self::Time(_) | Self::RestorePoint(_) => false,
        }
    }
}
