//! `schema diff`: two databases held against each other.

use std::collections::BTreeMap;

use db_core::{Access, DatabaseUrl, Engine};
use db_migrate::catalog::model::Model;
use db_migrate::catalog::{Difference, Mode, parity};
use db_schema::disparities::{self, Where};
use db_transfer::copy;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use crate::args::SchemaDiff;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::Style;
use crate::output::text::Text;

/// What differs, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    first: Side,
    second: Side,
    same: bool,
    exit_code: u8,
    /// Object by object, where both are of one engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<Difference>>,
    /// By what both engines have, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    disparities: Option<Vec<parity::Disparity>>,
    /// Where our own schema differs between the engines on purpose, and what `copy` makes of types.
    #[serde(skip_serializing_if = "Option::is_none")]
    intended: Option<Vec<Intended>>,
}

/// What the engines have each in their own way, and why.
#[derive(Debug, Serialize, JsonSchema)]
struct Intended {
    #[serde(flatten)]
    disparity: parity::Disparity,
    reason: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Side {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
}

impl Side {
    fn of(url: &DatabaseUrl) -> Self {
        Self {
            engine: url.engine().name(),
            location: database::location(url),
        }
    }
}

/// Why types, and what hangs on them, differ where `copy` has made the one of the other.
const BY_COPY: &str = "as `copy` maps it";

/// Characters of a line for a person; `--json` has all of it.
const MOST: usize = 300;

/// A line without its middle, where it is long.
fn shortened(line: &str) -> String {
    let count = line.chars().count();
    if count <= MOST {
        return line.to_owned();
    }
    let start: String = line.chars().take(MOST * 2 / 3).collect();
    let end: String = line.chars().skip(count - MOST / 3).collect();
    format!("{start} … {end}")
}

pub(super) fn run(context: &Context<'_>, options: &SchemaDiff) -> Result<Code, Error> {
    let (first, second) = (context.at(&options.first)?, context.at(&options.second)?);
    let mut connections = (
        database::open(&first, Access::ReadOnly)?,
        database::open(&second, Access::ReadOnly)?,
    );
    let (first, second) = (first.url, second.url);
    let (differences, disparities, intended) = if first.engine() == second.engine() {
        let expected = super::catalog(&mut connections.0)?;
        let live = super::catalog(&mut connections.1)?;
        (Some(expected.compare(&live, Mode::Loose)), None, None)
    } else {
        let ours = super::model(&mut connections.0)?;
        let theirs = super::model(&mut connections.1)?;
        let (disparities, intended) = across(first.engine(), &ours, &theirs);
        (None, Some(disparities), Some(intended))
    };
    let lines: Vec<String> = differences
        .iter()
        .flatten()
        .map(ToString::to_string)
        .chain(disparities.iter().flatten().map(ToString::to_string))
        .collect();
    let code = if lines.is_empty() {
        Code::Done
    } else {
        Code::Drift
    };
    if context.output.is_json() {
        context.output.document(&Document {
            first: Side::of(&first),
            second: Side::of(&second),
            same: lines.is_empty(),
            exit_code: code.number(),
            differences,
            disparities,
            intended,
        })?;
        return Ok(code);
    }
    let paint = context.output.paint();
    let mut text = Text::default();
    if lines.is_empty() {
        let has_own_ways = intended.as_ref().is_some_and(|all| !all.is_empty());
        text.line(paint.text(
            if has_own_ways {
                "the schemas are the same, but for what differs on purpose"
            } else {
                "the schemas are the same"
            },
            Style::Green,
        ));
    }
    for line in lines {
        text.line(shortened(&line));
    }
    let mut on_purpose: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Intended { disparity, reason } in intended.iter().flatten() {
        let subjects = on_purpose.entry(reason).or_default();
        subjects.push(&disparity.subject);
    }
    for (reason, subjects) in on_purpose {
        let line = format!("on purpose, {reason}: {}", subjects.join(", "));
        text.line(shortened(&line));
    }
    context.output.data(&text.into_string())?;
    Ok(code)
}

/// What differs, each as the databases say it; and that of it which a copy between them explains.
fn apart(
    all: Vec<parity::Disparity>,
    mut remaining: Vec<parity::Disparity>,
) -> (Vec<parity::Disparity>, Vec<Intended>) {
    let mut by_copy = Vec::new();
    for disparity in all {
        let same = |one: &&mut parity::Disparity| one.subject == disparity.subject;
        match remaining.iter_mut().find(same) {
            Some(one) => *one = disparity,
            None => by_copy.push(Intended {
                disparity,
                reason: BY_COPY,
            }),
        }
    }
    (remaining, by_copy)
}

/// What differs between two engines, and where our own schema does so on purpose.
fn across(first: Engine, ours: &Model, theirs: &Model) -> (Vec<parity::Disparity>, Vec<Intended>) {
    let mut found = (Vec::new(), Vec::new());
    // The reasons hold where both are our own schema, whose trail is written by these.
    let (sqlite, postgres) = match first {
        Engine::Sqlite => (ours, theirs),
        Engine::Postgres => (theirs, ours),
    };
    let is_own = sqlite.table("audit_context").is_some() && postgres.table("audit_logs").is_some();
    let mut mapped = sqlite.clone();
    copy::take_back_mapping(&mut mapped, postgres);
    let remaining = match first {
        Engine::Sqlite => parity::compare(&mapped, postgres),
        Engine::Postgres => parity::compare(postgres, &mapped),
    };
    let (disparities, by_copy) = apart(parity::compare(ours, theirs), remaining);
    found.1.extend(by_copy);
    for disparity in disparities {
        let side =
            match (disparity.side, first) {
                (parity::Side::Both, _) => Where::Differs,
                // The second is of the other engine than the first.
                (parity::Side::First, Engine::Sqlite)
                | (parity::Side::Second, Engine::Postgres) => Where::SqliteOnly,
                (parity::Side::First, Engine::Postgres)
                | (parity::Side::Second, Engine::Sqlite) => Where::PostgresOnly,
            };
        match disparities::reason(side, &disparity.subject).filter(|_| is_own) {
            Some(reason) => found.1.push(Intended { disparity, reason }),
            None => found.0.push(disparity),
        }
    }
    found
}
