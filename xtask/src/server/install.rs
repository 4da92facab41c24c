//! Installs servers from Debian's packages, where we are root and that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Debian's package starts a cluster of its own unless a file here says otherwise.
const SETTINGS: &str = "/etc/postgresql-common/createcluster.d";

/// What to do, for those whom we cannot help.
const ADVICE: &str = "no PostgreSQL server (13 or newer) was found. Install one \
     (Debian and Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; \
     macOS: `brew install postgresql`), or name a running one: \
     BITCRAPS_TEST_POSTGRES_URL=postgres://superuser:password@host/postgres. \
     `cargo xtask test sqlite` runs the half that needs no server";

/// Installs the server programs, or says how to.
pub(crate) fn install() -> Result<()> {
    if !is_possible()? {
        bail!(ADVICE);
    }
    eprintln!("no PostgreSQL server found: installing Debian's package `postgresql`");
    let _no_cluster = NoCluster::announce()?;
    package("postgresql").context(ADVICE)
}

/// Whether packages of Debian can be installed here.
pub(super) fn is_possible() -> Result<bool> {
    Ok(db_testserver::is_root(super::run)?
        && process::succeeds(Command::new("apt-get").arg("--version")))
}

/// Installs one package.
pub(super) fn package(name: &str) -> Result<()> {
    // A machine without lists knows no package at all.
    process::run(apt().args(["update", "--quiet"]))?;
    process::run(apt().args([
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
        name,
    ]))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // A machine that has just started may be updating itself.
    command.args(["-o", "DPkg::Lock::Timeout=120"]);
    command
}

/// Keeps the package from making a cluster that nobody asked for, while it is installed.
struct NoCluster {
    file: std::path::PathBuf,
}

impl NoCluster {
    fn announce() -> Result<Self> {
        let file = Path::new(SETTINGS).join("bitcraps-no-cluster.conf");
        std::fs::create_dir_all(SETTINGS)
            .and_then(|()| std::fs::write(&file, "create_main_cluster = false\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file })
    }
}

impl Drop for NoCluster {
    fn drop(&mut self) {
        // The setting was ours; whoever installs a further version decides anew.
        drop(std::fs::remove_file(&self.file));
    }
}
