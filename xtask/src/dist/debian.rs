//! The Debian package: laid out by us, packed and unpacked by Debian's own `dpkg-deb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use chrono::DateTime;

use super::{NAME, NOTICES, Release, commit_time, copy_folder, install};
use crate::{process, workspace};

/// Where the units expect the program when it was installed by hand.
const BY_HAND: &str = "/usr/local/bin/";

const HOMEPAGE: &str = env!("CARGO_PKG_REPOSITORY");

/// Who answers for the package.
const MAINTAINER: &str = "BitCraps <noreply@bitcraps.invalid>";

/// What Debian's `lintian` would say, and we mean.
const OVERRIDES: &str = "\
# The names of functions are for the backtraces of a program that has failed.
bitcraps-db: unstripped-binary-or-object [usr/bin/bitcraps-db]
# A fixed address is faster: docs/adr/0032-a-fixed-address.md.
bitcraps-db: hardening-no-pie [usr/bin/bitcraps-db]
# It is not uploaded to Debian.
bitcraps-db: initial-upload-closes-no-bugs *
";

/// Packs a release. Nothing in it runs when it is installed; the units wait to be enabled.
pub(super) fn package(release: &Release, output: &Path) -> Result<PathBuf> {
    let stage = tempfile::tempdir()?;
    // A temporary folder is for its owner only; what is unpacked as `/` is not.
    let root = stage.path().join("root");
    install(&release.program, &root.join("usr/bin").join(NAME), 0o755)?;
    release.lay_out(&root.join("usr/share"))?;
    compress(&root.join("usr/share/man/man1"))?;
    units(&root.join("usr/lib/systemd/system"))?;
    let overrides = root.join("usr/share/lintian/overrides");
    fs::create_dir_all(&overrides)?;
    fs::write(overrides.join(NAME), OVERRIDES)?;
    documents(release, &root.join("usr/share/doc").join(NAME))?;
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))
        .context("the Debian package is made on Debian, with dpkg")?;
    let architecture = architecture.trim();
    let control = root.join("DEBIAN/control");
    fs::create_dir_all(root.join("DEBIAN"))?;
    fs::write(
        &control,
        control_file(release, architecture, size_of(&root)?),
    )?;
    let version = debian_version(release);
    let path = output.join(format!("{NAME}_{version}_{architecture}.deb"));
    let mut command = Command::new("dpkg-deb");
    command
        .env("SOURCE_DATE_EPOCH", commit_time()?)
        .args(["--root-owner-group", "--build"])
        .arg(&root)
        .arg(&path);
    process::output(&mut command)?;
    Ok(path)
}

/// Debian's number for the way it is packed stands behind our own.
fn debian_version(release: &Release) -> String {
    format!("{}-1", release.version)
}

fn control_file(release: &Release, architecture: &str, bytes: u64) -> String {
    let (major, minor) = release.needs.glibc;
    let version = debian_version(release);
    format!(
        "Package: {NAME}\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {}\n\
         Depends: libc6 (>= {major}.{minor}), libgcc-s1\n\
         Suggests: postgresql-client\n\
         Section: database\n\
         Priority: optional\n\
         Homepage: {HOMEPAGE}\n\
         Description: migrations, backups, health and data of BitCraps databases\n \
         One schema on SQLite and PostgreSQL: applies and rehearses migrations, makes\n \
         and proves backups, checks health, and moves data in, out, and between the\n \
         engines.\n",
        bytes.div_ceil(1_024),
    )
}

/// The units, with the program where the package puts it.
fn units(folder: &Path) -> Result<()> {
    copy_folder(&workspace::root().join("packaging/systemd"), folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.replace(BY_HAND, "/usr/bin/"))?;
    }
    Ok(())
}

fn documents(release: &Release, folder: &Path) -> Result<()> {
    let root = workspace::root();
    copy_folder(&root.join("docs"), &folder.join("docs"))?;
    copy_folder(
        &root.join("packaging/prometheus"),
        &folder.join("prometheus"),
    )?;
    install(&root.join("README.md"), &folder.join("README.md"), 0o644)?;
    install(&root.join("CHANGELOG.md"), &folder.join("changelog"), 0o644)?;
    fs::write(
        folder.join("changelog.Debian"),
        changelog(&debian_version(release), &commit_time()?)?,
    )?;
    fs::write(folder.join(NOTICES), &release.notices)?;
    for document in ["changelog", "changelog.Debian", NOTICES] {
        compress_one(&folder.join(document))?;
    }
    let licence = fs::read_to_string(root.join("LICENSE-MIT"))?;
    fs::write(folder.join("copyright"), copyright(&licence))?;
    Ok(())
}

/// The changes of the package, which has none of its own.
fn changelog(version: &str, seconds: &str) -> Result<String> {
    let time = seconds
        .parse()
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let time = time
        .with_context(|| format!("{seconds} is no time"))?
        .to_rfc2822();
    Ok(format!(
        "{NAME} ({version}) unstable; urgency=medium\n\n  * As changelog.gz says.\n\n -- {MAINTAINER}  {time}\n"
    ))
}

/// Our licences in the form that Debian reads by machine; what is compiled in has a file of its own.
fn copyright(mit: &str) -> String {
    let (owner, permission) = mit.split_once("\n\n").unwrap_or(("", mit));
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: {NAME}\n\
         Source: {HOMEPAGE}\n\
         Comment: the libraries that are compiled into the program, and their licences, are in\n \
         /usr/share/doc/{NAME}/{NOTICES}.gz\n\n\
         Files: *\n\
         Copyright: {}\n\
         License: Expat or Apache-2.0\n\n\
         License: Apache-2.0\n \
         On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n\n\
         License: Expat\n",
        owner.trim_start_matches("Copyright (c) "),
    );
    for line in permission.lines() {
        let line = if line.is_empty() { "." } else { line };
        text.extend([" ", line, "\n"]);
    }
    text
}

fn compress(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        compress_one(&entry?.path())?;
    }
    Ok(())
}

/// Without name and time in it, so that the same page gives the same file.
fn compress_one(path: &Path) -> Result<()> {
    process::output(Command::new("gzip").args(["--best", "--no-name"]).arg(path)).map(drop)
}

fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

/// Unpacks the package and uses the program in it: the schema into a new database, and its state.
pub(super) fn try_out(package: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    process::output(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(package)
            .arg(place.path()),
    )?;
    let program = place.path().join("usr/bin").join(NAME);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .current_dir(place.path())
            .env_clear()
            .args(arguments);
        process::output(&mut command)
    };
    run(&["--version"])?;
    run(&["--database-url", "trial.db", "migrate"])?;
    let status = run(&["--database-url", "trial.db", "status", "--check"])?;
    if !status.contains("0 pending") {
        bail!("the packed program left migrations pending: {status}");
    }
    for page in [
        "usr/share/man/man1/bitcraps-db.1.gz",
        "usr/lib/systemd/system/bitcraps-db-schedule.service",
        "usr/share/bash-completion/completions/bitcraps-db",
        "usr/share/doc/bitcraps-db/THIRD-PARTY.txt.gz",
        "usr/share/doc/bitcraps-db/docs/json/error.schema.json",
    ] {
        if !place.path().join(page).is_file() {
            bail!("{page} is not in {}", package.display());
        }
    }
    Ok(())
}
