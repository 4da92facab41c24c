//! A report for a person.

use db_backup::health::{CANNOT_BE_OPENED, CheckResult, HealthReport, State};
use db_core::duration::show;

use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;

/// All that was seen.
pub(super) fn whole(report: &HealthReport, paint: Paint) -> String {
    let mut text = Text::default();
    let state = report.state();
    let words = match state {
        State::Ok | State::Warn if report.forbidden.is_some() => {
            "not everything may be read by this role"
        }
        State::Ok => "healthy",
        State::Unknown => "nothing is known",
        State::Warn => "healthy, and something wants attention",
        State::Fail => "unhealthy",
    };
    text.line(paint.text(words, style(state).unwrap_or(Style::Green)));
    text.line(format!(
        "{} {}, {}",
        paint.text("database", Style::Bold),
        report.engine,
        report.location
    ));
    let mut table = Table::new(&[
        ("state", Align::Left),
        ("check", Align::Left),
        ("observed", Align::Left),
        ("took", Align::Right),
    ]);
    for result in report.results.iter().filter(|result| is_news(result)) {
        table.row(
            vec![
                result.state.name().into(),
                result.name.as_ref().into(),
                one_line(&result.observed).into(),
                show(result.took).into(),
            ],
            style(result.state),
        );
    }
    text.line("").lines(&table.render(paint));
    if let Some(error) = &report.forbidden {
        let mark = ("problem:", Style::Red);
        text.line("").marked(paint, mark, error.message());
        let hint = "GRANT the role SELECT on the tables, or look as the owner; GRANT pg_monitor for what \
                    is known of the server";
        text.marked(paint, ("hint:", Style::Bold), hint);
    }
    for result in &report.results {
        if matches!(result.state, State::Warn | State::Fail) {
            details(&mut text, result, paint);
        }
    }
    text.into_string()
}

/// What has changed since the look before: nothing, mostly.
pub(super) fn changes(before: &HealthReport, report: &HealthReport, paint: Paint) -> String {
    let mut text = Text::default();
    for result in &report.results {
        let old = before.find(&result.name).map(|old| old.state);
        if old == Some(result.state) || !is_news(result) {
            continue;
        }
        let line = format!(
            "{} {}: {}: {}",
            result.at.format("%H:%M:%S"),
            result.name,
            result.state,
            one_line(&result.observed)
        );
        match style(result.state) {
            Some(style) => text.line(paint.text(&line, style)),
            None => text.line(line),
        };
    }
    text.into_string()
}

fn details(text: &mut Text, result: &CheckResult, paint: Paint) {
    let mark = match result.state {
        State::Fail => ("problem:", Style::Red),
        _ => ("attention:", Style::Yellow),
    };
    let limit = result.limit.as_ref();
    let limit = limit.map_or_else(String::new, |limit| format!(" ({limit})"));
    let about = format!("{}: {}{limit}", result.name, one_line(&result.observed));
    text.line("").marked(paint, mark, about);
    for name in &result.names {
        text.line(format!("  {name}"));
    }
    if let Some(hint) = &result.hint {
        text.marked(paint, ("hint:", Style::Bold), hint);
    }
}

/// One cause is said once, by the check of the connection.
fn is_news(result: &CheckResult) -> bool {
    result.observed != CANNOT_BE_OPENED
}

/// What a server says may have several lines.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

const fn style(state: State) -> Option<Style> {
    match state {
        State::Ok | State::Unknown => None,
        State::Warn => Some(Style::Yellow),
        State::Fail => Some(Style::Red),
    }
}
