//! Our own side: this program, started anew as a contender.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bench_load::{Durability, Job, Library, Place, Work, print};
use db_core::{Database, DatabaseConfig, Synchronous, with_conn};
use diesel::prelude::*;

use crate::{data, repo};

/// How long the end may take: nothing runs any more.
const END: Duration = Duration::from_secs(10);

/// Does the job in the last word of the command line, and prints its figures.
///
/// # Errors
/// If the database cannot be opened or closed. Failed operations are counted, not returned.
pub(crate) fn run(command: &[OsString]) -> Result<()> {
    let text = command.last().and_then(|word| word.to_str());
    let job = Job::parse(text.context("no job")?)?;
    let database = Database::open(&config(&job)?)?;
    let figures = match job.work {
        Work::Repo(work) => repo::work(&job, &database, work)?,
        _ => data::work(&job, &database)?,
    };
    let name = match job.place {
        Place::Sqlite(_) => format!(
            "{}, SQLite {}",
            env!("CARGO_PKG_VERSION"),
            sqlite(&database)?
        ),
        Place::Postgres(_) => env!("CARGO_PKG_VERSION").to_owned(),
    };
    database.close(END)?;
    print(figures, &Library { name })
}

fn config(job: &Job) -> Result<DatabaseConfig> {
    let url = match &job.place {
        Place::Sqlite(_) => job.file()?,
        Place::Postgres(url) => url,
    };
    let config = DatabaseConfig::new(url)
        .max_connections(job.connections)
        .synchronous(match job.durability {
            Durability::Normal => Synchronous::Normal,
            Durability::Full => Synchronous::Full,
        });
    Ok(match job.work {
        Work::Hold { patience_ms, .. } => {
            config.connection_timeout(Duration::from_millis(patience_ms))
        }
        _ => config,
    })
}

diesel::define_sql_function! {
    /// The version of the SQLite that is linked.
    fn sqlite_version() -> Text;
}

fn sqlite(database: &Database) -> Result<String> {
    database.read(|conn| {
        let version = with_conn!(conn, |c| diesel::select(sqlite_version()).get_result(c))?;
        Ok(version)
    })
}
