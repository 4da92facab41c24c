//! A PostgreSQL server of one test's own, to be stopped, frozen, copied or promoted.

use std::process::Command;

use db_testserver::{Cluster, Host, Options};

/// Starts a server that belongs to this test, with further lines for `postgresql.conf`. It is gone
/// when it is dropped.
///
/// # Panics
/// If this machine has no server programs. `cargo xtask test` installs them where it can.
#[must_use]
#[track_caller]
pub fn cluster(settings: &[(&str, &str)]) -> Cluster {
    started(Options::default(), settings)
}

/// Like [`cluster`], but its commits wait for the disk, for tests that kill it.
///
/// # Panics
/// As [`cluster`] does.
#[must_use]
#[track_caller]
pub fn durable_cluster(settings: &[(&str, &str)]) -> Cluster {
    let options = Options {
        durable: true,
        ..Options::default()
    };
    started(options, settings)
}

/// Like [`cluster`], but its pages have checksums, for tests that damage them.
///
/// # Panics
/// As [`cluster`] does.
#[must_use]
#[track_caller]
pub fn checksummed_cluster(settings: &[(&str, &str)]) -> Cluster {
    let options = Options {
        checksums: true,
        ..Options::default()
    };
    started(options, settings)
}

/// The account that owns a restored server's files and runs it, where the test runs as root. Its programs refuse
/// root; who is somebody else needs none.
///
/// # Panics
/// If it cannot be told who runs the test.
#[must_use]
#[track_caller]
pub fn server_account() -> Option<String> {
    let is_root = db_testserver::is_root(db_testserver::run);
    let is_root = is_root.unwrap_or_else(|error| panic!("who runs this test? {error}"));
    let has_postgres = db_testserver::run(Command::new("id").arg("postgres")).is_ok();
    is_root.then(|| if has_postgres { "postgres" } else { "nobody" }.to_owned())
}

#[track_caller]
fn started(mut options: Options, settings: &[(&str, &str)]) -> Cluster {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    options.settings = settings.iter().map(owned).collect();
    let host = match Host::find(db_testserver::run) {
        Ok(Some(host)) => host,
        Ok(None) => panic!("this test starts a PostgreSQL server, and finds no initdb and pg_ctl"),
        Err(error) => panic!("this test cannot start a PostgreSQL server: {error}"),
    };
    Cluster::start(&host, &options)
        .unwrap_or_else(|error| panic!("this test cannot start a PostgreSQL server: {error}"))
}
