//! `schema snapshot|check|generate`: what `cargo xtask schema` runs, where Diesel may be linked.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's program that talks to its terminal"
)]

mod check;
mod generate;
mod snapshot;

use std::process::ExitCode;

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let done = match verb.as_str() {
        "check" => check::run(),
        "generate" => generate::run(),
        "snapshot" => snapshot::run(),
        _ => Err("say one of snapshot, check, generate".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
