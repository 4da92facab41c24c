//! `validate`: files, history and the live schema, side by side.

use db_core::{Access, DatabaseUrl, Engine};
use db_migrate::sql::{DiffKind, DiffLine};
use db_migrate::{Drift, Problem, Rebuild, Unknown, Validation};
use serde::Serialize;

use super::{Context, Job};
use crate::args::Validate;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::{Paint, Style};
use crate::scratch::Scratch;

/// What was found, in JSON.
#[derive(Debug, Serialize)]
struct Document<'v> {
    engine: &'static str,
    location: String,
    valid: bool,
    exit_code: u8,
    #[serde(flatten)]
    found: &'v Validation,
}

pub(super) fn run(context: &Context<'_>, options: &Validate) -> Result<Code, Error> {
    let job = context.job()?;
    let url = job.url.clone();
    let found = compare(context, job, options.rebuild)?;
    let code = code(&found);
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            valid: found.is_sound(),
            exit_code: code.number(),
            found: &found,
        })?;
    } else {
        let text = text(&found, context.output.paint());
        context.output.data(&text)?;
    }
    Ok(code)
}

fn compare(context: &Context<'_>, job: Job, rebuild: bool) -> Result<Validation, Error> {
    let url: DatabaseUrl = job.url.clone();
    // A signal ends the comparison, so that the scratch database is dropped all the same.
    let mut running = context.start(job, Access::ReadOnly, None)?;
    let mut scratch = match url.engine() {
        Engine::Postgres if rebuild => Some(Scratch::create(&url)?),
        _ => None,
    };
    let there = scratch.as_mut().and_then(Scratch::connection);
    let found = running
        .migrator
        .validate(running.connection.conn(), there.map(|c| c.conn()));
    running.progress.finish();
    Ok(found?)
}

/// The most urgent of everything that was found.
fn code(found: &Validation) -> Code {
    let mut code = Code::Done;
    for problem in found.problems.iter().filter(|p| !p.is_warning()) {
        code = code.or(match problem {
            Problem::Newer { .. } => Code::Refused,
            _ => Code::History,
        });
    }
    let rebuilt_otherwise = matches!(found.rebuild, Rebuild::Different { .. });
    if !found.drift.differences().is_empty() || rebuilt_otherwise {
        code = code.or(Code::Drift);
    }
    if !found.pending.is_empty() || !found.incomplete.is_empty() {
        code = code.or(Code::Attention);
    }
    code
}

fn text(found: &Validation, paint: Paint) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        let (word, style) = if problem.is_warning() {
            ("note:", Style::Yellow)
        } else {
            ("problem:", Style::Red)
        };
        text.push_str(&format!("{} {problem}\n", paint.text(word, style)));
        let edit = found.edits.iter().find(|e| e.version == problem.version());
        if let Some(edit) = edit {
            text.push_str(&diff(&edit.lines, paint));
        }
    }
    text.push_str(&drift(&found.drift, paint));
    text.push_str(&rebuild(&found.rebuild, paint));
    for name in &found.incomplete {
        let word = paint.text("problem:", Style::Red);
        text.push_str(&format!("{word} {name} stopped half way; `migrate` goes on with it\n"));
    }
    for name in &found.pending {
        text.push_str(&format!("{} {name}\n", paint.text("pending:", Style::Yellow)));
    }
    if code(found) == Code::Done {
        let all_well = "files, history and schema agree; nothing is pending";
        text.push_str(&format!("{}\n", paint.text(all_well, Style::Green)));
    }
    text
}

fn drift(drift: &Drift, paint: Paint) -> String {
    let note = |text: &str| format!("{} {text}\n", paint.text("note:", Style::Yellow));
    match drift {
        Drift::None => String::new(),
        Drift::Restored => note(
            "the database was restored from a dump; its schema is the same, and the next run \
             records it anew",
        ),
        Drift::Unknown {
            reason: Unknown::NeverTaken,
        } => note("no migration has stored a schema to compare with yet; the next run does"),
        Drift::Unknown {
            reason: Unknown::ChangedByDiesel,
        } => note("diesel has changed the schema since the last run here; `repair` records that"),
        Drift::Unknown {
            reason: Unknown::HalfApplied,
        } => note("a migration stopped half way, so that there is nothing to compare with"),
        Drift::Found { differences } => differences
            .iter()
            .map(|d| format!("{} changed by hand: {d}\n", paint.text("problem:", Style::Red)))
            .collect(),
    }
}

fn rebuild(rebuild: &Rebuild, paint: Paint) -> String {
    match rebuild {
        Rebuild::Skipped | Rebuild::Same => String::new(),
        Rebuild::Impossible { reason } => format!(
            "{} the schema cannot be built anew for comparison: {reason}\n",
            paint.text("note:", Style::Yellow)
        ),
        Rebuild::Different { differences } => differences
            .iter()
            .map(|d| {
                let word = paint.text("problem:", Style::Red);
                format!("{word} not what the migrations build: {d}\n")
            })
            .collect(),
    }
}

/// The lines that differ, as `diff -u` shows them, with their numbers.
fn diff(lines: &[DiffLine], paint: Paint) -> String {
    lines
        .iter()
        .map(|line| {
            let number = line.new_line.or(line.old_line).unwrap_or_default();
            let (mark, style) = match line.kind {
                DiffKind::Context => (' ', None),
                DiffKind::Removed => ('-', Some(Style::Red)),
                DiffKind::Added => ('+', Some(Style::Green)),
            };
            let shown = format!("{mark} {}", line.text);
            let shown = style.map_or(shown.clone(), |style| paint.text(&shown, style));
            format!("    {number:>4} {shown}\n")
        })
        .collect()
}
