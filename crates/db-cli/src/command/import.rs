//! `import`: data from files, all of it or nothing.

use std::sync::Arc;

use db_core::Interrupt;
use db_transfer::format::{Form, Input};
use db_transfer::import::{Import as Wanted, OnConflict, Report};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{Conflict, Import, InputForm};
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::rows::Rows;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::signals;

/// What was imported, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'r> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    dry_run: bool,
    rows: u64,
    tables: Vec<OfTable<'r>>,
    statements: u64,
    bytes: u64,
    seconds: f64,
    notices: &'r [String],
}

#[derive(Debug, Serialize, JsonSchema)]
struct OfTable<'r> {
    table: &'r str,
    written: u64,
    skipped: u64,
}

pub(super) fn run(context: &Context<'_>, options: &Import) -> Result<Code, Error> {
    let job = context.job()?;
    let form = options.format.map(|form| match form {
        InputForm::Sql => Form::Sql,
        InputForm::Json => Form::Json,
        InputForm::Ndjson => Form::Ndjson,
        InputForm::Csv => Form::Csv,
    });
    let policy = match options.on_conflict {
        Conflict::Error => OnConflict::Error,
        Conflict::Skip => OnConflict::Skip,
        Conflict::Update => OnConflict::Update,
    };
    let shown = Arc::new(Rows::new(context.output));
    let wanted = Wanted::new(Input::of(&options.file))
        .form(form)
        .tables(&options.tables)
        .on_conflict(policy)
        .map(options.pairs()?)
        .validate(!options.skip_validation)
        .fire_triggers(options.fire_triggers)
        .dry_run(options.dry_run)
        .most_faults(usize::try_from(options.max_errors).unwrap_or(usize::MAX))
        .encryption_key(job.key.clone())
        .may_create(job.may_create)
        .on_wait(shown.on_wait());
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    let done = wanted.run(&job.target, &interrupt, &mut |progress| shown.at(*progress));
    shown.finish();
    let report = done?;
    if context.output.is_json() {
        context.output.document(&Document {
            engine: job.url.engine().name(),
            location: database::location(&job.url),
            dry_run: report.dry_run,
            rows: report.rows(),
            tables: report
                .tables
                .iter()
                .map(|told| OfTable {
                    table: &told.table,
                    written: told.written,
                    skipped: told.skipped,
                })
                .collect(),
            statements: report.statements,
            bytes: report.bytes,
            seconds: report.elapsed.as_secs_f64(),
            notices: &report.notices,
        })?;
        return Ok(Code::Done);
    }
    for notice in &report.notices {
        context.output.note(notice);
    }
    context.output.report(&text(context, &report))?;
    Ok(Code::Done)
}

fn text(context: &Context<'_>, report: &Report) -> String {
    let mut text = Text::default();
    if report.tables.iter().any(|told| told.skipped > 0) || report.tables.len() > 1 {
        let mut table = Table::new(&[
            ("table", Align::Left),
            ("written", Align::Right),
            ("skipped", Align::Right),
        ]);
        for told in &report.tables {
            table.row(
                vec![
                    told.table.as_str().into(),
                    told.written.to_string().into(),
                    told.skipped.to_string().into(),
                ],
                None,
            );
        }
        text.lines(&table.render(context.output.paint()));
    }
    let seconds = report.elapsed.as_secs_f64();
    let done = if report.statements > 0 {
        match report.statements {
            1 => "1 statement".to_owned(),
            count => format!("{count} statements"),
        }
    } else {
        let rows = report.rows();
        let counted = match rows {
            1 => "1 row".to_owned(),
            _ => format!("{rows} rows"),
        };
        let into = match report.tables.as_slice() {
            [only] => format!(" into {}", only.table),
            _ => String::new(),
        };
        format!("{counted}{into}, {} rows/s", per_second(rows, seconds))
    };
    let undone = if report.dry_run {
        "; undone again, as asked for"
    } else {
        ""
    };
    text.line(format!(
        "{done}, {} in {seconds:.1} s{undone}",
        database::show_size(report.bytes)
    ));
    text.into_string()
}

/// So many a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate that is shown; never below zero"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    if seconds > 0.0 {
        (count as f64 / seconds) as u64
    } else {
        0
    }
}
