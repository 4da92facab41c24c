//! `seed`: believable data for demonstrations and benchmarks.

use db_core::{Database, Interrupt};
use db_repo::seed::{self, Filled};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::Seed;
use crate::database;
use crate::error::Error;
use crate::exit::{self, Code};
use crate::json::EngineName;
use crate::output::phases::Phases;
use crate::output::text::{Text, counted};
use crate::signals;

/// What was made in this run, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    seed: u64,
    #[serde(flatten)]
    filled: Filled,
}

pub(super) fn run(context: &Context<'_>, options: &Seed) -> Result<Code, Error> {
    let url = context.job()?.url;
    // A database without our tables is none to fill.
    let settings = context
        .file()?
        .database(context.global)?
        .create_if_missing(false);
    let database = Database::open(&settings)?;
    let wanted = seed::Options {
        users: options.users,
        games: options.games,
        seed: options.seed,
    };
    let mut guard = Some(signals::guard(&Interrupt::default()));
    signals::listen()?;
    let mut phases = Phases::new(context.output);
    let filled = seed::fill(&database, &wanted, |at| {
        let is_last = at.done == at.total && (at.phase == "games" || options.games == 0);
        if is_last {
            // Nothing is left to be stopped.
            guard = None;
        }
        phases.step(at.phase, at.done, at.total);
        // Between two writes, each of which is whole.
        if !is_last && signals::received().is_some() {
            phases.finish();
            let error = Error::Refused {
                message: "interrupted".to_owned(),
                hint: "what was written stays; the same command goes on behind it".to_owned(),
            };
            context.output.error(&error);
            exit::leave(error.code());
        }
    });
    phases.finish();
    drop(guard);
    let filled =
        filled.map_err(|error| {
            match error {
        db_repo::Error::AlreadyExists { .. } => Error::Refused {
            message: format!("the data of seed {} is there already", options.seed),
            hint: "take another --seed".to_owned(),
        },
        db_repo::Error::Invalid { field: "seed", rule } => Error::Refused {
            message: format!("the data of seed {} {rule}", options.seed),
            hint: "go on with the same --users and at least as many --games, or take another --seed"
                .to_owned(),
        },
        error => error.into(),
    }
        })?;
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            seed: options.seed,
            filled,
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    text.line(format!(
        "{}, {} with {}, {} against the house, {}",
        counted(filled.users, "user"),
        counted(filled.games, "game"),
        counted(filled.bets, "bet"),
        counted(filled.house_games, "game"),
        counted(filled.positions, "staking position")
    ));
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}
