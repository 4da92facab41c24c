//! `reset`: everything back, and everything forth.

use db_core::Access;
use db_migrate::Target;
use serde::Serialize;

use super::{Context, rollback};
use crate::args::Reset;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::progress::Progress;
use crate::output::run::{self, RunReport};

/// Both runs in JSON.
#[derive(Debug, Serialize)]
struct Document {
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
    rollback::agree(context, &plan, options.force)?;
    let back = rollback::revert(&mut running, Some(&all))?;
    running.progress = Progress::new(context.output);
    let forth = running.migrator.run(running.connection.conn());
    running.progress.finish();
    let forth = forth?;
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
