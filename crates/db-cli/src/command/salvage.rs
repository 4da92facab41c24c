//! `salvage`: what is readable of a damaged SQLite file, and the backup that would be better.

use db_backup::Status;
use db_backup::salvage::{self, Options, Report};
use db_core::{Access, Clock, DatabaseUrl, Interrupt, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use super::backup::store;
use crate::args::Salvage;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::signals;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'d> {
    whole: bool,
    exit_code: u8,
    newest_verified_backup: Option<&'d str>,
    newest_backup: Option<&'d str>,
    restore_command: Option<&'d str>,
    #[serde(flatten)]
    report: &'d Report,
}

pub(super) fn run(context: &Context<'_>, options: &Salvage) -> Result<Code, Error> {
    let file = context.file()?;
    let job = context.job()?;
    let DatabaseUrl::SqliteFile(path) = &job.url else {
        return Err(Error::usage(
            "salvage reads SQLite files",
            "a PostgreSQL database is restored from a backup: `bitcraps-db restore`",
        ));
    };
    if !path.exists() {
        // Says it as every other command does.
        database::open(&job, Access::ReadOnly)?;
    }
    // Backups that cannot be reached or read are no reason not to salvage.
    let cannot_look = |error: &str| {
        let note = format!("backups cannot be looked at: {error}");
        context.output.note(&note);
    };
    let store = store(&options.place, &file.backup);
    let store = store.inspect_err(|e| cannot_look(&e.message())).ok();
    let looked = store.as_ref().map(|store| {
        let looked = db_backup::status(&**store, SystemClock.now());
        let looked = looked.inspect_err(|e| cannot_look(&e.to_string()));
        looked.unwrap_or_default()
    });
    let backups: Status = looked.unwrap_or_default();
    let location = store.map(|store| store.location());
    let location = location.as_deref().unwrap_or_default();
    let own = backups.of(&job.url).max_by_key(|one| one.newest_at);
    let newest_verified = own.and_then(|own| own.newest_verified.as_deref());
    let newest = own.and_then(|own| own.newest.as_deref());
    let better = newest_verified.or(newest);
    let command = better.map(|name| {
        format!(
            "bitcraps-db --database-url {} restore {name} --dir {}",
            quoted(&database::location(&job.url)),
            quoted(location)
        )
    });
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    let wanted = Options {
        database: path.clone(),
        to: options.to.clone(),
        key: job.key.as_ref(),
        by_sql: false,
    };
    let report = salvage::salvage(&wanted, &interrupt, &mut |_| {})?;
    let code = if report.is_whole() {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&Document {
            whole: report.is_whole(),
            exit_code: code.number(),
            newest_verified_backup: newest_verified,
            newest_backup: newest,
            restore_command: command.as_deref(),
            report: &report,
        })?;
        return Ok(code);
    }
    context
        .output
        .report(&text(&report, context.output.paint()))?;
    match (newest_verified, &command) {
        (Some(name), Some(command)) => context.output.note(&format!(
            "the newest backup that was restored on trial is {name}; this restores it: {command}"
        )),
        (None, Some(command)) => context.output.note(&format!(
            "no backup was ever restored on trial; this restores the newest: {command}"
        )),
        _ if location.is_empty() => {}
        _ => context
            .output
            .note(&format!("there is no backup of it in {location}")),
    }
    Ok(code)
}

fn text(report: &Report, paint: Paint) -> String {
    let mut text = Text::default();
    if report.damage.is_empty() && report.is_whole() {
        text.line(format!(
            "{} is sound; nothing had to be salvaged",
            report.source
        ));
    } else if report.damage.is_empty() {
        text.line(format!(
            "SQLite finds no damage in {}; not all of it is in the new file",
            report.source
        ));
    }
    for line in &report.damage {
        text.marked(paint, ("damage:", Style::Red), line);
    }
    if report.unreadable_bytes > 0 {
        let line = format!(
            "{} bytes could not be read from the disk, and count as zeros",
            report.unreadable_bytes
        );
        text.marked(paint, ("problem:", Style::Red), line);
    }
    if let Some(journal) = &report.journal {
        text.line(format!("the journal beside it was {journal}"));
    }
    let mut table = Table::new(&[
        ("table", Align::Left),
        ("rows", Align::Right),
        ("refused", Align::Right),
        ("damaged cells", Align::Right),
        ("lost pages", Align::Right),
        ("found again", Align::Right),
    ]);
    for told in &report.tables {
        let style = (!told.is_whole()).then_some(Style::Yellow);
        table.row(
            vec![
                told.name.as_str().into(),
                told.rows.to_string().into(),
                told.refused_rows.to_string().into(),
                told.damaged_cells.to_string().into(),
                told.lost_pages.to_string().into(),
                told.adopted_pages.to_string().into(),
            ],
            style,
        );
    }
    text.lines(&table.render(paint));
    if let Some(lost) = &report.lost_and_found {
        let count = report.lost_and_found_rows;
        text.line(format!("{count} rows fit nowhere and are in {lost}"));
    }
    for failed in &report.failed {
        let line = format!(
            "{} {} is not there: {}",
            failed.kind, failed.name, failed.reason
        );
        text.marked(paint, ("problem:", Style::Red), line);
    }
    for line in &report.foreign_keys {
        text.marked(paint, ("problem:", Style::Red), line);
    }
    let rows: u64 = report.tables.iter().map(|table| table.rows).sum();
    text.line(format!("{rows} rows are in {}", report.target));
    text.into_string()
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
