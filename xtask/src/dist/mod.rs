//! `cargo xtask dist`: the program as people install it, an archive and a Debian package.
//!
//! The program brings SQLite, libpq, OpenSSL and zstd along, so that it runs on any Linux with a C library
//! as new as the one it was built with. What it asks of the system is read from the file itself, and
//! anything else than the C library is an error.

mod debian;
mod needs;
mod notices;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{process, workspace};
use needs::Needs;

const NAME: &str = "bitcraps-db";

/// The licences of what is compiled in.
const NOTICES: &str = "THIRD-PARTY.txt";

/// What goes into the archive beside the program.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Arguments of `cargo xtask dist`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Build with SQLCipher, for encrypted SQLite files
    #[arg(long)]
    sqlcipher: bool,
    /// Pack this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the results go [default: `dist` in Cargo's target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// What is packed.
pub(crate) struct Release {
    program: PathBuf,
    version: String,
    /// `x86_64`, as Rust says it.
    architecture: &'static str,
    needs: Needs,
    notices: String,
    /// Manual pages and completions, made by the program itself.
    extras: tempfile::TempDir,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let target = workspace::target()?;
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => workspace::release(arguments.sqlcipher)?,
    };
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| target.join("dist"));
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let release = Release::of(program)?;
    let archive = release.archive(&output)?;
    let package = debian::package(&release, &output)?;
    debian::try_out(&package)?;
    try_out(&archive)?;
    let mut made = vec![archive, package];
    made.push(sums(&made, &output)?);
    println!("asks of the system: {}", release.needs);
    for path in made {
        let size = fs::metadata(&path)?.len();
        println!("{} ({:.1} MiB)", path.display(), mebibytes(size));
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

impl Release {
    fn of(program: PathBuf) -> Result<Self> {
        let needs = Needs::of(&program)?;
        let said = process::output(Command::new(&program).arg("-V"))?;
        let whole = process::output(Command::new(&program).arg("--version"))?;
        let notices = notices::collect(whole.contains("(SQLCipher)"))?;
        let version = said
            .trim()
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let extras = tempfile::tempdir()?;
        let man = extras.path().join("man");
        let mut pages = Command::new(&program);
        pages.env("SOURCE_DATE_EPOCH", commit_time()?);
        process::output(pages.args(["man", "--dir"]).arg(&man))?;
        for shell in ["bash", "zsh", "fish"] {
            let script = process::output(Command::new(&program).args(["completions", shell]))?;
            fs::write(extras.path().join(shell), script)?;
        }
        Ok(Self {
            program,
            version,
            architecture: std::env::consts::ARCH,
            needs,
            notices,
            extras,
        })
    }

    /// One folder with the program, its manual, completions, documents, units and rules.
    fn archive(&self, output: &Path) -> Result<PathBuf> {
        let name = format!("{NAME}-{}-{}-linux-gnu", self.version, self.architecture);
        let stage = tempfile::tempdir()?;
        let root = stage.path().join(&name);
        install(&self.program, &root.join("bin").join(NAME), 0o755)?;
        self.lay_out(&root.join("share"))?;
        copy_folder(
            &workspace::root().join("packaging"),
            &root.join("packaging"),
        )?;
        copy_folder(&workspace::root().join("docs"), &root.join("docs"))?;
        fs::write(root.join(NOTICES), &self.notices)?;
        for document in DOCUMENTS {
            install(
                &workspace::root().join(document),
                &root.join(document),
                0o644,
            )?;
        }
        let path = output.join(format!("{name}.tar.gz"));
        let mut command = Command::new("tar");
        command
            .args([
                "--create",
                "--gzip",
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
            ])
            .arg(format!("--mtime=@{}", commit_time()?))
            .arg("--file")
            .arg(&path)
            .arg("--directory")
            .arg(stage.path())
            .arg(&name);
        process::output(&mut command)?;
        Ok(path)
    }

    /// Manual pages and completions, where a `share` folder has them.
    fn lay_out(&self, share: &Path) -> Result<()> {
        copy_folder(&self.extras.path().join("man"), &share.join("man/man1"))?;
        for (shell, place) in [
            ("bash", "bash-completion/completions/bitcraps-db"),
            ("zsh", "zsh/vendor-completions/_bitcraps-db"),
            ("fish", "fish/vendor_completions.d/bitcraps-db.fish"),
        ] {
            install(&self.extras.path().join(shell), &share.join(place), 0o644)?;
        }
        Ok(())
    }
}

/// Looks into the archive: what a person expects is there, and the program is for all to run.
fn try_out(archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    let list = process::output(
        command
            .arg("--list")
            .arg("--verbose")
            .arg("--file")
            .arg(archive),
    )?;
    for (mode, name) in [
        ("-rwxr-xr-x", "bin/bitcraps-db"),
        ("-rw-r--r--", "README.md"),
        ("-rw-r--r--", "LICENSE-MIT"),
        ("-rw-r--r--", NOTICES),
        ("-rw-r--r--", "docs/operations.md"),
        ("-rw-r--r--", "docs/json/error.schema.json"),
        ("-rw-r--r--", "share/man/man1/bitcraps-db-migrate.1"),
        ("-rw-r--r--", "share/zsh/vendor-completions/_bitcraps-db"),
        ("-rw-r--r--", "packaging/systemd/bitcraps-db-backup.timer"),
    ] {
        let ending = format!("/{name}");
        let is_there = |line: &str| line.starts_with(mode) && line.ends_with(&ending);
        if !list.lines().any(is_there) {
            bail!("{name} is not in {}, or not as {mode}", archive.display());
        }
    }
    Ok(())
}

/// Copies a file, and makes the folders above it.
fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "no database: a program, a page, a unit"
    )]
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            install(&path, &target, 0o644)?;
        }
    }
    Ok(())
}

/// When the last commit was made, in seconds since 1970: the same sources give the same packages.
fn commit_time() -> Result<String> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let mut command = Command::new("git");
    command
        .current_dir(workspace::root())
        .args(["log", "-1", "--format=%ct"]);
    Ok(process::output(&mut command)?.trim().to_owned())
}

fn sums(made: &[PathBuf], output: &Path) -> Result<PathBuf> {
    let mut command = Command::new("sha256sum");
    command.current_dir(output);
    for path in made {
        command.arg(path.file_name().unwrap_or(path.as_os_str()));
    }
    let path = output.join("SHA256SUMS");
    fs::write(&path, process::output(&mut command)?)?;
    Ok(path)
}
