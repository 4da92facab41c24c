//! The arguments of `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; `-` is standard output. For csv of several tables a folder
    ///
    /// It appears under its name when it is whole. Compressed if the name ends in .gz or .zst.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// The form [default: what the file's name tells, else sql]
    #[arg(long, value_name = "FORM")]
    pub(crate) format: Option<Format>,
    /// Only this table; may be given more than once. On PostgreSQL also SCHEMA.TABLE
    #[arg(long = "table", value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// Only the rows for which this SQL is true; needs one --table
    #[arg(long = "where", value_name = "SQL", requires = "tables")]
    pub(crate) filter: Option<String>,
    /// What the tables are, without their rows
    #[arg(long, conflicts_with = "data_only")]
    pub(crate) schema_only: bool,
    /// The rows, without what the tables are
    #[arg(long)]
    pub(crate) data_only: bool,
    /// Rows by primary key, to compare two exports; otherwise as they are stored, which is faster
    #[arg(long)]
    pub(crate) sorted: bool,
    /// PostgreSQL: the folder of pg_dump, which writes the schema [default: looked for]
    #[arg(long, value_name = "DIR")]
    pub(crate) pg_bin: Option<PathBuf>,
}

/// A form of an export.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// A script for `sqlite3` or `psql`
    Sql,
    /// One document with all tables
    Json,
    /// An object on each line
    Ndjson,
    /// Comma-separated values, a file for each table
    Csv,
}
