//! `backup list`.

use chrono::{DateTime, SecondsFormat, Utc};
use db_backup::{Entry, Waiting};
use db_core::{Clock, DatabaseUrl, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::{absent, store_here, waits};
use crate::args::BackupList;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::text::Text;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    dir: String,
    exit_code: u8,
    backups: Vec<Line>,
    orphans: Vec<String>,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Line {
    name: String,
    kind: Option<&'static str>,
    database: Option<String>,
    started_at: Option<DateTime<Utc>>,
    content_bytes: Option<u64>,
    stored_bytes: Option<u64>,
    compressed: Option<bool>,
    encrypted: Option<bool>,
    schema_version: Option<String>,
    verified_at: Option<DateTime<Utc>>,
    verified_ms: Option<u64>,
    future: bool,
    complete: bool,
    unsound: Vec<String>,
    problems: Vec<String>,
}

pub(super) fn run(context: &Context<'_>, options: &BackupList) -> Result<Code, Error> {
    let file = context.file()?;
    let store = store_here(context, &options.place, &file.backup)?;
    let waiting = store.waiting();
    let listing = db_backup::list(&*store)?;
    let now = SystemClock.now();
    let lines: Vec<Line> = listing
        .backups
        .iter()
        .map(|entry| line(entry, now))
        .collect();
    let code = if lines.iter().all(|line| line.complete) {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            exit_code: code.number(),
            backups: lines,
            orphans: listing.orphans,
            waiting,
        })?;
        return Ok(code);
    }
    let mut text = Text::default();
    if lines.is_empty() {
        let none = || format!("no backups in {}", store.location());
        text.line(absent(&*store).unwrap_or_else(none));
    } else {
        text.lines(&table(&lines).render(context.output.paint()));
    }
    for orphan in &listing.orphans {
        context.output.note(&format!(
            "{orphan} has no manifest, so it is no backup: it was not finished"
        ));
    }
    for waiting in &waiting {
        context.output.note(&waits(waiting));
    }
    context.output.data(&text.into_string())?;
    Ok(code)
}

fn line(entry: &Entry, now: DateTime<Utc>) -> Line {
    let manifest = entry.manifest.as_ref().ok();
    let problem = entry.manifest.as_ref().err().map(ToString::to_string);
    Line {
        name: entry.name.to_string(),
        kind: entry.kind.map(db_backup::Kind::name),
        // Those of before had every parameter of connecting in it.
        database: manifest.map(|m| {
            let url = DatabaseUrl::parse(&m.database).ok();
            let url = url.filter(|url| url.path().is_none());
            url.map_or_else(|| m.database.clone(), |url| url.to_string())
        }),
        started_at: manifest.map(|m| m.started_at),
        content_bytes: manifest.map(|m| m.content.bytes),
        stored_bytes: manifest.map(db_backup::Manifest::stored_bytes),
        compressed: manifest.map(|m| m.compression.is_some()),
        encrypted: manifest.map(|m| m.encryption.is_some()),
        schema_version: manifest.and_then(|m| m.schema.as_ref().map(|s| s.version.clone())),
        verified_at: entry.verification.as_ref().map(|v| v.at),
        verified_ms: entry.verification.as_ref().map(|v| v.total_ms),
        future: entry.is_future(now),
        complete: entry.is_usable(),
        unsound: manifest.map_or_else(Vec::new, |m| m.proof.unsound.clone()),
        problems: problem
            .into_iter()
            .chain(entry.faults.iter().cloned())
            .chain(entry.failure.as_ref().map(ToString::to_string))
            .chain(entry.unread.clone())
            .collect(),
    }
}

fn problems(line: &Line) -> String {
    let unsound = Some(&line.unsound).filter(|found| !found.is_empty());
    let unsound = unsound.map(|found| format!("not sound: {}", db_backup::brief(found)));
    let future = line.future.then(|| "dated in the future".to_owned());
    let known = line.problems.iter().cloned();
    known
        .chain(unsound)
        .chain(future)
        .collect::<Vec<_>>()
        .join("; ")
}

fn table(lines: &[Line]) -> Table<'_> {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("kind", Align::Left),
        ("of", Align::Left),
        ("holds", Align::Right),
        ("stored", Align::Right),
        ("encrypted", Align::Left),
        ("schema", Align::Left),
        ("last trial restore", Align::Left),
        ("problem", Align::Left),
    ]);
    for line in lines {
        let size = |bytes: Option<u64>| bytes.map(show_size).unwrap_or_default();
        let drill = line.verified_at.map(|at| {
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{at} ({} ms)", line.verified_ms.unwrap_or_default())
        });
        table.row(
            vec![
                line.name.as_str().into(),
                line.kind.unwrap_or_default().into(),
                line.database.as_deref().unwrap_or_default().into(),
                size(line.content_bytes).into(),
                size(line.stored_bytes).into(),
                if line.encrypted == Some(true) {
                    "yes"
                } else {
                    ""
                }
                .into(),
                line.schema_version.as_deref().unwrap_or_default().into(),
                drill.unwrap_or_default().into(),
                problems(line).into(),
            ],
            match (line.complete, line.future || !line.unsound.is_empty()) {
                (false, _) => Some(Style::Red),
                (true, true) => Some(Style::Yellow),
                (true, false) => None,
            },
        );
    }
    table
}
