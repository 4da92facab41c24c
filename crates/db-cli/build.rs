//! Links the program at a fixed address (docs/adr/0032), and what usual runs use of it side by side
//! (docs/adr/0051), where both are a plain choice of the linker.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The functions that usual runs use, a name a line, and an empty line between those of SQLite's runs and what
/// PostgreSQL's use beside them; `cargo xtask layout` writes it.
const USUAL: &str = "usual.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={USUAL}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let target = |key: &str| env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return Ok(());
    }
    println!("cargo::rustc-link-arg-bins=-no-pie");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && target("ARCH") == "x86_64" && is_usual_linker() {
        let script = PathBuf::from(env::var("OUT_DIR")?).join("usual.ld");
        let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
        fs::write(&script, order(&root.join(USUAL))?)?;
        // Not by `-Wl`, which parts a path at its commas.
        for word in ["-Xlinker", "-T", "-Xlinker"] {
            println!("cargo::rustc-link-arg-bins={word}");
        }
        println!("cargo::rustc-link-arg-bins={}", script.display());
    }
    Ok(())
}

/// Whether nobody chose another linker than Rust's or the system's, which both read scripts.
fn is_usual_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link")
}

/// A linker script that puts these functions before all others.
fn order(list: &Path) -> Result<String, Box<dyn Error>> {
    let names = fs::read_to_string(list).map_err(|e| format!("{}: {e}", list.display()))?;
    let mut script = String::from("SECTIONS {\n.text.usual : {\n");
    for group in names.split("\n\n") {
        script.push_str("*(\n");
        for name in group.lines() {
            // What is said to be cold, such as the growing of a table, is run all the same.
            writeln!(script, ".text.{name}\n.text.unlikely.{name}")?;
        }
        script.push_str(")\n");
    }
    script.push_str("}\n}\nINSERT BEFORE .text;\n");
    Ok(script)
}
