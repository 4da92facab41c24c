//! The arguments of `maintenance` and `salvage`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::BackupPlace;

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Maintenance {
    /// Give free space back
    #[arg(long)]
    pub(crate) vacuum: bool,
    /// New statistics for every table
    #[arg(long)]
    pub(crate) analyze: bool,
    /// Look for damage; exit 8 if there is any, and nothing is written after that
    #[arg(long)]
    pub(crate) check: bool,
    /// Move the write-ahead log into the database
    #[arg(long)]
    pub(crate) checkpoint: bool,
    /// New statistics for tables whose old ones are stale
    #[arg(long)]
    pub(crate) optimize: bool,
    /// Build every index anew
    #[arg(long)]
    pub(crate) reindex: bool,
    /// Say what would be done and whom it would hold up, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long a step waits for locks: 10s, 5m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    /// The new file; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
}
