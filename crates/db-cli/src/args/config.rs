//! The arguments of `config`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting with its value, passwords masked, and where it was said
    #[command(before_help = "Examples:
  bitcraps-db config show
  bitcraps-db config show --json | jq '.settings[] | select(.origin != \"default\")'")]
    Show,
}
