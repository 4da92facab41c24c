//! `migrate`: applies what is pending, or rehearses it.

use db_core::{Access, Connection, DatabaseUrl, Engine};
use db_migrate::{MigrateOptions, Migration, Target};

use super::{Context, Job, lost};
use crate::args::Migrate;
use crate::database;
use crate::error::Error;
use crate::exit::Code;

pub(super) fn run(context: &Context<'_>, options: &Migrate) -> Result<Code, Error> {
    let wanted = MigrateOptions {
        target: options.to.as_deref().map(Target::parse).transpose()?,
        single_transaction: options.single_transaction,
        allow_out_of_order: options.allow_out_of_order,
        accept_drift: options.force,
        verify: options.verify,
    };
    let job = context.job()?;
    let url = job.url.clone();
    let connection = if options.dry_run {
        open_for_rehearsal(&job)?
    } else {
        open(&job, &wanted)?
    };
    let mut running = context.start_on(job.migrator, connection, Some(options.wait))?;
    let done = if options.dry_run {
        running.migrator.dry_run(running.connection.conn(), &wanted)
    } else {
        running.migrator.migrate(running.connection.conn(), &wanted)
    };
    running.progress.finish();
    let mut done = done?;
    // Start scripts migrate; a database that was lost would come up empty without a word.
    if let Some(step) = done.steps.first().filter(|_| !done.rehearsal) {
        let known = running.migrator.migrations(url.engine())?;
        let first = known.all().first().map(Migration::version);
        if first == Some(&step.version) {
            done.notices.extend(lost::made_anew(context));
        }
    }
    let nothing = if done.steps.is_empty() && !running.migrator.has_migrations(url.engine())? {
        "nothing to do: there are no migrations; `bitcraps-db create NAME` makes one"
    } else {
        "nothing to do: every migration is applied"
    };
    context.print_run(&url, &done, nothing)?;
    Ok(Code::Done)
}

/// Opens the database, and creates a missing file once it is clear that the run can begin.
fn open(job: &Job, options: &MigrateOptions) -> Result<Connection, Error> {
    if let Some(connection) = database::open_existing(job, Access::ReadWrite)? {
        return Ok(connection);
    }
    let mut memory = Connection::open(&DatabaseUrl::SqliteMemory, Access::Create)?;
    job.migrator.preview(memory.conn(), options)?;
    Ok(database::open(job, Access::Create)?)
}

/// Opens what a rehearsal reads. SQLite copies from it, so reading is enough; a file that does not
/// exist yet is one in memory. PostgreSQL writes in a transaction that it rolls back.
fn open_for_rehearsal(job: &Job) -> Result<Connection, Error> {
    let access = match job.url.engine() {
        Engine::Sqlite => Access::ReadOnly,
        Engine::Postgres => Access::ReadWrite,
    };
    match database::open_existing(job, access)? {
        Some(connection) => Ok(connection),
        None => Ok(Connection::open(
            &DatabaseUrl::SqliteMemory,
            Access::Create,
        )?),
    }
}
