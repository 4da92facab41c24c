//! The arguments of `copy`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Copy {
    /// Where from [default: the database of --database-url and the configuration]
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Where to: an empty PostgreSQL database, or a SQLite file that is not there yet, or --replace
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Hold writers of the source off until the proof is done; how long is said beforehand
    #[arg(long)]
    pub(crate) lock_source: bool,
    /// This table only; may be given more than once
    #[arg(long = "table", value_name = "T")]
    pub(crate) tables: Vec<String>,
    /// Make the tables from the source's catalog, although it has a history of migrations
    #[arg(long)]
    pub(crate) from_catalog: bool,
    /// A NUL character in a text, which PostgreSQL cannot hold
    #[arg(long, value_name = "WHAT", value_enum, default_value = "refuse")]
    pub(crate) on_nul: OnNul,
    /// A text that is not UTF-8, which PostgreSQL cannot hold
    #[arg(long, value_name = "WHAT", value_enum, default_value = "refuse")]
    pub(crate) on_invalid_utf8: OnInvalidUtf8,
    /// NaN, for which SQLite stores NULL
    #[arg(long, value_name = "WHAT", value_enum, default_value = "refuse")]
    pub(crate) on_nan: OnNan,
    /// Look at every value and say what would not fit; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Undo first what a copy that was killed has left in the PostgreSQL database
    #[arg(long)]
    pub(crate) undo: bool,
    /// Replace a target that is not empty, when the copy is proven; the old one is kept under another name
    #[arg(long, conflicts_with = "undo")]
    pub(crate) replace: bool,
    /// Do not ask for the name of the database that --replace moves aside
    #[arg(long, requires = "replace")]
    pub(crate) force: bool,
    /// How many values that do not fit are named; all are counted
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) limit: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnNul {
    /// Copy nothing, and name the values
    Refuse,
    /// Leave the character out
    Strip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnInvalidUtf8 {
    /// Copy nothing, and name the values
    Refuse,
    /// Put U+FFFD in the place of what cannot be read
    Replace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnNan {
    /// Copy nothing, and name the values
    Refuse,
    /// Store NULL
    Null,
}
