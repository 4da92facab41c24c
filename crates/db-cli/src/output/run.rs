//! What a run did, as JSON and as a table.

use std::time::Duration;

use db_migrate::{Direction, DroppedTable, Report, Step};
use schemars::JsonSchema;
use serde::Serialize;

use super::progress::word;
use super::style::{Paint, Style};
use super::table::{Align, Table};
use super::text::Text;
use db_core::duration::show;

/// A run in JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct RunReport {
    /// `up` or `down`.
    #[schemars(extend("enum" = ["up", "down"]))]
    pub(crate) direction: &'static str,
    /// Whether everything was undone again.
    pub(crate) dry_run: bool,
    /// Whether everything planned was run.
    pub(crate) success: bool,
    /// What was run, in order.
    pub(crate) migrations: Vec<StepReport>,
    /// Versions that were planned and not run.
    pub(crate) not_run: Vec<String>,
    /// Remarks.
    pub(crate) notices: Vec<String>,
    /// In microseconds.
    pub(crate) duration_us: u64,
}

/// A migration of a run in JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StepReport {
    version: String,
    name: String,
    set: String,
    duration_us: u64,
    statements: u64,
    rows_changed: Option<u64>,
    /// Tables that the way back has dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<Vec<DroppedReport>>,
    locks: Vec<LocksReport>,
    not_rehearsed: Option<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct DroppedReport {
    table: String,
    /// Counted by a dry run.
    rows: Option<u64>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct LocksReport {
    statement: u64,
    line: usize,
    locks: Vec<String>,
}

impl RunReport {
    pub(crate) fn of(report: &Report) -> Self {
        Self {
            direction: word(report.direction),
            dry_run: report.rehearsal,
            success: report.is_success(),
            migrations: report.steps.iter().map(step).collect(),
            not_run: report.not_run.iter().map(ToString::to_string).collect(),
            notices: report.notices.clone(),
            duration_us: micros(took(report)),
        }
    }
}

fn step(step: &Step) -> StepReport {
    StepReport {
        version: step.version.to_string(),
        name: step.name.clone(),
        set: step.set.clone(),
        duration_us: micros(step.duration),
        statements: step.statements,
        rows_changed: step.rows_changed,
        dropped: step.dropped.as_ref().map(|tables| {
            let report = |table: &DroppedTable| DroppedReport {
                table: table.name.clone(),
                rows: table.rows,
            };
            tables.iter().map(report).collect()
        }),
        locks: step
            .locks
            .iter()
            .map(|l| LocksReport {
                statement: l.statement,
                line: l.line,
                locks: l.locks.clone(),
            })
            .collect(),
        not_rehearsed: step.not_rehearsed.clone(),
    }
}

/// How long the run took. One that failed is not told its whole time; its steps are.
fn took(report: &Report) -> Duration {
    if report.duration.is_zero() {
        report.steps.iter().map(|step| step.duration).sum()
    } else {
        report.duration
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The run as a table, locks below, a sentence at the end; empty if nothing was run.
pub(crate) fn text(report: &Report, paint: Paint) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("version", Align::Left),
        ("name", Align::Left),
        ("statements", Align::Right),
        (
            match report.direction {
                Direction::Up => "rows",
                Direction::Down => "rows changed",
            },
            Align::Right,
        ),
        ("rows lost", Align::Right),
        ("took", Align::Right),
        ("", Align::Left),
    ]);
    for step in &report.steps {
        let remark = step
            .not_rehearsed
            .as_ref()
            .map(|why| format!("not rehearsed: {why}"));
        let number = |rows: Option<u64>| rows.map_or_else(String::new, |rows| rows.to_string());
        table.row(
            vec![
                step.version.as_str().into(),
                step.name.as_str().into(),
                step.statements.to_string().into(),
                number(step.rows_changed).into(),
                number(lost(report, step)).into(),
                show(step.duration).into(),
                remark.unwrap_or_default().into(),
            ],
            None,
        );
    }
    let mut text = Text::default();
    text.lines(&table.render(paint));
    add_locks(&mut text, report, paint);
    text.line(paint.text(&summary(report), Style::Bold));
    text.into_string()
}

fn add_locks(text: &mut Text, report: &Report, paint: Paint) {
    for step in report.steps.iter().filter(|s| !s.locks.is_empty()) {
        let heading = format!("locks of {} {}:", step.version, step.name);
        text.line(paint.text(&heading, Style::Dim));
        for taken in &step.locks {
            text.line(format!(
                "  {}:{} (statement {}): {}",
                report.direction.file_name(),
                taken.line,
                taken.statement,
                taken.locks.join(", ")
            ));
        }
    }
}

/// The rows of the tables that a step on the way back drops, which a dry run counts.
fn lost(report: &Report, step: &Step) -> Option<u64> {
    let tables = step.dropped.as_ref().filter(|_| report.rehearsal)?;
    tables.iter().map(|table| table.rows).sum()
}

/// What a way back that was only rehearsed would take away; nothing is said of one that failed.
fn loss(report: &Report) -> Option<String> {
    let steps = report.steps.iter().filter(|step| step.dropped.is_some());
    let tables = steps
        .clone()
        .flat_map(|step| &step.dropped)
        .flatten()
        .count();
    let rows: u64 = steps.map(|step| lost(report, step)).sum::<Option<_>>()?;
    let count = |n: u64, one: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    };
    let (rows, of) = (count(rows, "row"), count(tables as u64, "table"));
    (report.rehearsal && tables > 0).then(|| format!("{rows} of {of} would be lost"))
}

fn summary(report: &Report) -> String {
    let count = match report.steps.len() {
        1 => "1 migration".to_owned(),
        n => format!("{n} migrations"),
    };
    let verb = match (report.direction, report.rehearsal) {
        (Direction::Up, false) => "applied",
        (Direction::Down, false) => "reverted",
        (_, true) => "rehearsed",
    };
    let mut parts = vec![format!("{count} {verb} in {}", show(took(report)))];
    if report.rehearsal {
        parts.push("the database is as it was".to_owned());
    }
    parts.extend(loss(report));
    if !report.not_run.is_empty() {
        parts.push(format!("not run: {}", report.not_run.len()));
    }
    parts.join("; ")
}
