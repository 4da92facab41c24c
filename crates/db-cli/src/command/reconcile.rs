//! `reconcile`: does the money add up?

use db_core::{Access, Conn, ErrorKind};
use db_repo::{ReconcileReport, Reconciliation};
use diesel::Connection as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::Reconcile;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::text::{Text, counted};

const PROBLEM: (&str, Style) = ("problem:", Style::Red);

/// What was found, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'r> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    sound: bool,
    exit_code: u8,
    #[serde(flatten)]
    found: &'r ReconcileReport,
    /// The differences in words.
    messages: Vec<String>,
}

pub(super) fn run(context: &Context<'_>, options: &Reconcile) -> Result<Code, Error> {
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadOnly, None)?;
    let reconciliation = Reconciliation::new().with_most_differences(options.limit);
    let found = in_one_snapshot(&mut running.connection.conn(), reconciliation);
    running.progress.finish();
    let found = found.map_err(hinted)?;
    let code = if found.is_sound() {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            sound: found.is_sound(),
            exit_code: code.number(),
            found: &found,
            messages: found.differences.iter().map(ToString::to_string).collect(),
        })?;
    } else {
        context.output.data(&text(&found, context.output.paint()))?;
    }
    Ok(code)
}

/// Sums of two moments would differ beside writes that go on.
pub(super) fn in_one_snapshot(
    conn: &mut Conn<'_>,
    reconciliation: Reconciliation,
) -> Result<ReconcileReport, db_repo::Error> {
    match conn {
        Conn::Sqlite(c) => c.transaction(|c| reconciliation.run(&mut c.into())),
        Conn::Postgres(c) => c
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(|c| reconciliation.run(&mut c.into())),
    }
}

/// A table that is not there is the likeliest reason why a statement of ours is refused.
fn hinted(error: db_repo::Error) -> Error {
    match error {
        db_repo::Error::Database(error) if error.kind() == ErrorKind::Statement => {
            Error::Database(error.with_hint(
                "the tables of BitCraps have to be there; `bitcraps-db status` says what is applied",
            ))
        }
        error => error.into(),
    }
}

fn text(found: &ReconcileReport, paint: Paint) -> String {
    let mut text = Text::default();
    for difference in &found.differences {
        text.marked(paint, PROBLEM, difference);
    }
    let unnamed = found
        .difference_count
        .saturating_sub(u64::try_from(found.differences.len()).unwrap_or(u64::MAX));
    if unnamed > 0 {
        text.line(format!("and {unnamed} more; --limit names more of them"));
    }
    let looked_at = format!(
        "{} with {}, {} and {}; {} with {}; {}",
        counted(found.users, "player"),
        counted(found.transactions, "line"),
        counted(found.open_bets, "open bet"),
        counted(found.active_positions, "active position"),
        counted(found.accounts, "account"),
        counted(found.account_entries, "line"),
        counted(found.games, "game"),
    );
    text.line(looked_at);
    if !found.not_checked.is_empty() {
        let count = u64::try_from(found.not_checked.len()).unwrap_or(u64::MAX);
        text.line(format!(
            "{} left out, for what a schema of this version does not have; --json names them",
            counted(count, "check")
        ));
    }
    let supply = found.total_supply;
    if found.is_sound() {
        let sound = format!("everything adds up, to {supply} in all");
        text.line(paint.text(&sound, Style::Green));
    } else {
        let count = counted(found.difference_count, "difference");
        text.line(format!("{count}; there are {supply} in all"));
    }
    text.into_string()
}
