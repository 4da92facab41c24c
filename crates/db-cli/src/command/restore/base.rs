//! `restore` of a base backup of PostgreSQL: into a new data folder, to the moment that is wanted.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use db_backup::postgres::{RecoveryTarget, restore_base};
use db_backup::{Manifest, RestoreOptions, Store, Unchecked};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Restore;
use crate::command::Context;
use crate::command::backup::{Work, invariants};
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::text::Text;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    dir: String,
    name: String,
    kind: &'static str,
    sound: bool,
    target: PathBuf,
    last_commit: Option<DateTime<Utc>>,
    lsn: Option<String>,
    timeline: u32,
    wal_files: u64,
    content_bytes: u64,
    copy_ms: u64,
    recovery_ms: u64,
    verify_ms: u64,
    /// What else was found to be true of the data.
    invariants: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    /// What is wrong with them, and was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsound: Vec<String>,
    duration_ms: u64,
    start_with: String,
}

/// Refuses a point in time for what has none.
pub(super) fn refuse_targets(options: &Restore, manifest: &Manifest) -> Result<(), Error> {
    if target(options) == RecoveryTarget::End {
        return Ok(());
    }
    Err(Error::usage(
        format!(
            "{} is one moment of one database, and can be restored to no other",
            manifest.name
        ),
        "points in time need base backups (`backup --method base`) and the archived log",
    ))
}

pub(super) fn run(
    context: &Context<'_>,
    options: &Restore,
    (store, manifest): (&dyn Store, &Manifest),
    restore: RestoreOptions,
) -> Result<Code, Error> {
    let Some(folder) = options
        .target
        .as_deref()
        .filter(|text| !text.contains("://"))
    else {
        return Err(Error::usage(
            format!("{} is of a whole PostgreSQL server", manifest.name),
            "name a new data folder with --target",
        ));
    };
    let mut work = Work::begin(context)?;
    let restore = restore.with_interrupt(work.interrupt.clone());
    let place = (Path::new(folder), &target(options));
    let done = restore_base(store, manifest, place, &restore, &mut |p| work.phases.at(p));
    work.phases.finish();
    if let Err(db_backup::Error::Unsound { .. }) = &done {
        context
            .output
            .note("another moment (--at) may be sound; --accept-unsound takes this one as it is");
    }
    let done = done?;
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            name: done.name,
            kind: manifest.kind.name(),
            sound: done.unsound.is_empty(),
            target: done.folder,
            last_commit: done.last_commit,
            lsn: done.lsn,
            timeline: done.timeline,
            wal_files: done.wal_files,
            content_bytes: done.bytes,
            copy_ms: done.copy_ms,
            recovery_ms: done.recovery_ms,
            verify_ms: done.verify_ms,
            invariants: done.invariants.checked,
            unchecked: done.invariants.unchecked,
            unsound: done.unsound,
            duration_ms: done.total_ms,
            start_with: done.start_with,
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    let line = format!(
        "{} is restored from {}: {} and {} files of the log, in {} ms ({} ms of recovery)",
        done.folder.display(),
        done.name,
        show_size(done.bytes),
        done.wal_files,
        done.total_ms,
        done.recovery_ms
    );
    text.line(context.output.paint().text(&line, Style::Green));
    if !done.unsound.is_empty() {
        text.line(format!("NOT SOUND: {}", db_backup::brief(&done.unsound)));
    }
    invariants::tell(&done.invariants.unchecked, &mut text);
    if let Some(commit) = done.last_commit {
        text.line(format!(
            "its last transaction was committed at {}",
            commit.format("%Y-%m-%d %H:%M:%S%.6f UTC")
        ));
    }
    // The server refuses to come up before it has reached what was asked for.
    if let Some(at) = options.at {
        text.line(format!(
            "it has all that was committed until {}",
            at.format("%Y-%m-%d %H:%M:%S%.f UTC")
        ));
    }
    text.line(format!("start it with: {}", done.start_with));
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}

/// The moment that is wanted.
pub(super) fn target(options: &Restore) -> RecoveryTarget {
    if let Some(time) = options.at {
        RecoveryTarget::Time(time)
    } else if let Some(lsn) = options.lsn {
        RecoveryTarget::Lsn(lsn)
    } else if let Some(name) = &options.restore_point {
        RecoveryTarget::RestorePoint(name.clone())
    } else {
        RecoveryTarget::End
    }
}
