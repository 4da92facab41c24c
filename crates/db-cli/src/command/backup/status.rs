//! `backup status`.

use std::time::Duration;

use chrono::SecondsFormat;
use db_backup::Status;
use db_core::{Clock, SystemClock};
use serde::Serialize;

use super::store;
use crate::args::BackupStatus;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::text::Text;
use db_core::duration::show;

#[derive(Debug, Serialize)]
struct Document<'s> {
    dir: String,
    exit_code: u8,
    #[serde(flatten)]
    status: &'s Status,
}

pub(super) fn run(context: &Context<'_>, options: &BackupStatus) -> Result<Code, Error> {
    let file = context.file()?;
    let store = store(&options.place, &file.backup)?;
    let status = db_backup::status(&*store, SystemClock.now())?;
    let code = if !status.damaged.is_empty() {
        Code::Unhealthy
    } else if status.backups == 0 {
        Code::Attention
    } else {
        Code::Done
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            exit_code: code.number(),
            status: &status,
        })?;
    } else {
        context.output.data(&text(&status, &store.location()))?;
    }
    Ok(code)
}

fn text(status: &Status, dir: &str) -> String {
    let seconds = |s: Option<u64>| s.map(|s| show(Duration::from_secs(s)));
    let mut text = Text::default();
    text.line(format!("{} backups in {dir}", status.backups));
    for name in &status.damaged {
        text.line(format!("damaged: {name}; `backup list` says how"));
    }
    let Some(newest) = &status.newest else {
        text.line("there is nothing to restore: `bitcraps-db backup` makes the first one");
        return text.into_string();
    };
    text.line(format!("newest             {newest}"));
    match seconds(status.rpo_s) {
        Some(age) => text.line(format!("would be lost now  the last {age} (RPO)")),
        None => text.line("would be lost now  unknown: the newest backup is dated in the future"),
    };
    if let Some(gap) = seconds(status.longest_gap_s) {
        text.line(format!("longest gap        {gap}"));
    }
    match (&status.newest_verified, status.rto_ms, status.last_drill_at) {
        (Some(name), Some(millis), Some(at)) => {
            text.line(format!("newest verified    {name}"));
            text.line(format!(
                "a restore took     {} (RTO), {} at {}",
                show(Duration::from_millis(millis)),
                show_size(status.rto_bytes.unwrap_or_default()),
                at.to_rfc3339_opts(SecondsFormat::Secs, true)
            ));
        }
        _ => {
            text.line("never restored on trial: `bitcraps-db backup verify --restore` does it");
        }
    }
    text.into_string()
}
