//! A PostgreSQL server for tests, schema checks and benchmarks.
//!
//! [`provide`] is what a verb calls: it takes the server that the environment names, or finds
//! the server programs (or installs them, as root on Debian) and has `db-testserver` start a
//! throw-away cluster.

pub(crate) mod bucket;
mod install;

pub(crate) use db_testserver::{Cluster, Options};

use std::process::Command;

use anyhow::{Context, Result};
use db_testserver::{Error, Host};

use crate::process;
use install::install;

/// The environment variable that names a server for tests, as a superuser's URL.
pub(crate) const SERVER_VARIABLE: &str = "BITCRAPS_TEST_POSTGRES_URL";

/// A server to work with; one that we started ends when this is dropped.
pub(crate) enum Server {
    /// Named by the environment, and not ours to stop.
    Foreign(String),
    /// Started here.
    Own(Cluster),
}

impl Server {
    /// A superuser's URL.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Foreign(url) => url.clone(),
            Self::Own(cluster) => cluster.url(),
        }
    }
}

/// The server that the environment names, or a throw-away cluster for tests.
pub(crate) fn provide() -> Result<Server> {
    provide_with(&Options::default())
}

/// The server that the environment names, or a throw-away cluster with these options.
pub(crate) fn provide_with(options: &Options) -> Result<Server> {
    match std::env::var(SERVER_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(Server::Foreign(url)),
        _ => Ok(Server::Own(Cluster::start(&host()?, options)?)),
    }
}

/// The server programs of this machine, installed if they can be.
fn host() -> Result<Host> {
    if let Some(host) = Host::find(run)? {
        return Ok(host);
    }
    install()?;
    Host::find(run)?.context("the package was installed, but no server programs were found")
}

/// Programs that tests use beside the server, and their packages: what makes calls fail, those that read our
/// completions and manual pages, and what the runbook starts its timer with.
const TOOLS: [(&str, &str); 6] = [
    ("strace", "strace"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("mandoc", "mandoc"),
    ("groff", "groff"),
    ("systemctl", "systemd"),
];

/// Installs them where that is possible. Elsewhere the tests that need one fail, and say what to install.
pub(crate) fn tools() -> Result<()> {
    for (tool, package) in TOOLS {
        let mut find = Command::new("sh");
        find.args(["-c", "command -v \"$0\"", tool]);
        if !process::succeeds(&mut find) && install::is_possible()? {
            eprintln!("no {tool} found: installing Debian's package");
            install::package(package)?;
        }
    }
    Ok(())
}

/// Programs end with us, as all our children do.
fn run(command: &mut Command) -> Result<String, Error> {
    process::output(command).map_err(|error| Error::new(format!("{error:#}")))
}
