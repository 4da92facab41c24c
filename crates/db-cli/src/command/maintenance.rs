//! `maintenance`.

use db_backup::maintenance::{self, Event, Options, Plan, Report, Task};
use db_core::Access;
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::Maintenance;
use crate::database::{self, show_size};
use crate::error::{Error, OF_DAMAGE};
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::signals;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'d> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    dry_run: bool,
    exit_code: u8,
    plan: &'d Plan,
    report: Option<&'d Report>,
}

/// One line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Line<'l> {
    #[schemars(extend("const" = "progress"))]
    event: &'static str,
    task: Task,
    object: &'l str,
    done: usize,
    total: usize,
}

pub(super) fn run(context: &Context<'_>, asked: &Maintenance) -> Result<Code, Error> {
    let options = Options {
        tasks: tasks(asked),
        wait: asked.wait,
    };
    let job = context.job()?;
    let mut connection = database::open(&job, Access::ReadWrite)?;
    let _guard = signals::guard(&connection.interrupt());
    signals::listen()?;
    let plan = maintenance::plan(&mut connection, &options)?;
    let output = context.output;
    if !output.is_json() {
        for task in &plan.tasks {
            output.note(&before(task));
        }
    }
    let report = if asked.dry_run {
        None
    } else {
        let report = maintenance::run(&mut connection, &options, &mut |event| {
            if let Event::Step {
                task,
                object,
                number,
                of,
            } = event
                && output.is_json()
            {
                output.line(&Line {
                    event: "progress",
                    task,
                    object,
                    done: number - 1,
                    total: of,
                });
            }
        })?;
        Some(report)
    };
    let code = report.as_ref().map_or(Code::Done, code);
    if output.is_json() {
        output.document(&Document {
            engine: job.url.engine().name(),
            location: database::location(&job.url),
            dry_run: asked.dry_run,
            exit_code: code.number(),
            plan: &plan,
            report: report.as_ref(),
        })?;
    } else if let Some(report) = &report {
        output.report(&text(report, output.paint()))?;
    }
    Ok(code)
}

/// What was asked for; otherwise what is in nobody's way.
fn tasks(asked: &Maintenance) -> Vec<Task> {
    let flags = [
        (asked.vacuum, Task::Vacuum),
        (asked.analyze, Task::Analyze),
        (asked.check, Task::Check),
        (asked.checkpoint, Task::Checkpoint),
        (asked.optimize, Task::Optimize),
        (asked.reindex, Task::Reindex),
    ];
    let tasks: Vec<Task> = flags
        .into_iter()
        .filter_map(|(is_asked, task)| is_asked.then_some(task))
        .collect();
    if tasks.is_empty() {
        vec![Task::Optimize, Task::Checkpoint]
    } else {
        tasks
    }
}

fn before(task: &maintenance::PlannedTask) -> String {
    let mut line = format!("{} holds up {}", task.task.name(), task.blocks);
    if let Some(bytes) = task.needs_bytes {
        line += "; needs up to ";
        line += &show_size(bytes);
        line += " beside the database for a time";
    }
    if let Some(room) = &task.needs_temporary {
        line += ", and ";
        line += &show_size(room.bytes);
        match &room.folder {
            Some(folder) => {
                line += " in ";
                line += &folder.display().to_string();
            }
            None => line += " of memory, because it is encrypted",
        }
    }
    if let Some(bytes) = task.may_free_bytes {
        line += "; may free ";
        line += &show_size(bytes);
    }
    line
}

fn code(report: &Report) -> Code {
    if report.has_damage() {
        Code::Unhealthy
    } else if report.is_busy() {
        Code::Locked
    } else {
        Code::Done
    }
}

fn text(report: &Report, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("task", Align::Left),
        ("steps", Align::Right),
        ("took", Align::Right),
        ("before", Align::Right),
        ("after", Align::Right),
    ]);
    for task in &report.tasks {
        table.row(
            vec![
                task.task.name().into(),
                task.steps.to_string().into(),
                format!("{} ms", task.duration_ms).into(),
                show_size(task.bytes_before).into(),
                show_size(task.bytes_after).into(),
            ],
            None,
        );
    }
    let mut text = Text::default();
    text.lines(&table.render(paint));
    for task in &report.tasks {
        for finding in &task.findings {
            text.marked(paint, ("problem:", Style::Red), finding);
        }
        for step in &task.skipped {
            let what = format!("{} {}", task.task.name(), step.object);
            let line = format!("{} was left out: {}", what.trim_end(), step.reason);
            text.marked(paint, ("note:", Style::Yellow), line);
        }
        for note in &task.notes {
            text.marked(paint, ("note:", Style::Yellow), note);
        }
    }
    if report.has_damage() {
        text.marked(paint, ("hint:", Style::Bold), OF_DAMAGE);
    }
    for task in &report.not_run {
        let line = format!("{} was not begun, because there is damage", task.name());
        text.marked(paint, ("note:", Style::Yellow), line);
    }
    text.into_string()
}
