//! Throw-away PostgreSQL clusters: initialised, started, and gone with their folder when dropped,
//! also after a panic or `kill -9`.
//!
//! `cargo xtask test` gives all tests one. Tests that stop, pause or promote a server start their
//! own through `db-testkit`. It links no database library, so that `xtask` stays small.

mod account;
mod cluster;
mod find;
mod signal;
mod standby;
mod watchdog;

use std::process::{Command, Stdio};

pub use account::is_root;
pub use cluster::{Cluster, Host, Options, Stop};
pub use find::{Programs, find};
pub use signal::Frozen;

/// Why there is no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// With these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn context(self, text: &str) -> Self {
        Self(format!("{text}: {}", self.0))
    }
}

/// How programs are run: returns what they wrote to stdout, or an error that holds stderr.
pub type Run = fn(&mut Command) -> Result<String, Error>;

/// Runs a program to its end.
///
/// # Errors
/// If it cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| {
        Error::new(format!(
            "cannot run {}: {e}",
            command.get_program().display()
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!(
        "{} failed ({}): {}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    )))
}
