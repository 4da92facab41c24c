//! A PostgreSQL server for tests, schema checks and benchmarks.
//!
//! [`provide`] is what a verb calls: it takes the server that the environment names, or finds
//! the server programs (or installs them, as root on Debian) and starts a throw-away cluster.

mod account;
mod cluster;
mod find;
mod install;
mod watchdog;

pub(crate) use cluster::{Cluster, Options};

use anyhow::Result;

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
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Foreign(url) => url,
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
        _ => Ok(Server::Own(Cluster::start(options)?)),
    }
}
