//! `seed`: believable data for demonstrations and benchmarks.

use db_core::Database;
use db_repo::seed::{self, Filled};
use serde::Serialize;

use super::Context;
use crate::args::Seed;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::text::Text;

/// What was made, in JSON.
#[derive(Debug, Serialize)]
struct Document {
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
    let filled = seed::fill(&database, &wanted, |_| {}).map_err(|error| match error {
        db_repo::Error::AlreadyExists { .. } => Error::Refused {
            message: format!("the data of seed {} is there already", options.seed),
            hint: "take another --seed".to_owned(),
        },
        error => error.into(),
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
        "{} users, {} games with {} bets, {} games against the house, {} staking positions",
        filled.users, filled.games, filled.bets, filled.house_games, filled.positions
    ));
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}
