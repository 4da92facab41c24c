//! The arguments of `health`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Look again and again, every 10 seconds or so many; a line for each change, with --json a
    /// document on each line
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) watch: Option<u64>,
    /// Only this check, and whether the database can be reached; may be given more than once
    #[arg(long, value_name = "NAME", conflicts_with = "full")]
    pub(crate) check: Vec<String>,
    /// Hold it against this limit, written as under "health" in the configuration file, as in
    /// 'backup_age = { warn = "3h", fail = "2d" }'; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) limit: Vec<String>,
    /// Also the checks that read all of the data: on SQLite on a copy in the folder for temporary
    /// files (TMPDIR)
    #[arg(long)]
    pub(crate) full: bool,
}
