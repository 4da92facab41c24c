//! Developer commands: `cargo xtask <verb>`. One module per verb.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod bench;
mod ci;
mod dist;
mod layout;
mod migration;
mod process;
mod schema;
mod server;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// A new verb: a module above, a variant here, an arm in [`run`].
#[derive(Subcommand)]
enum Verb {
    /// Make the four files of a new migration
    #[command(subcommand)]
    Migration(migration::Command),
    /// Compare or renew the schema snapshots, or generate the `table!` code
    Schema {
        /// What to do
        #[arg(value_enum)]
        action: schema::Action,
    },
    /// Check edges, licences, sources, folders: all that a compiler does not
    Tidy,
    /// Run the tests, with a throw-away PostgreSQL server
    Test(test::Arguments),
    /// Measure an area against its bars and its peers
    Bench(bench::Arguments),
    /// Build the program for others: an archive and a Debian package
    Dist(dist::Arguments),
    /// Record which code of the program usual runs use, so that it is linked side by side
    Layout,
    /// Everything that must hold before a merge
    Ci,
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Migration(command) => migration::run(command),
        Verb::Schema { action } => schema::run(action),
        Verb::Tidy => tidy::run(),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Dist(arguments) => dist::run(&arguments),
        Verb::Layout => layout::run(),
        Verb::Ci => ci::run(),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = process::catch_interrupts().and_then(|()| run(cli.verb));
    if let Some(signal) = process::interrupted() {
        eprintln!("interrupted");
        return ExitCode::from(128 + signal);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
