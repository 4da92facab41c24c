//! The arguments of `backup prune`, `backup remove`, `backup schedule` and `backup status`.

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
    /// Only of this database: a kind (sqlite, postgres_dump, postgres_base), a database as `backup
    /// list` shows it, or both [default: every database in the store, each on its own]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) of: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupRemove {
    /// Which one
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// Without asking. What others need, and the last of its database, stays all the same
    #[arg(long)]
    pub(crate) force: bool,
    /// Also if it is the last of its database, which is no more
    #[arg(long)]
    pub(crate) last: bool,
}

// Which backups are kept. What one rule keeps is kept; 0 switches a rule off.
#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// All of this many days [default: 7]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_days: Option<u32>,
    /// The newest N
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_last: Option<u32>,
    /// One for each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_hourly: Option<u32>,
    /// One for each of the last N days that have one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_daily: Option<u32>,
    /// One for each of the last N weeks that have one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_weekly: Option<u32>,
    /// One for each of the last N months that have one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_monthly: Option<u32>,
    /// One for each of the last N years that have one
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_yearly: Option<u32>,
}

/// Reads how many are kept.
fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        let bare = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match bare.parse::<u32>() {
            Ok(number) => format!("write the number alone: {number}"),
            Err(_) => "write a whole number; 0 switches the rule off".to_owned(),
        }
    })
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
    /// Up to so much is added at random [default: 3m, or --every where that is shorter]
    #[arg(long, value_name = "DURATION", value_parser = db_core::duration::parse)]
    pub(crate) jitter: Option<Duration>,
    /// From one trial restore to the next at most, as far as --every allows it; 0 for none
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = db_core::duration::parse)]
    pub(crate) drill_every: Duration,
    /// PostgreSQL: the server on which a dump is restored on trial, whose role may make a database
    /// [default: that of --database-url, or backup.drill_server in the configuration file]
    #[arg(long, value_name = "URL")]
    pub(crate) drill_server: Option<String>,
    /// A last trial restore that is older is alarming
    #[arg(long, value_name = "DURATION", default_value = "36h", value_parser = db_core::duration::parse)]
    pub(crate) verified_within: Duration,
    /// A newest backup that is older is alarming [default: twice --every, and --jitter]
    #[arg(long, value_name = "DURATION", value_parser = db_core::duration::parse)]
    pub(crate) backup_within: Option<Duration>,
    /// With --once: how long to wait while somebody else is at work in the store; then exit 6
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = db_core::duration::parse)]
    pub(crate) lock_wait: Duration,
    /// Make a backup if one is due, and end: for a timer
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupStatus {
    #[command(flatten)]
    pub(crate) place: BackupPlace,
}
