//! `rollback`: shows what would be reverted, asks, and reverts it.

use db_core::{Access, Engine};
use db_migrate::{Drift, Entry, Target};

use super::{Context, Job, Running};
use crate::args::Rollback;
use crate::error::Error;
use crate::exit::Code;
use crate::prompt;

/// What is said when there is nothing to do.
const NOTHING: &str = "nothing to roll back";

pub(super) fn run(context: &Context<'_>, options: &Rollback) -> Result<Code, Error> {
    let target = options.target.as_deref().map(Target::parse).transpose()?;
    let job = context.job()?;
    let url = job.url.clone();
    if options.dry_run {
        return rehearse(context, job, target.as_ref(), options);
    }
    let mut running = context.start(job, Access::ReadWrite, Some(options.wait))?;
    let plan = running
        .migrator
        .preview_rollback(running.connection.conn(), target.as_ref())?;
    if !plan.is_empty() && !options.force {
        refuse_drift(&mut running)?;
    }
    agree(context, &plan, options.force)?;
    // Whoever was asked has confirmed this plan; `--force` means whatever the target says by now.
    let confirmed = Some(plan.as_slice()).filter(|_| !options.force);
    let done = revert(&mut running, target.as_ref(), confirmed)?;
    context.print_run(&url, &done, NOTHING)?;
    Ok(Code::Done)
}

/// Really runs it, and leaves the database as it was: nothing is lost, so nothing is asked.
fn rehearse(
    context: &Context<'_>,
    job: Job,
    target: Option<&Target>,
    options: &Rollback,
) -> Result<Code, Error> {
    let url = job.url.clone();
    // A SQLite database is only copied from.
    let access = match url.engine() {
        Engine::Sqlite => Access::ReadOnly,
        Engine::Postgres => Access::ReadWrite,
    };
    let mut running = context.start(job, access, Some(options.wait))?;
    let conn = running.connection.conn();
    let done = running.migrator.dry_run_rollback(conn, target);
    running.progress.finish();
    context.print_run(&url, &done?, NOTHING)?;
    Ok(Code::Done)
}

/// What was changed by hand would be stored as the schema's state, and nothing would find it any more.
fn refuse_drift(running: &mut Running) -> Result<(), Error> {
    match running.migrator.drift(running.connection.conn())? {
        Drift::Found { differences } => Err(db_migrate::Error::Drift(differences).into()),
        _ => Ok(()),
    }
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

/// Reverts, only what was confirmed if that is given, and takes the progress away.
pub(super) fn revert(
    running: &mut Running,
    target: Option<&Target>,
    confirmed: Option<&[Entry]>,
) -> Result<db_migrate::Report, Error> {
    let conn = running.connection.conn();
    let migrator = &running.migrator;
    let done = match (confirmed, target) {
        (Some(plan), _) => migrator.rollback_as_planned(conn, target, plan),
        (None, Some(target)) => migrator.rollback_to(conn, target),
        (None, None) => migrator.rollback(conn),
    };
    running.progress.finish();
    Ok(done?)
}
