//! The arguments of `backup prune`, `backup schedule` and `backup status`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{BackupCreate, BackupPlace};

#[derive(Debug, Args)]
pub(crate) struct BackupPrune {
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    #[command(flatten)]
    pub(crate) keep: Keep,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

// Which backups are kept. What one rule keeps is kept; 0 switches a rule off.
#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// All of this many days [default: 7]
    #[arg(long, value_name = "N")]
    pub(crate) keep_days: Option<u32>,
    /// The newest N
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<u32>,
    /// One for each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_hourly: Option<u32>,
    /// One for each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<u32>,
    /// One for each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<u32>,
    /// One for each of the last N months that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<u32>,
    /// One for each of the last N years that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupSchedule {
    #[command(flatten)]
    pub(crate) create: BackupCreate,
    #[command(flatten)]
    pub(crate) keep: Keep,
    /// The file of identities that opens an encrypted backup, for trial restores
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// From one backup to the next [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = db_core::duration::parse)]
    pub(crate) every: Option<Duration>,
    /// Up to so much is added at random
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = db_core::duration::parse)]
    pub(crate) jitter: Duration,
    /// From one trial restore to the next; 0 for none
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = db_core::duration::parse)]
    pub(crate) drill_every: Duration,
    /// A last trial restore that is older is alarming
    #[arg(long, value_name = "DURATION", default_value = "36h", value_parser = db_core::duration::parse)]
    pub(crate) verified_within: Duration,
    /// Make a backup if one is due, and end: for a timer
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupStatus {
    #[command(flatten)]
    pub(crate) place: BackupPlace,
}
