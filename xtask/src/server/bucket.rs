//! An S3-compatible server for tests: moto, from the Python index, in a folder below `target/`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::install;
use crate::{process, workspace};

/// The environment variable that names a server for tests.
pub(crate) const BUCKET_VARIABLE: &str = "BITCRAPS_TEST_S3_URL";

/// What is installed; the folder has it in its name, so that another version is another folder.
const MOTO: &str = "5.2.5";

/// Starts the server; it ends with its standard input.
const SCRIPT: &str = include_str!("bucket.py");

/// What to do, for those whom we cannot help.
const ADVICE: &str = "the S3-compatible server for tests cannot be had. It needs Python 3.9 or \
     newer with `venv` (Debian and Ubuntu: `apt-get install python3-venv`) and PyPI; or name a \
     running one, with the buckets `bitcraps` and `forbidden`: \
     BITCRAPS_TEST_S3_URL=http://KEY:SECRET@127.0.0.1:PORT";

/// A server to work with; one that we started ends when this is dropped.
pub(crate) enum Bucket {
    /// Named by the environment, and not ours to stop.
    Foreign(String),
    /// Started here.
    Own { child: Child, url: String },
}

impl Bucket {
    /// Where it is, with key and secret.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Foreign(url) | Self::Own { url, .. } => url,
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Self::Own { child, .. } = self {
            drop(child.stdin.take());
            // It holds nothing that is worth an orderly end.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The server that the environment names, or one that is started, and installed if need be.
pub(crate) fn provide() -> Result<Bucket> {
    match std::env::var(BUCKET_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(Bucket::Foreign(url)),
        _ => start(&python()?),
    }
}

fn start(python: &Path) -> Result<Bucket> {
    // It lives as long as we hold its standard input, also if we are killed.
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let mut url = String::new();
    let read = match child.stdout.take() {
        Some(out) => BufReader::new(out).read_line(&mut url),
        None => Ok(0),
    };
    let bucket = Bucket::Own {
        child,
        url: url.trim().to_owned(),
    };
    if read.is_err() || !bucket.url().starts_with("http://") {
        bail!("the S3-compatible server for tests did not start");
    }
    Ok(bucket)
}

/// The interpreter of an environment that has moto.
fn python() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace::root().join("target"), PathBuf::from);
    let folder = target.join(format!("moto-{MOTO}"));
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    if ready.is_file() && python.is_file() {
        return Ok(python);
    }
    eprintln!("installing moto {MOTO} into {}", folder.display());
    let venv = || {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        process::output(&mut venv)
    };
    if let Err(error) = venv() {
        // Debian's Python comes without it.
        if !install::is_possible()? {
            return Err(error.context(ADVICE));
        }
        eprintln!("no Python that can make an environment: installing Debian's `python3-venv`");
        install::package("python3-venv").context(ADVICE)?;
        venv().context(ADVICE)?;
    }
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    process::output(pip.arg(format!("moto[server]=={MOTO}"))).context(ADVICE)?;
    // Written last: an installation that was interrupted begins anew.
    std::fs::write(&ready, "").with_context(|| format!("cannot write {}", ready.display()))?;
    Ok(python)
}
