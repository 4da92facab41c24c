//! `validate`: files, history and the live schema, side by side.

use db_core::{Access, DatabaseUrl, Engine};
use db_migrate::sql::{DiffKind, DiffLine};
use db_migrate::{Drift, HalfCopy, Problem, Rebuild, Unknown, Validation};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Job, backup};
use crate::args::Validate;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::text::Text;
use crate::scratch::Scratch;

const PROBLEM: (&str, Style) = ("problem:", Style::Red);
const NOTE: (&str, Style) = ("note:", Style::Yellow);

/// What was found, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'v> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    valid: bool,
    exit_code: u8,
    /// Whether a copy into this database was killed.
    half_copy: bool,
    #[serde(flatten)]
    found: &'v Validation,
}

pub(super) fn run(context: &Context<'_>, options: &Validate) -> Result<Code, Error> {
    let job = context.job()?;
    let url = job.url.clone();
    let (found, half) = compare(context, job, options.rebuild)?;
    let unbuilt = options.rebuild && matches!(found.rebuild, Rebuild::Impossible { .. });
    let half_copy = half.is_some();
    let code = if half_copy {
        code(&found, unbuilt).or(Code::Refused)
    } else {
        code(&found, unbuilt)
    };
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            valid: found.is_sound() && !unbuilt && !half_copy,
            exit_code: code.number(),
            half_copy,
            found: &found,
        })?;
    } else {
        let text = text(&found, unbuilt, half.as_ref(), context.output.paint());
        context.output.data(&text)?;
    }
    Ok(code)
}

/// What was found, and the half of a copy if there is one.
fn compare(
    context: &Context<'_>,
    job: Job,
    rebuild: bool,
) -> Result<(Validation, Option<HalfCopy>), Error> {
    let url: DatabaseUrl = job.target.clone();
    // A signal ends the comparison, so that the scratch database is dropped all the same.
    let mut running = context.start(job, Access::ReadOnly, None)?;
    let mut scratch = match url.engine() {
        Engine::Postgres if rebuild => Some(Scratch::create(&url)?),
        _ => None,
    };
    let there = scratch.as_mut().map(Scratch::connection);
    let found = running
        .migrator
        .validate(running.connection.conn(), there.map(|c| c.conn()));
    running.progress.finish();
    let found = found?;
    Ok((found, backup::half_copy(&mut running.connection.conn())?))
}

/// The most urgent of everything that was found. `unbuilt` says that the comparison with a schema
/// built anew was asked for and could not be made: that is no agreement.
fn code(found: &Validation, unbuilt: bool) -> Code {
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
    // As with what is pending, the next run mends it.
    let lost = |problem: &Problem| matches!(problem, Problem::LostTable { .. });
    let unfinished = !found.pending.is_empty() || !found.incomplete.is_empty();
    if unbuilt || unfinished || found.problems.iter().any(lost) {
        code = code.or(Code::Attention);
    }
    code
}

fn text(found: &Validation, unbuilt: bool, half: Option<&HalfCopy>, paint: Paint) -> String {
    let mut text = Text::default();
    if half.is_some() {
        text.marked(paint, PROBLEM, backup::HALF_COPY);
    }
    for problem in &found.problems {
        let mark = if problem.is_warning() { NOTE } else { PROBLEM };
        text.marked(paint, mark, problem);
        let edit = found
            .edits
            .iter()
            .find(|e| Some(e.version.as_str()) == problem.version());
        for line in edit.map_or(&[][..], |edit| &edit.lines) {
            text.line(diff_line(line, paint));
        }
    }
    add_drift(&mut text, &found.drift, half, paint);
    add_rebuild(&mut text, &found.rebuild, unbuilt, paint);
    for name in &found.incomplete {
        let what = format!("{name} stopped half way; `migrate` goes on with it");
        text.marked(paint, PROBLEM, what);
    }
    for name in &found.pending {
        text.marked(paint, ("pending:", Style::Yellow), name);
    }
    if code(found, unbuilt) == Code::Done && half.is_none() {
        let all_well = "files, history and schema agree; nothing is pending";
        text.line(paint.text(all_well, Style::Green));
    }
    text.into_string()
}

fn add_drift(text: &mut Text, drift: &Drift, half: Option<&HalfCopy>, paint: Paint) {
    let note = match drift {
        Drift::None => return,
        Drift::Found { differences } => {
            for difference in differences {
                let by = if half.is_some_and(|half| half.has_left(difference)) {
                    "left by the copy"
                } else {
                    "changed by hand"
                };
                text.marked(paint, PROBLEM, format!("{by}: {difference}"));
            }
            return;
        }
        Drift::Restored => {
            "the database was restored from a dump; its schema is the same, and the next run \
             records it anew"
        }
        Drift::Unknown { reason } => match reason {
            Unknown::NeverTaken => {
                "no migration has stored a schema to compare with yet; the next run does"
            }
            Unknown::ChangedByDiesel => {
                "diesel has changed the schema since the last run here; `repair` records that"
            }
            Unknown::HalfApplied => {
                "a migration outside a transaction stopped half way; `migrate` goes on with it"
            }
            Unknown::HalfReverted => {
                "a migration outside a transaction stopped on its way back; `rollback` goes on \
                 with it"
            }
        },
    };
    text.marked(paint, NOTE, note);
}

fn add_rebuild(text: &mut Text, rebuild: &Rebuild, unbuilt: bool, paint: Paint) {
    match rebuild {
        Rebuild::Skipped | Rebuild::Same => {}
        Rebuild::Impossible { reason } => {
            let note = format!("the schema cannot be built anew for comparison: {reason}");
            text.marked(paint, if unbuilt { PROBLEM } else { NOTE }, note);
        }
        Rebuild::Different { differences } => {
            for difference in differences {
                let what = format!("not what the migrations build: {difference}");
                text.marked(paint, PROBLEM, what);
            }
        }
    }
}

/// A line that differs, as `diff -u` shows it, with its number.
fn diff_line(line: &DiffLine, paint: Paint) -> String {
    let number = line.new_line.or(line.old_line).unwrap_or_default();
    let (mark, style) = match line.kind {
        DiffKind::Context => (' ', None),
        DiffKind::Removed => ('-', Some(Style::Red)),
        DiffKind::Added => ('+', Some(Style::Green)),
    };
    let shown = format!("{mark} {}", line.text);
    let shown = style.map_or(shown.clone(), |style| paint.text(&shown, style));
    format!("    {number:>4} {shown}")
}
