//! The arguments of `backup` and `restore`.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use db_backup::Level;
use db_core::Lsn;

use super::{BackupPrune, BackupRemove, BackupSchedule, BackupStatus};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) create: BackupCreate,
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup; the same as `backup` alone
    #[command(before_help = "Examples:
  bitcraps-db backup create
  bitcraps-db backup create --dir /mnt/backups --compress none
  bitcraps-db backup create --recipient age1... --check full")]
    Create(BackupCreate),
    /// List backups, oldest first; exit 8 if one is not whole, or failed its last `verify`
    #[command(before_help = "Examples:
  bitcraps-db backup list
  bitcraps-db backup list --json | jq -r '.backups[-1].name'")]
    List(BackupList),
    /// Read a backup back, compare its hashes and check its data; exit 8 if it is not as it was
    #[command(before_help = "Examples:
  bitcraps-db backup verify                            the latest
  bitcraps-db backup verify backup_20261122_143005 --check full
  bitcraps-db backup verify --restore                  restore it on trial, and take the time")]
    Verify(BackupVerify),
    /// Store a file of PostgreSQL's log: the server's archive_command
    #[command(
        name = "wal-push",
        before_help = "Example, in postgresql.conf:
  archive_mode = on
  archive_command = 'bitcraps-db backup wal-push --dir /mnt/backups %p'"
    )]
    WalPush(WalPush),
    /// Bring a stored file of PostgreSQL's log: a standby's restore_command
    ///
    /// Exit 3 if there is none of the name, which is how recovery finds the end of the log; 255 for
    /// every trouble, at which the server gives up rather than take it for the end.
    #[command(
        name = "wal-fetch",
        before_help = "Example, in postgresql.conf:
  restore_command = 'bitcraps-db backup wal-fetch --dir /mnt/backups %f %p'"
    )]
    WalFetch(WalFetch),
    /// Remove the backups that no rule keeps, and say why the others stay
    #[command(before_help = "Examples:
  bitcraps-db backup prune --dry-run
  bitcraps-db backup prune                             all of 7 days stay
  bitcraps-db backup prune --keep-hourly 24 --keep-daily 30 --keep-monthly 12")]
    Prune(BackupPrune),
    /// Remove one backup, such as one that is damaged; not the last of its database
    #[command(before_help = "Examples:
  bitcraps-db backup remove backup_20261122_143005
  bitcraps-db backup remove backup_20261122_143005 --force     without asking")]
    Remove(BackupRemove),
    /// Make a backup every hour, prune, and restore one a day on trial, until a signal comes
    #[command(before_help = "Examples:
  bitcraps-db backup schedule
  bitcraps-db backup schedule --every 15m --keep-hourly 48 --keep-daily 30
  bitcraps-db backup schedule --once                   one round if it is due, for a timer")]
    Schedule(BackupSchedule),
    /// Say what would be lost now and how long a restore takes, as last measured
    #[command(before_help = "Examples:
  bitcraps-db backup status
  bitcraps-db backup status --json | jq '.series[].rpo_s'")]
    Status(BackupStatus),
}

// How PostgreSQL's own programs are used.
#[derive(Debug, Args)]
pub(crate) struct PostgresTools {
    /// PostgreSQL: the folder of pg_dump, pg_restore, pg_basebackup and the server
    /// [default: looked for]
    #[arg(long, value_name = "DIR")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// PostgreSQL: the account that runs a restored server, where root restores
    #[arg(long, value_name = "USER")]
    pub(crate) run_as: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WalPush {
    /// The file, as the server puts it in the place of %p
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// The level of compression, 1 to 19 [default: 1]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) compress: Option<i32>,
    /// Encrypt to this public key of age; may be given more than once
    #[arg(long, value_name = "age1...")]
    pub(crate) recipient: Vec<String>,
    /// Encrypt to the public keys in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) recipients_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WalFetch {
    /// The file's name, as the server puts it in the place of %f
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Where to put it, as the server puts it in the place of %p
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// The file of identities that opens an encrypted archive
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

/// How a database is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CopyMethod {
    /// One database: SQLite's own backup, or pg_dump
    #[default]
    Dump,
    /// A whole PostgreSQL server: pg_basebackup, for restores to a point in time
    Base,
}

// Where backups are.
#[derive(Debug, Args)]
pub(crate) struct BackupPlace {
    /// The folder or bucket of the backups (s3://bucket/prefix, gs://..., az://...) [default:
    /// ./backups, or backup.dir in the configuration file]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<String>,
    /// Where files for a bucket are prepared, and wait if they cannot be sent [default: beside a
    /// SQLite database, or the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) staging: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupCreate {
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// The level of compression, 1 to 19, or none [default: 3]
    #[arg(long, value_name = "LEVEL", value_parser = compress)]
    pub(crate) compress: Option<Compress>,
    /// Encrypt to this public key of age; may be given more than once
    #[arg(long, value_name = "age1...")]
    pub(crate) recipient: Vec<String>,
    /// Encrypt to the public keys in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) recipients_file: Option<PathBuf>,
    /// How thoroughly the copy is checked before it is kept [default: quick]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) check: Option<CheckLevel>,
    /// Keep it even if foreign keys or the money are broken; it says so, and a restore of it asks for
    /// --accept-unsound
    #[arg(long)]
    pub(crate) accept_unsound: bool,
    /// Where what becomes encrypted is prepared [default: beside the database]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// How it is copied
    #[arg(long, value_name = "METHOD", default_value = "dump")]
    pub(crate) method: CopyMethod,
    #[command(flatten)]
    pub(crate) tools: PostgresTools,
}

#[derive(Debug, Args)]
pub(crate) struct BackupList {
    #[command(flatten)]
    pub(crate) place: BackupPlace,
}

#[derive(Debug, Args)]
pub(crate) struct BackupVerify {
    /// Which one
    #[arg(value_name = "NAME", default_value = "latest")]
    pub(crate) name: String,
    /// Of which database `latest` is: a kind (sqlite, postgres_dump, postgres_base), a database as
    /// `backup list` shows it, or both [default: the one of --database-url, or the only one there is]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) of: Option<String>,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// The file of identities that opens an encrypted backup
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Restore it completely into a scratch database, check that in full, and record the time
    #[arg(long)]
    pub(crate) restore: bool,
    /// PostgreSQL: the server on which a dump is restored on trial, whose role may make a database
    /// [default: that of --database-url, or backup.drill_server in the configuration file]
    #[arg(long, value_name = "URL", requires = "restore")]
    pub(crate) drill_server: Option<String>,
    /// How thoroughly the data of a SQLite file is checked; a trial restore is always full [default: quick]
    #[arg(long, value_name = "LEVEL", conflicts_with = "restore")]
    pub(crate) check: Option<CheckLevel>,
    /// Where it is unpacked [default: where backups are prepared; what is encrypted in a private folder
    /// below the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tools: PostgresTools,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Which one
    #[arg(value_name = "NAME", default_value = "latest")]
    pub(crate) name: String,
    /// Of which database `latest` is: a kind (sqlite, postgres_dump, postgres_base), a database as
    /// `backup list` shows it, or both [default: the one of --database-url, or the only one there is]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) of: Option<String>,
    #[command(flatten)]
    pub(crate) place: BackupPlace,
    /// Where to: a database URL or a path [default: the database of --database-url]
    ///
    /// For a base backup of PostgreSQL a new data folder, which has to be named.
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// A base backup: with all that was committed until then, as 2026-11-22T14:30:05Z
    #[arg(long, value_name = "TIME", group = "recovery_target", value_parser = moment)]
    pub(crate) at: Option<DateTime<Utc>>,
    /// A base backup: with all that was written before this place in the log
    #[arg(long, value_name = "LSN", group = "recovery_target")]
    pub(crate) lsn: Option<Lsn>,
    /// A base backup: up to the point that pg_create_restore_point gave this name
    #[arg(long, value_name = "NAME", group = "recovery_target")]
    pub(crate) restore_point: Option<String>,
    /// A dump: without its owners and grants
    #[arg(long)]
    pub(crate) no_owner: bool,
    #[command(flatten)]
    pub(crate) tools: PostgresTools,
    /// The file of identities that opens an encrypted backup
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// How thoroughly the data is checked before it gets its place [default: quick]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) check: Option<CheckLevel>,
    /// Replace a database that is there without asking, which is kept aside all the same
    #[arg(long)]
    pub(crate) force: bool,
    /// Take a backup that is not sound; `latest` is one only where no sound one is
    #[arg(long)]
    pub(crate) accept_unsound: bool,
    /// Give a SQLite file its place that an earlier restore has proven, and could not: NAME.restored-TIME
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "name", "of", "dir", "at", "lsn", "restore_point", "no_owner", "identity"
    ])]
    pub(crate) finish: Option<PathBuf>,
}

/// Whether and how strongly to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compress {
    None,
    Level(i32),
}

impl Compress {
    pub(crate) const fn level(self) -> Option<i32> {
        match self {
            Self::None => None,
            Self::Level(level) => Some(level),
        }
    }
}

/// Reads a moment, which needs its offset: nobody can tell whose midnight is meant.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = text.trim().parse() {
        return Ok(moment);
    }
    let forms = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ];
    let mut read = forms
        .iter()
        .filter_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    Err(match read.next().or_else(day) {
        Some(moment) => format!(
            "it does not say of which time zone; write {}Z for UTC, or an offset as +01:00 instead of the Z",
            moment.format("%Y-%m-%dT%H:%M:%S%.f")
        ),
        None => "no moment; write 2026-11-22T14:30:05Z, or 2026-11-22T15:30:05+01:00".to_owned(),
    })
}

/// Reads `none` or a level.
pub(crate) fn compress(text: &str) -> Result<Compress, String> {
    if text == "none" {
        return Ok(Compress::None);
    }
    text.parse()
        .ok()
        .filter(|level| db_backup::LEVELS.contains(level))
        .map(Compress::Level)
        .ok_or_else(|| "no level; write a number from 1 to 19, or none".to_owned())
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckLevel {
    /// Structure, foreign keys, row counts, hashes
    #[default]
    Quick,
    /// Also that indexes and tables agree
    Full,
}

impl From<CheckLevel> for Level {
    fn from(level: CheckLevel) -> Self {
        match level {
            CheckLevel::Quick => Self::Quick,
            CheckLevel::Full => Self::Full,
        }
    }
}
