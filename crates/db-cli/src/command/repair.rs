//! `repair`: heals what needs no decision, and what the operator decided.

use db_core::Access;
use db_migrate::{Repair as Wanted, RepairReport, Target};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::Repair;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::text::Text;

/// What was repaired, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'r> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    #[serde(flatten)]
    repaired: &'r RepairReport,
}

pub(super) fn run(context: &Context<'_>, options: &Repair) -> Result<Code, Error> {
    let accept: Result<Vec<Target>, _> = options.accept.iter().map(|t| Target::parse(t)).collect();
    let wanted = Wanted {
        cosmetic: options.cosmetic,
        accept: accept?,
    };
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadWrite, Some(options.wait))?;
    let repaired = running.migrator.repair(running.connection.conn(), &wanted);
    running.progress.finish();
    let repaired = repaired?;
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            repaired: &repaired,
        })?;
    } else {
        context.output.report(&text(&repaired))?;
    }
    Ok(Code::Done)
}

fn text(repaired: &RepairReport) -> String {
    if repaired.is_empty() {
        return "nothing to repair\n".to_owned();
    }
    let mut text = Text::default();
    for (word, items) in [
        ("healed", &repaired.healed),
        ("recorded the new text of", &repaired.restamped),
        ("accepted", &repaired.accepted),
    ] {
        for item in items {
            text.line(format!("{word}: {item}"));
        }
    }
    text.into_string()
}
