//! The `folders` area: migration folders of public projects, run by ours and by diesel_cli.
//!
//! The folders come out of packages on crates.io. `cargo info` downloads, verifies and unpacks
//! one package without its dependencies; nothing of it is compiled, and nothing of it is kept in
//! this repository. Most of these projects never ran their way back: their `down.sql` fail, or
//! are empty, and what each tool makes of that is shown too.

mod compare;
mod packages;

use anyhow::{Result, ensure};
use db_core::Engine;

use super::metrics::Metrics;
use super::paths::Paths;
use super::report::Section;
use super::tools::Tool;
use super::{Args, Outcome, peers};
use compare::{Comparison, Findings};
use packages::{FOLDERS, Folder};

/// Compares all folders.
///
/// # Errors
/// If a package cannot be had, or one of the two programs is missing.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let scratch = paths.scratch()?;
    let programs = peers::programs(paths, args.program.as_deref(), &[Tool::Diesel])?;
    ensure!(programs.len() == 2, "two programs are needed to compare");
    let server = args.server();
    let comparison = Comparison {
        programs: &programs,
        scratch: scratch.path(),
        server,
    };
    let mut metrics = Metrics::default();
    let mut rows = Vec::new();
    for folder in &FOLDERS {
        if folder.engine == Engine::Postgres && comparison.server.is_none() {
            eprintln!(
                "{}, PostgreSQL is left out: no server was given",
                folder.package
            );
            continue;
        }
        eprintln!("{} {}, {}", folder.package, folder.version, folder.engine);
        let findings = comparison.compare(folder)?;
        for (metric, found) in [
            ("different", findings.difference.is_some()),
            ("stuck", findings.handover.is_some()),
        ] {
            let metric = format!("{}.folders.{metric}", folder.engine.name());
            metrics.add(&metric, Tool::Ours.key(), f64::from(u8::from(found)));
        }
        rows.push(row(folder, findings));
    }

    let head = vec![
        "package",
        "licence",
        "engine",
        "migrations",
        "schema",
        "one goes on after the other",
        "left after our rollback to 0",
        "left after diesel_cli's",
    ];
    let text = "Each folder is run to its head by our program and by diesel_cli, and the two \
                catalogs are compared. Then each tool continues on the other's database, and \
                each rolls its own back as far as the project's `down.sql` allow."
        .to_owned();
    let title = "Migration folders of public projects".to_owned();
    Ok(Outcome {
        metrics,
        sections: vec![Section {
            title,
            text,
            head,
            rows,
        }],
        tools: peers::versions(&programs),
        partly: None,
    })
}

fn row(folder: &Folder, findings: Findings) -> Vec<String> {
    vec![
        format!("{} {}", folder.package, folder.version),
        folder.licence.to_owned(),
        folder.engine.to_string(),
        folder.migrations.to_string(),
        findings.difference.unwrap_or_else(|| "same".to_owned()),
        findings.handover.unwrap_or_else(|| "yes".to_owned()),
        findings.ours_back,
        findings.diesel_back,
    ]
}
