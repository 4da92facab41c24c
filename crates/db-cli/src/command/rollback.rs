//! `rollback`: shows what would be reverted, asks, and reverts it.

use db_core::Access;
use db_migrate::{Entry, Target};

use super::{Context, Running};
use crate::args::Rollback;
use crate::error::Error;
use crate::exit::Code;
use crate::prompt;

pub(super) fn run(context: &Context<'_>, options: &Rollback) -> Result<Code, Error> {
    let target = options.target.as_deref().map(Target::parse).transpose()?;
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadWrite, Some(options.wait))?;
    let plan = running
        .migrator
        .preview_rollback(running.connection.conn(), target.as_ref())?;
    agree(context, &plan, options.force)?;
    let done = revert(&mut running, target.as_ref())?;
    context.print_run(&url, &done, "nothing to roll back")?;
    Ok(Code::Done)
}

/// Shows the plan, and goes on only with consent. Nothing to do needs none.
pub(super) fn agree(context: &Context<'_>, plan: &[Entry], force: bool) -> Result<(), Error> {
    if plan.is_empty() {
        return Ok(());
    }
    if !force && !context.output.is_json() {
        context.output.aside("To be reverted, in this order:\n");
        for entry in plan {
            let line = format!(
                "  {:>3}  {}  {}\n",
                entry.position, entry.version, entry.name
            );
            context.output.aside(&line);
        }
    }
    let question = match plan.len() {
        1 => "revert 1 migration and lose what is in its tables and columns?".to_owned(),
        n => format!("revert {n} migrations and lose what is in their tables and columns?"),
    };
    prompt::confirm(context.output, force, &question)
}

/// Reverts, and takes the progress away.
pub(super) fn revert(
    running: &mut Running,
    target: Option<&Target>,
) -> Result<db_migrate::Report, Error> {
    let done = running.migrator.rollback(running.connection.conn(), target);
    running.progress.finish();
    Ok(done?)
}
