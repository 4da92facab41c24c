//! `schema snapshot`: takes what the migrations build for the committed snapshots.

use std::process::Command;

/// insta's word for writing what a test has seen over what it expected.
const ACCEPT: (&str, &str) = ("INSTA_UPDATE", "always");

pub(crate) fn run() -> Result<(), String> {
    // insta writes its files from tests, so the tests are run. Cargo sets CARGO for programs
    // that it runs.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--locked", "--package", "db-testkit"])
        .args(["--test", "it", "--", "snapshot::"])
        .env(ACCEPT.0, ACCEPT.1)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() {
        println!("the snapshots are renewed; read the difference before you commit it");
        Ok(())
    } else {
        Err("the snapshots could not be renewed".to_owned())
    }
}
