//! Compiles a folder of migrations into a program.
//!
//! A build script names the folder:
//!
//! ```no_run
//! // build.rs
//! # #[expect(clippy::needless_doctest_main, reason = "a build script is a main function")]
//! fn main() {
//!     db_migrate_build::embed("migrations");
//! }
//! ```
//!
//! and the crate takes in what it wrote:
//!
//! ```text
//! include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
//!
//! let migrator = Migrator::new(Source::embedded(SQLITE, POSTGRES));
//! ```
//!
//! A folder that holds `sqlite/` and `postgres/` becomes the statics `SQLITE` and `POSTGRES`
//! (one of them, if it holds one); any other folder is read as Diesel reads it and becomes
//! `MIGRATIONS`. Each is a list of `(folder name, [(file name, text)])` in the order of the
//! names, with `up.sql`, and `down.sql` and `metadata.toml` where they exist.
//!
//! The program is rebuilt when a file is changed, added or removed (docs/adr/0013). What cannot
//! be read fails the build: a missing folder, a migration without `up.sql`, a file that is not
//! UTF-8. What is wrong *inside* the files is for the migrator to say, which reads folders and
//! compiled-in text by the same rules.

mod folder;
mod write;

use std::path::{Path, PathBuf};
use std::{env, fs};

use folder::Found;

/// The file in `OUT_DIR` that holds the statics.
const OUTPUT: &str = "migrations.rs";

/// Writes `$OUT_DIR/migrations.rs` from a folder and tells Cargo when to do so again.
///
/// `folder` is relative to the package, as a build script sees it. To be called from a build
/// script. If the folder cannot be read, Cargo is told why and the build fails.
pub fn embed(folder: impl AsRef<Path>) {
    if let Err(reason) = try_embed(folder.as_ref()) {
        // One directive is one line.
        say(&format!("error={}", reason.replace(['\r', '\n'], " ")));
    }
}

fn try_embed(folder: &Path) -> Result<(), String> {
    let root = variable("CARGO_MANIFEST_DIR")?.join(folder);
    let output = variable("OUT_DIR")?.join(OUTPUT);
    let mut found = Found::default();
    let read = folder::read(&root, &mut found);
    // Before an error leaves: the build must be tried again when the folder has been mended.
    for path in &found.watched {
        watch(path)?;
    }
    read?;
    fs::write(&output, write::rust(&found.sets)?)
        .map_err(|error| format!("cannot write {}: {error}", output.display()))
}

/// A variable that Cargo sets for build scripts.
fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is not set: call embed from a build script"))
}

fn watch(path: &Path) -> Result<(), String> {
    say(&format!("rerun-if-changed={}", folder::text(path)?));
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "a build script talks to Cargo on standard output"
)]
fn say(directive: &str) {
    println!("cargo::{directive}");
}
