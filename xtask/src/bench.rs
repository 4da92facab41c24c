//! `cargo xtask bench AREA`: builds the bench and gives it a PostgreSQL server.
//!
//! The bench is a package of its own: it links the database crates, C libraries and all, which
//! every other verb here is spared.

use anyhow::Result;
use clap::Args;

use crate::server::{self, Options, SERVER_VARIABLE, Server};
use crate::{process, workspace};

/// What the bench is told; `cargo xtask bench --help` lists it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// The area, `--quick`, `--check`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "AREA"
    )]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = workspace::cargo();
    command
        .args([
            "run",
            "--locked",
            "--quiet",
            "--release",
            "--package",
            "bench",
            "--",
        ])
        .args(&arguments.rest);
    let server = server(&arguments.rest)?;
    if let Some(server) = &server {
        command.env(SERVER_VARIABLE, server.url());
    }
    process::run(&mut command)
}

/// A durable server: what a commit costs is a part of what is measured.
fn server(rest: &[String]) -> Result<Option<Server>> {
    let asks = |word: &str| matches!(word, "-h" | "--help" | "--postgres");
    if rest.is_empty() || rest.iter().any(|word| asks(word)) {
        return Ok(None);
    }
    server::provide_with(&Options {
        durable: true,
        ..Options::default()
    })
    .map(Some)
}
