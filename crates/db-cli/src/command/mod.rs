//! One module per command, and what they share.

mod audit;
pub(crate) mod backup;
mod baseline;
mod completions;
mod config;
pub(crate) mod copy;
mod create;
mod export;
mod health;
mod import;
pub(crate) mod json_schema;
mod lost;
mod maintenance;
mod man;
mod migrate;
mod reconcile;
mod repair;
mod reset;
mod restore;
mod rollback;
mod salvage;
mod schema;
mod seed;
mod status;
mod validate;

use std::path::Path;
use std::time::Duration;

use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Engine, Options};
use db_migrate::{Migrator, Report};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::{Arguments, Command, Global};
use crate::config as configuration;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::key;
use crate::output::Output;
use crate::output::progress::Progress;
use crate::output::run::{self, RunReport};
use crate::signals::{self, Guard};

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever stands in the way; the code is [`Error::code`].
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<Code, Error> {
    let context = Context {
        global: &arguments.global,
        output,
    };
    let done = match &arguments.command {
        Command::Migrate(options) => migrate::run(&context, options),
        Command::Rollback(options) => rollback::run(&context, options),
        Command::Status(options) => status::run(&context, options),
        Command::Validate(options) => validate::run(&context, options),
        Command::Health(options) => health::run(&context, options),
        Command::Repair(options) => repair::run(&context, options),
        Command::Baseline(options) => baseline::run(&context, options),
        Command::Create(options) => create::run(&context, options),
        Command::Reset(options) => reset::run(&context, options),
        Command::Audit(options) => audit::run(&context, options),
        Command::Reconcile(options) => reconcile::run(&context, options),
        Command::Schema(options) => schema::run(&context, options),
        Command::Seed(options) => seed::run(&context, options),
        Command::Import(options) => import::run(&context, options),
        Command::Backup(options) => backup::run(&context, options),
        Command::Restore(options) => restore::run(&context, options),
        Command::Export(options) => export::run(&context, options),
        Command::Maintenance(options) => maintenance::run(&context, options),
        Command::Salvage(options) => salvage::run(&context, options),
        Command::Config(options) => config::run(&context, options),
        Command::Copy(options) => copy::run(&context, options),
        Command::Completions(options) => completions::run(&context, options),
        Command::Man(options) => man::run(&context, options),
        Command::JsonSchema(options) => json_schema::run(&context, options),
    };
    let done = done.map_err(|error| lost::with_backups(&context, &arguments.command, error));
    match &arguments.command {
        Command::Audit(_)
        | Command::Health(_)
        | Command::Reconcile(_)
        | Command::Copy(_)
        | Command::Export(_)
        | Command::Import(_)
        | Command::Schema(_)
        | Command::Seed(_)
        | Command::Status(_)
        | Command::Validate(_) => done.map_err(Error::of_a_command_that_does_not_wait),
        _ => done,
    }
}

/// What every command is given.
struct Context<'a> {
    global: &'a Global,
    output: &'a Output,
}

/// The database and the migrations of a command.
pub(crate) struct Job {
    /// The database, as it was written.
    pub(crate) url: DatabaseUrl,
    /// The same with what the settings say of a connection.
    pub(crate) target: DatabaseUrl,
    /// Whether a file that is not there may be made.
    pub(crate) may_create: bool,
    pub(crate) key: Option<EncryptionKey>,
    migrator: Migrator,
}

/// A connection on which something runs that a signal can stop.
struct Running {
    connection: Connection,
    migrator: Migrator,
    progress: Progress,
    _guard: Guard,
}

/// A run in JSON, with the database that it ran on.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunDocument {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    #[serde(flatten)]
    report: RunReport,
}

impl Context<'_> {
    /// The configuration file.
    fn file(&self) -> Result<configuration::File, Error> {
        configuration::File::read(self.global)
    }

    /// The database that is named, if one is. Its key is not asked for.
    fn named(&self) -> Option<DatabaseUrl> {
        let file = self.file().ok()?;
        let settings = file.database(self.global).ok()?;
        Some(match settings.options().ok()? {
            Options::Sqlite(options) => options.url,
            Options::Postgres(options) => options.target,
        })
    }

    /// The database, not opened yet, and the migrations, which are read while it is opened.
    fn job(&self) -> Result<Job, Error> {
        let job = self.job_beside()?;
        database::refuse_nameless(&job.url)?;
        Ok(job)
    }

    /// The same for what is done beside the database: of a server it need not be said which one.
    fn job_beside(&self) -> Result<Job, Error> {
        let file = self.file()?;
        let settings = file.database(self.global)?;
        let (url, target, may_create, source) = match settings.options().map_err(Error::setting)? {
            Options::Sqlite(options) => (
                options.url.clone(),
                options.url,
                options.create_if_missing,
                options.encryption_key,
            ),
            Options::Postgres(options) => {
                key::refuse_on_postgres(self.global)?;
                (options.url, options.target, false, None)
            }
        };
        tracing::debug!(%url, "database");
        let mut migrator = file.migrator(self.global);
        migrator.read_ahead(url.engine());
        let key = source.as_ref().map(key::read).transpose()?;
        if let Some(key) = &key {
            migrator = migrator.encryption_key(key.clone());
        }
        Ok(Job {
            url,
            target,
            may_create,
            key,
            migrator,
        })
    }

    /// The job on another database than the command's own.
    fn at(&self, url: &str) -> Result<Job, Error> {
        let mut global = self.global.clone();
        global.database_url = Some(url.to_owned());
        // The key that is named for this call is for the side that is a file.
        if DatabaseUrl::parse(url).is_ok_and(|url| url.engine() == Engine::Postgres) {
            (global.key_file, global.key_command) = (None, None);
        }
        let context = Context {
            global: &global,
            output: self.output,
        };
        context.job()
    }

    /// Opens the database for a run.
    fn start(&self, job: Job, access: Access, wait: Option<Duration>) -> Result<Running, Error> {
        // What is wrong with the files is said before a database is made.
        job.migrator.migrations(job.url.engine())?;
        let connection = database::open(&job, access)?;
        signals::listen()?;
        self.start_on(job.migrator, connection, wait)
    }

    /// Prepares a run on an open connection. A signal is listened for from its first event on.
    fn start_on(
        &self,
        migrator: Migrator,
        mut connection: Connection,
        wait: Option<Duration>,
    ) -> Result<Running, Error> {
        if let Some(wait) = wait {
            database::wait_for_writers(connection.conn(), wait)?;
        }
        let progress = Progress::new(self.output);
        let shown = progress.clone();
        let interrupt = connection.interrupt();
        let guard = signals::guard(&interrupt);
        let mut migrator = migrator.interrupt(interrupt).on_event(move |event| {
            if let Err(error) = signals::listen() {
                tracing::warn!(?error, "a signal will end the program at once");
            }
            shown.on_event(event);
        });
        if let Some(wait) = wait {
            migrator = migrator.wait(wait);
        }
        Ok(Running {
            connection,
            migrator,
            progress,
            _guard: guard,
        })
    }

    /// Prints what a run did.
    fn print_run(&self, url: &DatabaseUrl, report: &Report, nothing: &str) -> Result<(), Error> {
        if self.output.is_json() {
            return self.output.document(&RunDocument {
                engine: url.engine().name(),
                location: database::location(url),
                report: RunReport::of(report),
            });
        }
        for notice in &report.notices {
            self.output.note(notice);
        }
        let text = run::text(report, self.output.paint());
        if text.is_empty() {
            self.output.report(&format!("{nothing}\n"))
        } else {
            self.output.report(&text)
        }
    }
}

/// Refuses a file, or what would lie below one, where a folder was to be named. A folder that is not there yet may be
/// made.
fn refuse_file(folder: &Path, hint: &str) -> Result<(), Error> {
    let there = folder.ancestors().find(|path| path.exists());
    match there.filter(|path| !path.is_dir()) {
        None => Ok(()),
        Some(file) => Err(Error::usage(
            format!("{} is a file, and no folder", file.display()),
            hint,
        )),
    }
}
