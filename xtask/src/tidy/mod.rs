//! `cargo xtask tidy`: what a compiler does not check.
//!
//! Each check is a function from what it looks at to findings, so that its tests can show it
//! cases that must fail. A finding names the file and the cure.

mod edges;
mod externals;
mod findings;
mod folders;
mod licences;
mod metadata;
mod peers;
mod sources;
mod text;

use anyhow::{Result, bail};

use crate::workspace;
use findings::Findings;
use metadata::Metadata;

pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let metadata = Metadata::read()?;
    let files = sources::read(&root)?;

    let mut findings = Findings::default();
    edges::check(&metadata, &mut findings);
    externals::check(&metadata, &mut findings);
    licences::check(&metadata, &mut findings);
    for file in &files {
        sources::check(file, &mut findings);
        text::check(file, &mut findings);
    }
    folders::check(&files, &mut findings);
    peers::check(&files, &mut findings);

    findings.print();
    let failures = findings.failures();
    if failures > 0 {
        bail!("tidy found {failures} thing(s) to mend");
    }
    println!(
        "tidy: {} packages and {} files, nothing to mend",
        metadata.packages.len(),
        files.len()
    );
    Ok(())
}
