//! The arguments of `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::Error;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, a folder of CSV files, or - for standard input
    ///
    /// What is compressed with gzip or zstd is unpacked, whatever its name is.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The form of the file [default: what its name ends in]
    #[arg(long, value_name = "FORM", value_enum)]
    pub(crate) format: Option<InputForm>,
    /// The table of the rows [default: what the file says, else its name]
    ///
    /// Of a file or folder with several tables, those to import; it can be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// What to do with rows that are there already, by a unique key
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Conflict::Error)]
    pub(crate) on_conflict: Conflict,
    /// A column of the file that has another name in the table; FILE= leaves it out
    #[arg(long, value_name = "FILE=TABLE")]
    pub(crate) map: Vec<String>,
    /// Leave checking values to the database, which never stops checking
    #[arg(long)]
    pub(crate) skip_validation: bool,
    /// Let the triggers of the tables fire, which they do not otherwise
    #[arg(long)]
    pub(crate) fire_triggers: bool,
    /// Do everything, and undo it at the end
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many faults to look for before giving up
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_errors: u32,
}

/// A form that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputForm {
    /// Statements, as an export or the engine's own dump writes them
    Sql,
    /// One document, or an array of objects
    Json,
    /// An object on each line
    Ndjson,
    /// Comma-separated values of one table
    Csv,
}

/// What happens to a row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conflict {
    /// Import nothing
    Error,
    /// Leave the row that is there
    Skip,
    /// Give it the values of the file
    Update,
}

impl Import {
    /// The pairs of `--map`.
    pub(crate) fn pairs(&self) -> Result<Vec<(String, String)>, Error> {
        self.map
            .iter()
            .map(|pair| match pair.split_once('=') {
                Some((from, to)) if !from.is_empty() => Ok((from.to_owned(), to.to_owned())),
                _ => Err(Error::usage(
                    format!("--map {pair:?} is not of the form FILE=TABLE"),
                    "write the column of the file, an equals sign, and the column of the table",
                )),
            })
            .collect()
    }
}
