//! The arguments of `schema`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Schema {
    #[command(subcommand)]
    pub(crate) command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Show tables with their columns, keys, checks, indexes and triggers
    #[command(before_help = "Examples:
  bitcraps-db schema show                              all tables
  bitcraps-db schema show users bets
  bitcraps-db schema show --json | jq -r '.tables[].name'")]
    Show(SchemaShow),
    /// Draw the tables and how they refer to one another
    #[command(before_help = "Examples:
  bitcraps-db schema diagram > schema.mmd              for GitHub and other readers of Mermaid
  bitcraps-db schema diagram --format dot | dot -Tpdf > schema.pdf
  bitcraps-db schema diagram --format svg users bets games > bets.svg")]
    Diagram(SchemaDiagram),
    /// Compare the schemas of two databases, of one engine or of both; exit 5 if they differ
    #[command(before_help = "Examples:
  bitcraps-db schema diff data/bitcraps.db restored.db
  bitcraps-db schema diff sqlite://data/bitcraps.db postgres://bitcraps@db/bitcraps")]
    Diff(SchemaDiff),
}

#[derive(Debug, Args)]
pub(crate) struct SchemaShow {
    /// These tables only [default: all]
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaDiagram {
    /// These tables only [default: all]
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// In which language
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub(crate) format: DiagramFormat,
}

/// A language for diagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiagramFormat {
    /// Mermaid, which GitHub shows as a picture.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaDiff {
    /// The schema as it should be
    #[arg(value_name = "URL_A")]
    pub(crate) first: String,
    /// The schema that is held against it
    #[arg(value_name = "URL_B")]
    pub(crate) second: String,
}
