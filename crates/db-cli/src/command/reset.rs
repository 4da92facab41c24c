//! `reset`: everything back, and everything forth.

use db_core::{Access, Engine};
use db_migrate::{Entry, Problem, Target};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Running, rollback};
use crate::args::Reset;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::progress::Progress;
use crate::output::run::{self, RunReport};

/// Both runs in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    rolled_back: RunReport,
    migrated: RunReport,
}

pub(super) fn run(context: &Context<'_>, options: &Reset) -> Result<Code, Error> {
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadWrite, Some(options.wait))?;
    let all = Target::Ordinal(0);
    let plan = running
        .migrator
        .preview_rollback(running.connection.conn(), Some(&all))?;
    can_be_built_again(&mut running, url.engine(), &plan)?;
    rollback::agree(context, &plan, options.force)?;
    // What can be built again was judged by this plan.
    let back = rollback::revert(&mut running, Some(&all), Some(&plan))?;
    running.progress = Progress::new(context.output);
    let forth = running.migrator.run(running.connection.conn());
    running.progress.finish();
    let forth = forth.map_err(|error| Error::HalfReset {
        reverted: Box::new(back.clone()),
        error: Box::new(error.into()),
    })?;
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            rolled_back: RunReport::of(&back),
            migrated: RunReport::of(&forth),
        })?;
    } else {
        let paint = context.output.paint();
        context.output.report(&run::text(&back, paint))?;
        context.output.report(&run::text(&forth, paint))?;
    }
    Ok(Code::Done)
}

/// Refuses while nothing is lost yet: if a script could not be begun, or if a migration would be
/// reverted that no file applies again.
fn can_be_built_again(running: &mut Running, engine: Engine, plan: &[Entry]) -> Result<(), Error> {
    running.migrator.check_scripts(engine)?;
    let status = running.migrator.status(running.connection.conn())?;
    let (newer, others): (Vec<_>, Vec<_>) = status
        .problems
        .into_iter()
        .filter(|p| matches!(p, Problem::Newer { .. } | Problem::Missing { .. }))
        .partition(|p| matches!(p, Problem::Newer { .. }));
    if !newer.is_empty() {
        return Err(db_migrate::Error::NewerDatabase(newer).into());
    }
    if !others.is_empty() {
        return Err(db_migrate::Error::History(others).into());
    }
    // Those whose absence was accepted, and those of other sets, are no problem to `migrate`.
    let known = running.migrator.migrations(engine)?;
    let lost: Vec<String> = plan
        .iter()
        .filter(|entry| {
            !known
                .all()
                .iter()
                .any(|m| m.version().as_str() == entry.version)
        })
        .map(|entry| format!("{} {}", entry.version, entry.name))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::Refused {
        message: format!("no file would apply these again: {}", lost.join(", ")),
        hint: "restore the files; to lose what they made, use `rollback 0` and `migrate`"
            .to_owned(),
    })
}
