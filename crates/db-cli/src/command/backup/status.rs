//! `backup status`.

use std::time::Duration;

use chrono::SecondsFormat;
use db_backup::postgres::Gap;
use db_backup::{Kind, Listing, SeriesStatus, Status, Waiting};
use db_core::{Clock, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::{absent, shrank, store_here, waits};
use crate::args::BackupStatus;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::text::Text;
use db_core::duration::show;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'s> {
    dir: String,
    exit_code: u8,
    /// Files that are missing in the archived log, each with the last one behind it.
    log_gaps: Vec<LogGap>,
    /// Why that could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_error: Option<String>,
    #[serde(flatten)]
    status: &'s Status,
    waiting: &'s [Waiting],
}

#[derive(Debug, Serialize, JsonSchema)]
struct LogGap {
    missing: String,
    until: String,
}

pub(super) fn run(context: &Context<'_>, options: &BackupStatus) -> Result<Code, Error> {
    let file = context.file()?;
    let store = store_here(context, &options.place, &file.backup)?;
    let waiting = store.waiting();
    let listing = db_backup::list(&*store)?;
    let status = db_backup::status_of(&listing, SystemClock.now());
    // A log that cannot be judged does not hide what backups there are.
    let (gaps, log_error) = match db_backup::postgres::gaps(&*store, &listing) {
        Ok(gaps) => (gaps, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let code = if !status.damaged.is_empty() || !gaps.is_empty() || log_error.is_some() {
        Code::Unhealthy
    } else if status.backups == 0 || !waiting.is_empty() || wants_attention(&status) {
        Code::Attention
    } else {
        Code::Done
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            exit_code: code.number(),
            log_gaps: gaps.iter().map(LogGap::of).collect(),
            log_error,
            status: &status,
            waiting: &waiting,
        })?;
    } else {
        for waiting in &waiting {
            context.output.note(&waits(waiting));
        }
        let lines = gaps.iter().map(|gap| {
            format!(
                "missing in the log {}, which goes on to {}{}\n",
                gap.missing,
                gap.until,
                lacking(&listing, gap)
            )
        });
        let missing = absent(&*store).map(|words| format!("{words}\n"));
        let text: String = missing
            .into_iter()
            .chain([text(&status, &store.location())])
            .chain(lines)
            .chain(
                log_error.map(|error| format!("the archived log cannot be looked at: {error}\n")),
            )
            .collect();
        context.output.data(&text)?;
    }
    Ok(code)
}

/// Words for the base backups that bring no such file with them.
fn lacking(listing: &Listing, gap: &Gap) -> String {
    let missing = gap.missing.to_string();
    let manifests = listing
        .backups
        .iter()
        .filter_map(|entry| entry.manifest.as_ref().ok());
    // Names of files are ordered as the log is.
    let before = manifests.filter(|manifest| {
        manifest.kind == Kind::PostgresBase
            && manifest
                .engine
                .stop_wal
                .as_ref()
                .is_some_and(|stop| *stop < missing)
    });
    let names: Vec<&str> = before.map(|manifest| manifest.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("; no restore of {} gets beyond it", names.join(", "))
}

/// Whether the newest backup of any series is not sound, or has shrunk.
fn wants_attention(status: &Status) -> bool {
    let mut series = status.series.iter();
    series.any(|one| one.newest_unsound.is_some() || one.shrunk.is_some())
}

impl LogGap {
    fn of(gap: &Gap) -> Self {
        Self {
            missing: gap.missing.to_string(),
            until: gap.until.to_string(),
        }
    }
}

fn text(status: &Status, dir: &str) -> String {
    let mut text = Text::default();
    text.line(format!("{} in {dir}", backups(status.backups)));
    for name in &status.damaged {
        text.line(format!("damaged: {name}; `backup list` says how"));
    }
    for name in &status.unsound {
        text.line(format!("not sound: {name}; `backup list` says why"));
    }
    for name in &status.future {
        text.line(format!(
            "dated in the future: {name}; look at the clocks, it counts for nothing until then"
        ));
    }
    if status.backups == 0 && status.damaged.is_empty() {
        text.line("there is nothing to restore: `bitcraps-db backup` makes the first one");
    } else if status.backups == 0 {
        text.line("none of them can be relied on: `bitcraps-db backup` makes another one");
    }
    for one in &status.series {
        series(one, &mut text);
    }
    text.into_string()
}

fn backups(count: usize) -> String {
    match count {
        1 => "1 backup".to_owned(),
        _ => format!("{count} backups"),
    }
}

fn series(one: &SeriesStatus, text: &mut Text) {
    let seconds = |s: Option<u64>| s.map(|s| show(Duration::from_secs(s)));
    text.line("")
        .line(format!("{} ({})", one.series, backups(one.backups)));
    let (Some(newest), Some(age)) = (&one.newest, seconds(one.rpo_s)) else {
        text.line("no backup of it is whole, sound and of the past");
        return;
    };
    text.line(format!("newest             {newest}"));
    if let Some(shrunk) = &one.shrunk {
        text.line(format!("far fewer rows     {}", shrank(shrunk)));
    }
    let lost = match one.rpo_s {
        Some(0) => "less than a second".to_owned(),
        _ => format!("the last {age}"),
    };
    text.line(format!("would be lost now  {lost} (RPO)"));
    if let Some(gap) = seconds(one.longest_gap_s) {
        text.line(format!("longest gap        {gap}"));
    }
    match (&one.newest_verified, one.rto_ms, one.last_drill_at) {
        (Some(name), Some(millis), Some(at)) => {
            text.line(format!("newest verified    {name}"));
            text.line(format!(
                "a restore took     {} (RTO), {} at {}",
                show(Duration::from_millis(millis)),
                show_size(one.rto_bytes.unwrap_or_default()),
                at.to_rfc3339_opts(SecondsFormat::Secs, true)
            ));
        }
        _ => {
            text.line(format!(
                "never restored on trial: `bitcraps-db backup verify --restore --of '{}'` does it",
                one.series
            ));
        }
    }
}
