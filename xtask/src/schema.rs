//! `cargo xtask schema`: the schema checks, which live where Diesel may be linked.

use anyhow::Result;
use clap::ValueEnum;

use crate::server::{self, SERVER_VARIABLE};
use crate::{process, workspace};

/// What to do with the schema.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Action {
    /// Renew the committed snapshots from the migrations
    Snapshot,
    /// Compare snapshots, both engines and the `table!` code with what the migrations build
    Check,
    /// Write the `table!` code from PostgreSQL's catalog
    Generate,
}

pub(crate) fn run(action: Action) -> Result<()> {
    let server = server::provide()?;
    let verb = match action {
        Action::Snapshot => "snapshot",
        Action::Check => "check",
        Action::Generate => "generate",
    };
    process::run(
        workspace::cargo()
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package",
                "db-testkit",
                "--bin",
                "schema",
                "--",
            ])
            .arg(verb)
            .env(SERVER_VARIABLE, server.url()),
    )
}
