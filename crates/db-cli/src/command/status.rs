//! `status`: what is applied and what is pending, and what to do about what is wrong.

use std::time::Duration;

use db_core::{Access, DatabaseUrl};
use db_migrate::catalog::Difference;
use db_migrate::{Drift, Entry, HalfCopy, Problem, State, StatusReport};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Job, backup, lost};
use crate::args::Status;
use crate::database::{self, Facts, show_size};
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use db_core::duration::show;

/// The state of a database in JSON.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the document"
)]
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    exists: bool,
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<String>,
    initialized: bool,
    current_version: Option<String>,
    source: String,
    applied_migrations: usize,
    pending_migrations: Vec<String>,
    /// Whether history and files agree, and the live schema is the one stored after the last run:
    /// on SQLite by every definition, on PostgreSQL by a seal over the catalogs that
    /// docs/operations.md lists. What the seal leaves out (domains, policies, comments, extensions,
    /// the steps of sequences), and whether the schema is also what the migrations build, is for
    /// `validate` to say.
    schema_valid: bool,
    schema_issues: Vec<String>,
    notices: Vec<String>,
    /// Whether it is the half of a copy that was killed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    half_copy: bool,
    #[serde(skip)]
    is_changed_by_hand: bool,
    problems: Vec<Problem>,
    drift: Drift,
    applied: Vec<Entry>,
    pending: Vec<Entry>,
}

pub(super) fn run(context: &Context<'_>, options: &Status) -> Result<Code, Error> {
    let mut document = look(&context.job()?)?;
    if !document.initialized {
        document.notices.extend(lost::line(context));
    }
    if context.output.is_json() {
        context.output.document(&document)?;
    } else {
        context
            .output
            .data(&text(&document, context.output.paint()))?;
    }
    Ok(if options.check {
        code(&document)
    } else {
        Code::Done
    })
}

fn look(job: &Job) -> Result<Document, Error> {
    let Job { url, migrator, .. } = job;
    let opened = database::open_existing(job, Access::ReadOnly);
    let Ok(Some(mut connection)) = opened else {
        // What is wrong with the files is said whatever the state of the database.
        let status = migrator.status_of_nothing(url.engine())?;
        opened?;
        return Ok(document(url, status, None, None));
    };
    let status = migrator.status(connection.conn())?;
    let facts = database::facts(url, connection.conn())?;
    let half = backup::half_copy(&mut connection.conn())?;
    Ok(document(url, status, Some(facts), half.as_ref()))
}

fn document(
    url: &DatabaseUrl,
    status: StatusReport,
    facts: Option<Facts>,
    half: Option<&HalfCopy>,
) -> Document {
    let (warnings, faults): (Vec<_>, Vec<_>) = status
        .problems
        .iter()
        .partition(|problem| problem.is_warning());
    let mut issues: Vec<String> = half.iter().map(|_| backup::HALF_COPY.to_owned()).collect();
    issues.extend(faults.iter().map(ToString::to_string));
    // What a copy has left is no change by hand.
    let by_hand = |d: &&Difference| half.is_none_or(|half| !half.has_left(d));
    let by_hand = status.drift.differences().iter().filter(by_hand);
    let before = issues.len();
    issues.extend(by_hand.map(|d| format!("changed by hand: {d}")));
    let is_changed_by_hand = issues.len() > before;
    let mut notices: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    notices.extend(outside(&status.unrecorded, "applied"));
    notices.extend(outside(&status.reverted_outside, "reverted"));
    let exists = facts.is_some();
    let facts = facts.unwrap_or_default();
    Document {
        engine: url.engine().name(),
        location: database::location(url),
        exists,
        size_bytes: facts.size,
        journal_mode: facts.journal_mode,
        server_version: facts.server_version,
        initialized: status.initialized,
        current_version: status.current_version,
        source: status.source,
        applied_migrations: status.applied.len(),
        pending_migrations: status
            .pending
            .iter()
            .map(|entry| format!("{}_{}", entry.version, entry.name))
            .collect(),
        schema_valid: issues.is_empty(),
        schema_issues: issues,
        notices,
        half_copy: half.is_some(),
        is_changed_by_hand,
        problems: status.problems,
        drift: status.drift,
        applied: status.applied,
        pending: status.pending,
    }
}

fn outside(versions: &[String], verb: &str) -> Option<String> {
    (!versions.is_empty()).then(|| {
        format!(
            "diesel {verb} {} since the last run here; the next `migrate` or `repair` records that",
            versions.join(", ")
        )
    })
}

/// What `--check` ends with.
fn code(document: &Document) -> Code {
    let mut code = if document.half_copy {
        Code::Refused
    } else {
        Code::Done
    };
    for problem in document.problems.iter().filter(|p| !p.is_warning()) {
        code = code.or(match problem {
            Problem::Newer { .. } => Code::Refused,
            _ => Code::History,
        });
    }
    if document.is_changed_by_hand {
        code = code.or(Code::Drift);
    }
    let is_lost = |problem: &Problem| matches!(problem, Problem::LostTable { .. });
    if !document.pending.is_empty() || document.problems.iter().any(is_lost) {
        code = code.or(Code::Attention);
    }
    code
}

fn text(document: &Document, paint: Paint) -> String {
    let mut text = Text::default();
    text.lines(&heading(document, paint));
    if !(document.applied.is_empty() && document.pending.is_empty()) {
        text.line("").lines(&table(document, paint));
    }
    for issue in &document.schema_issues {
        text.line("").marked(paint, ("problem:", Style::Red), issue);
    }
    for notice in &document.notices {
        text.line("")
            .marked(paint, ("note:", Style::Yellow), notice);
    }
    if let Some(advice) = advice(document) {
        text.line("").line(advice);
    }
    text.into_string()
}

fn heading(document: &Document, paint: Paint) -> String {
    let mut state = vec![
        format!("{} applied", document.applied.len()),
        format!("{} pending", document.pending.len()),
    ];
    if !document.schema_issues.is_empty() {
        state.push(format!("{} to look at", document.schema_issues.len()));
    }
    let engine = match (&document.server_version, &document.journal_mode) {
        (Some(version), _) => format!("PostgreSQL {version}"),
        (None, Some(mode)) => format!("SQLite, journal mode {mode}"),
        (None, None) => "SQLite".to_owned(),
    };
    let size = match document.size_bytes {
        Some(bytes) => show_size(bytes),
        None if document.exists => "size unknown".to_owned(),
        None => "does not exist yet".to_owned(),
    };
    let style = if !document.schema_issues.is_empty() {
        Style::Red
    } else if document.pending.is_empty() {
        Style::Green
    } else {
        Style::Yellow
    };
    format!(
        "{}\n{} {engine}, {}, {size}\n{} {}\n{} {}\n",
        paint.text(&state.join(", "), style),
        paint.text("database", Style::Bold),
        document.location,
        paint.text("version ", Style::Bold),
        document.current_version.as_deref().unwrap_or("none"),
        paint.text("files   ", Style::Bold),
        document.source,
    )
}

fn table(document: &Document, paint: Paint) -> String {
    let mut entries: Vec<&Entry> = document.applied.iter().chain(&document.pending).collect();
    entries.sort_by_key(|entry| entry.position);
    let several_sets = entries.iter().any(|e| e.set != entries[0].set);
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("version", Align::Left),
        ("name", Align::Left),
        ("set", Align::Left),
        ("state", Align::Left),
        ("applied at (UTC)", Align::Left),
        ("took", Align::Right),
        ("by", Align::Left),
    ]);
    for entry in entries {
        let took = entry.duration_us.and_then(|us| u64::try_from(us).ok());
        let (state, style) = state_of(document, entry);
        table.row(
            vec![
                entry.position.to_string().into(),
                entry.version.as_str().into(),
                entry.name.as_str().into(),
                if several_sets { entry.set.as_str() } else { "" }.into(),
                state.into(),
                entry
                    .applied_at
                    .as_deref()
                    .map_or_else(String::new, short_time)
                    .into(),
                took.map_or_else(
                    || unknown_time(entry).into(),
                    |us| show(Duration::from_micros(us)).into(),
                ),
                entry.applied_by.as_deref().unwrap_or_default().into(),
            ],
            style,
        );
    }
    table.render(paint)
}

fn state_of<'e>(document: &Document, entry: &'e Entry) -> (&'e str, Option<Style>) {
    let problem = document
        .problems
        .iter()
        .find(|p| p.version() == Some(entry.version.as_str()) && !p.is_warning());
    match (problem, entry.state) {
        (Some(Problem::Edited { .. }), _) => ("edited", Some(Style::Red)),
        (Some(Problem::Missing { .. }), _) => ("file missing", Some(Style::Red)),
        (Some(Problem::Newer { .. }), _) => ("newer", Some(Style::Red)),
        (Some(Problem::OutOfOrder { .. }), _) => ("out of order", Some(Style::Red)),
        (
            Some(
                Problem::HalfReverted { .. }
                | Problem::NoMigrations { .. }
                | Problem::LostTable { .. },
            ),
            _,
        )
        | (_, State::Reverting) => ("stopped on its way back", Some(Style::Red)),
        (_, State::Applied) => (entry.how.as_str(), None),
        (_, State::Pending) => ("pending", Some(Style::Yellow)),
        (_, State::Incomplete) => ("stopped half way", Some(Style::Red)),
    }
}

/// What was adopted or declared did not run here; what is pending has not run at all.
const fn unknown_time(entry: &Entry) -> &'static str {
    if entry.applied_at.is_some() {
        "—"
    } else {
        ""
    }
}

/// Seconds are enough for a person; the JSON has microseconds.
fn short_time(stored: &str) -> String {
    let seconds = stored.split(['.', 'Z']).next().unwrap_or(stored);
    seconds.replace('T', " ")
}

fn has_lines(problem: &Problem) -> bool {
    let lines = matches!(
        problem,
        Problem::Edited {
            has_lines: true,
            ..
        }
    );
    lines && !problem.is_warning()
}

fn advice(document: &Document) -> Option<&'static str> {
    if document.applied.is_empty() && document.pending.is_empty() {
        Some("There are no migrations; `bitcraps-db create NAME` makes the first.")
    } else if document.problems.iter().any(has_lines) {
        Some("`bitcraps-db validate` shows the lines that differ.")
    } else if document.is_changed_by_hand {
        Some(
            "Undo by hand what was changed by hand, or put it into a migration; `migrate --force` \
             takes the schema as it is.",
        )
    } else if !document.schema_issues.is_empty() {
        // Each says what to do about it.
        None
    } else if document.pending.is_empty() {
        None
    } else {
        Some("`bitcraps-db migrate` applies what is pending; --dry-run rehearses it.")
    }
}
