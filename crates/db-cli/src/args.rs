//! The arguments, and what `--help` says about them.
#![expect(
    clippy::doc_markdown,
    reason = "help is shown as it is written, without Markdown"
)]

mod audit;
mod backup;
mod care;
mod config;
mod copy;
mod export;
mod health;
mod import;
mod schedule;
mod schema;
mod slips;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use db_core::Engine;

use crate::command::json_schema;
use crate::error::Error;
use crate::exit::Code;
use crate::output::{self, Output};

pub(crate) use audit::{Audit, AuditCommand, Seal, Show, Verify};
pub(crate) use backup::{
    Backup, BackupCommand, BackupCreate, BackupList, BackupPlace, BackupVerify, CheckLevel,
    Compress, CopyMethod, PostgresTools, Restore, WalFetch, WalPush, compress,
};
pub(crate) use care::{Maintenance, Salvage};
pub(crate) use config::{Config, ConfigCommand};
pub(crate) use copy::{Copy, OnInvalidUtf8 as CopyUtf8, OnNan as CopyNan, OnNul as CopyNul};
pub(crate) use export::{Export, Format as ExportFormat};
pub(crate) use health::Health;
pub(crate) use import::{Conflict, Import, InputForm};
pub(crate) use schedule::{BackupPrune, BackupRemove, BackupSchedule, BackupStatus, Keep};
pub(crate) use schema::{
    DiagramFormat, Schema, SchemaCommand, SchemaDiagram, SchemaDiff, SchemaShow,
};

const EXAMPLES: &str = "\
Examples:
  bitcraps-db migrate                      the whole schema into ./data/bitcraps.db
  bitcraps-db status                       what is applied and what is pending
  bitcraps-db --database-url postgres://bitcraps@db/bitcraps migrate --dry-run
  bitcraps-db rollback -1                  undo the last migration";

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 unexpected   2 usage or configuration   3 migrations pending
  4 files and history disagree   5 schema drifted   6 lock not acquired   7 refused
  8 unhealthy   9 unreachable   10 migration failed   11 bad input file
  12 credentials or key   13 disk   14 permission   130, 143 interrupted";

/// Migrations, money, backups and data of the BitCraps database, on SQLite and PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "bitcraps-db", version, long_version = long_version(), before_help = EXAMPLES, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The version of the program, and of the engines' libraries that it brings along.
fn long_version() -> String {
    let cipher = if cfg!(feature = "sqlcipher") {
        " (SQLCipher)"
    } else {
        ""
    };
    let (sqlite, libpq) = (
        Engine::Sqlite.library_version(),
        Engine::Postgres.library_version(),
    );
    let program = env!("CARGO_PKG_VERSION");
    format!("{program}\nSQLite {sqlite}{cipher}\nlibpq {libpq}")
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The database: sqlite://PATH, postgres://USER@HOST/NAME, or a path
    ///
    /// Otherwise BITCRAPS_DATABASE_URL, DATABASE_URL, or url in the configuration file
    /// [default: sqlite://./data/bitcraps.db]. A password is better kept in PGPASSFILE or
    /// PGPASSWORD than in a URL.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) database_url: Option<String>,
    /// A folder of migrations; may be given more than once
    ///
    /// Either `<version>_<name>/{up,down}.sql`, or a folder with sqlite/ and postgres/ in it. Several
    /// are merged into one order, and each migration remembers its set: NAME, or the folder's
    /// name [default: the migrations that are compiled in].
    #[arg(long, value_name = "[NAME=]DIR", global = true)]
    pub(crate) migrations: Vec<String>,
    /// The key of an encrypted SQLite database: a file that only its owner can read
    ///
    /// It holds 64 hexadecimal digits, as `openssl rand -hex 32` makes them. Otherwise
    /// BITCRAPS_DB_ENCRYPTION_KEY_FILE, or encryption_key_file in the configuration file. Needs a
    /// program that is built with `sqlcipher`.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        conflicts_with = "key_command"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// A command that prints the key
    ///
    /// A program and its arguments, split at white space; no shell runs it. Otherwise
    /// BITCRAPS_DB_ENCRYPTION_KEY_COMMAND, or encryption_key_command in the configuration file.
    #[arg(long, value_name = "COMMAND", global = true)]
    pub(crate) key_command: Option<String>,
    /// The configuration file [default: bitcraps-db.toml, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON document on standard output, and progress as JSON lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but data that was asked for, and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on standard error; twice for debugging
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// No colours; NO_COLOR, CLICOLOR=0 or TERM=dumb in the environment say the same
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// The commands. Only the one that is given is put together in full.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Apply pending migrations
    #[command(before_help = "Examples:
  bitcraps-db migrate
  bitcraps-db migrate --dry-run        really run it, on a copy or in a transaction rolled back
  bitcraps-db migrate --to 5           up to the fifth")]
    Migrate(Migrate),
    /// Revert migrations, the last applied first
    #[command(before_help = "Examples:
  bitcraps-db rollback                 the last applied migration
  bitcraps-db rollback -2              the last two
  bitcraps-db rollback 5 --dry-run     run it on a copy or in a transaction rolled back
  bitcraps-db rollback 5               back to position 5 (0 reverts everything)
  bitcraps-db rollback token_economy   back to the migration of that name")]
    Rollback(Rollback),
    /// Show what is applied and what is pending; changes nothing
    #[command(before_help = "Examples:
  bitcraps-db status
  bitcraps-db status --check           exit 3 if migrations are pending
  bitcraps-db status --json | jq -r '.pending[].name'")]
    Status(Status),
    /// Check that files, history and the live schema agree; changes nothing
    #[command(before_help = "Examples:
  bitcraps-db validate
  bitcraps-db validate --rebuild       on PostgreSQL, also build the schema anew and compare")]
    Validate(Validate),
    /// Check the health of a database; changes nothing
    #[command(before_help = "Examples:
  bitcraps-db health                   exit 0 healthy, 3 attention, 8 unhealthy, 9 unreachable
  bitcraps-db health --full            also what reads all of the data
  bitcraps-db health --watch 5         again every five seconds
  bitcraps-db health --limit 'backup_age = { warn = \"3h\", fail = \"2d\" }'
  bitcraps-db health --json | jq '.checks[] | select(.state != \"ok\")'")]
    Health(Health),
    /// Mend checksums and the ledger
    #[command(before_help = "Examples:
  bitcraps-db repair                   heal what can be healed without a decision
  bitcraps-db repair --cosmetic        comments and white space were edited
  bitcraps-db repair --accept 20250824000300")]
    Repair(Repair),
    /// Adopt an existing database: declare everything up to TARGET as present
    #[command(before_help = "Examples:
  bitcraps-db baseline 20250824000500
  bitcraps-db baseline 5")]
    Baseline(Baseline),
    /// Make the files of a new migration, for both engines
    #[command(before_help = "Examples:
  bitcraps-db create add_bet_limits
  bitcraps-db --migrations db/migrations create add_bet_limits")]
    Create(Create),
    /// Revert everything and migrate again; all data is lost
    #[command(before_help = "Examples:
  bitcraps-db reset
  bitcraps-db reset --force            without a question")]
    Reset(Reset),
    /// Show, seal and verify the audit trail
    #[command(before_help = "Examples:
  bitcraps-db audit show --entity users:u1
  bitcraps-db audit seal --anchor /mnt/elsewhere/anchors
  bitcraps-db audit verify --anchor /mnt/elsewhere/anchors")]
    Audit(Audit),
    /// Recompute all balances from their lines; exit 8 if something does not add up
    #[command(before_help = "Examples:
  bitcraps-db reconcile
  bitcraps-db reconcile --json | jq '.differences[]'")]
    Reconcile(Reconcile),
    /// Show, draw and compare schemas
    #[command(before_help = "Examples:
  bitcraps-db schema show users
  bitcraps-db schema diagram --format svg > schema.svg
  bitcraps-db schema diff data/bitcraps.db postgres://bitcraps@db/bitcraps")]
    Schema(Schema),
    /// Fill a database with believable data, the same for the same seed
    #[command(before_help = "Examples:
  bitcraps-db seed
  bitcraps-db seed --users 10000 --games 2000 --seed 7")]
    Seed(Seed),
    /// Make, list and verify backups
    #[command(before_help = "Examples:
  bitcraps-db backup                                   into ./backups
  bitcraps-db backup --dir /mnt/backups --recipient age1...
  bitcraps-db backup list
  bitcraps-db backup verify --restore                  restore the latest on trial")]
    Backup(Box<Backup>),
    /// Restore a backup, into a new place or over a database that is kept aside
    #[command(before_help = "Examples:
  bitcraps-db restore --target ./restored.db           the latest, beside what is there
  bitcraps-db restore backup_20261122_143005           over the database, after typing its name
  bitcraps-db restore latest --force                   without a question")]
    Restore(Restore),
    /// Write tables as SQL, JSON or CSV
    #[command(before_help = "Examples:
  bitcraps-db export --output all.sql.gz               a script for sqlite3 or psql
  bitcraps-db export --table users --output users.csv
  bitcraps-db export --format csv --output ./csv       a file for each table
  bitcraps-db export --table bets --where 'amount > 100' --format ndjson | jq .")]
    Export(Export),
    /// Import data from a file: all of it, or nothing
    #[command(before_help = "Examples:
  bitcraps-db import users.csv                         into the table users
  bitcraps-db import export.json.gz --dry-run          do everything, and undo it
  bitcraps-db import players.csv --table users --map 'nickname=username' --on-conflict update
  bitcraps-db import dump.sql                          statements, as export and .dump write them")]
    Import(Import),
    /// Copy a whole database into another one, on either engine, and prove that it arrived
    #[command(before_help = "Examples:
  bitcraps-db copy --to postgres://bitcraps@db/bitcraps --dry-run         what would not fit?
  bitcraps-db copy --to postgres://bitcraps@db/bitcraps --lock-source     the cut-over
  bitcraps-db copy --from postgres://bitcraps@db/bitcraps --to sqlite://./bitcraps.db")]
    Copy(Copy),
    /// Check, vacuum, analyze, reindex or checkpoint, beside running writers
    #[command(before_help = "Examples:
  bitcraps-db maintenance                              statistics and the log: in nobody's way
  bitcraps-db maintenance --vacuum --dry-run           whom it would hold up, and for how much
  bitcraps-db maintenance --check --reindex --wait 1m")]
    Maintenance(Maintenance),
    /// Read what is readable of a damaged SQLite file into a new one
    #[command(before_help = "Examples:
  bitcraps-db salvage --to salvaged.db
  bitcraps-db --database-url damaged.db salvage --to salvaged.db --json")]
    Salvage(Salvage),
    /// Show the settings, and where each was said
    #[command(before_help = "Examples:
  bitcraps-db config show
  bitcraps-db config show --json | jq '.settings[] | select(.origin != \"default\")'")]
    Config(Config),
    /// Print a completion script for a shell
    #[command(before_help = "Examples:
  bitcraps-db completions bash > /etc/bash_completion.d/bitcraps-db
  bitcraps-db completions zsh > ~/.zfunc/_bitcraps-db")]
    Completions(Completions),
    /// Print the manual page
    #[command(before_help = "Examples:
  bitcraps-db man | man -l -
  bitcraps-db man --dir /usr/local/share/man/man1")]
    Man(Man),
    /// Print the JSON Schema of what a command prints with --json
    #[command(before_help = "Examples:
  bitcraps-db json-schema status
  bitcraps-db json-schema backup-create | jq .required
  bitcraps-db json-schema --dir ./schemas              all of them, error and progress too")]
    JsonSchema(JsonSchema),
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Migrate {
    /// Where to stop: a position, a version or a name [default: the last]
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// Run everything on a copy (SQLite) or in a transaction that is rolled back (PostgreSQL)
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// All migrations in one transaction, instead of one each
    #[arg(long)]
    pub(crate) single_transaction: bool,
    /// Apply migrations that come before applied ones
    #[arg(long)]
    pub(crate) allow_out_of_order: bool,
    /// Check integrity and foreign keys before and after
    #[arg(long)]
    pub(crate) verify: bool,
    /// How long to wait for another run, and for locks on tables: 60s, 5m, 0
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
    /// Go on although the schema was changed by hand, and take it as it is
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Back to this position, version or name, or -N steps [default: the previous]
    #[arg(value_name = "TARGET", allow_negative_numbers = true)]
    pub(crate) target: Option<String>,
    /// Run everything on a copy (SQLite) or in a transaction that is rolled back (PostgreSQL)
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask, and take what was changed by hand as it is
    #[arg(long)]
    pub(crate) force: bool,
    /// How long to wait for another run: 60s, 5m, 0
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Exit 3 if migrations are pending, 4 if files and history disagree, 5 if the schema drifted
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Build the schema anew in a scratch database and compare (SQLite always does, in memory)
    #[arg(long)]
    pub(crate) rebuild: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// How many players
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    pub(crate) users: u64,
    /// How many games of dice; nine of ten are settled
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) games: u64,
    /// What the data follows from; another one can be added to the same database
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// How many differences to name; all are counted
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Record the new text of migrations that were edited but mean the same
    #[arg(long)]
    pub(crate) cosmetic: bool,
    /// Accept a deliberate edit, a missing file, or a migration that stopped half way or half back
    #[arg(long, value_name = "TARGET")]
    pub(crate) accept: Vec<String>,
    /// How long to wait for another run: 60s, 5m, 0
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Baseline {
    /// The last migration that the database already has: a position, a version or a name
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// How long to wait for another run: 60s, 5m, 0
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What it does, in `snake_case`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// How long to wait for another run: 60s, 5m, 0
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = db_core::duration::parse)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct JsonSchema {
    /// Of which command, as in backup-create; or error, or progress
    #[arg(value_name = "COMMAND", value_parser = schema_names(), hide_possible_values = true)]
    pub(crate) name: Option<String>,
    /// Write all of them into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

fn schema_names() -> PossibleValuesParser {
    PossibleValuesParser::new(json_schema::SCHEMAS.iter().map(|(name, _)| *name))
}

/// Arguments that clap did not take, or that ask for help.
#[derive(Debug)]
pub(crate) struct Rejected {
    error: clap::Error,
    output: Output,
}

/// Whether a server runs this to bring a file of its log, before the arguments are understood.
pub(crate) fn is_restore_command() -> bool {
    std::env::args_os().skip(1).any(|word| word == "wal-fetch")
}

impl Rejected {
    /// Prints help or the error, and says how to end.
    pub(crate) fn report(&self) -> Code {
        // Scripts that ask for JSON get it for a wrong argument too. A URL in the wrong place must
        // not show its password.
        let text = self.error.render();
        match self.error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match self.output.help(&text) {
                Ok(()) => Code::Done,
                Err(error) => error.code(),
            },
            // Nothing of it was typed by the user, and its URLs are examples.
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !self.output.is_json() => {
                self.output
                    .usage(&output::styled(&text, self.output.has_colours()));
                Code::Usage
            }
            _ if self.output.is_json() => {
                let plain = redacted(&text.to_string());
                let (message, hint) = plain.split_once("\n\n").unwrap_or((plain.as_str(), ""));
                let message = message.trim().trim_start_matches("error: ");
                self.output.error(&Error::usage(message, hint.trim()));
                Code::Usage
            }
            _ => {
                let styled = output::styled(&text, self.output.has_colours());
                self.output.usage(&redacted(&styled));
                Code::Usage
            }
        }
    }
}

/// The command with all its help, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the program's arguments.
///
/// # Errors
/// [`Rejected`], also for `--help` and `--version`.
pub(crate) fn parse() -> Result<Arguments, Rejected> {
    let raw: Vec<OsString> = std::env::args_os().collect();
    // clap has not run yet, or has failed, when these matter.
    let given = |flag: &str| raw.iter().take_while(|a| *a != "--").any(|a| a == flag);
    let output = Output::for_errors(given("--json"), given("--no-color"));
    let colours = if output.has_colours() {
        clap::ColorChoice::Auto
    } else {
        clap::ColorChoice::Never
    };
    let mut program = command().color(colours);
    program
        .try_get_matches_from_mut(&raw)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|mut error| {
            slips::explain(&mut error, &program, &raw);
            Rejected { error, output }
        })
}

/// Masks passwords of URLs, line by line, since only a line with a URL can hold one.
fn redacted(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.contains("://") {
            db_core::redact(line)
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        command().debug_assert();
    }

    #[test]
    fn a_url_in_the_wrong_place_keeps_its_password() {
        let shown = redacted("error: unexpected 'postgres://u:hunter2@h/d'\n\nUsage: a: b@c");
        assert!(
            !shown.contains("hunter2") && shown.contains("Usage: a: b@c"),
            "{shown}"
        );
    }
}
