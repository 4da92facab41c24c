//! What a command says of a database that is not there, or holds nothing, while there are backups of it.

use db_backup::SeriesStatus;
use db_backup::health::HealthReport;
use db_core::{Clock, DatabaseUrl, ErrorKind, SystemClock};

use super::{Context, backup};
use crate::args::{BackupCommand, BackupPlace, Command};
use crate::error::Error;

/// The words by which the checks of health send to `migrate`, where no migration was ever applied.
const TO_MIGRATE: &str = "`bitcraps-db migrate` makes";

/// The error of a command whose database is not there, with `restore` as the first thing to do if its
/// backups are.
pub(super) fn with_backups(context: &Context<'_>, command: &Command, error: Error) -> Error {
    let is_missing = error
        .database()
        .is_some_and(|error| error.kind() == ErrorKind::DatabaseMissing);
    // Whoever restores or migrates needs no such word.
    let place = match command {
        Command::Backup(options) => match &options.command {
            None => Some(&options.create.place),
            Some(BackupCommand::Create(options)) => Some(&options.place),
            Some(BackupCommand::Schedule(options)) => Some(&options.create.place),
            Some(_) => return error,
        },
        Command::Audit(_)
        | Command::Export(_)
        | Command::Health(_)
        | Command::Maintenance(_)
        | Command::Reconcile(_)
        | Command::Salvage(_)
        | Command::Status(_)
        | Command::Validate(_) => None,
        _ => return error,
    };
    if let Error::Backup(db_backup::Error::Unsound { .. }) = &error {
        let hint = unsound(context, place);
        let error = Box::new(error);
        return Error::Hinted { error, hint };
    }
    if !is_missing {
        return error;
    }
    match newest(context, place) {
        Some(newest) => error.with_hint(hint(&newest, place)),
        None => error,
    }
}

/// A line for a file that is not there, or a database without a history, if there are backups of it.
pub(super) fn line(context: &Context<'_>) -> Option<String> {
    newest(context, None).map(|newest| hint(&newest, None))
}

/// A line for a database that was just made, if there are backups of it. A bucket is not asked: who starts a
/// new database does not wait for one.
pub(super) fn made_anew(context: &Context<'_>) -> Option<String> {
    let file = context.file().ok()?;
    if file.backup.dir(None).contains("://") {
        return None;
    }
    let newest = newest(context, None)?;
    Some(format!(
        "there are backups of this database, the newest is {newest}, and what was made now is empty: if it \
         was lost, `bitcraps-db restore` brings it back"
    ))
}

/// The report with the same word instead of, or before, that of the check.
pub(super) fn in_report(context: &Context<'_>, report: &mut HealthReport) {
    let is_missing = report
        .refused
        .as_ref()
        .is_some_and(|error| error.kind() == ErrorKind::DatabaseMissing);
    let is_empty = |hint: &str| hint.starts_with(TO_MIGRATE);
    let is_meant = |name: &str, hint: Option<&str>| {
        (is_missing && name == "connectivity") || hint.is_some_and(is_empty)
    };
    let mut meant = report
        .results
        .iter_mut()
        .filter(|result| is_meant(&result.name, result.hint.as_deref()))
        .peekable();
    if meant.peek().is_none() {
        return;
    }
    if let Some(newest) = newest(context, None) {
        for result in meant {
            result.hint = Some(hint(&newest, None).into());
        }
    }
}

fn hint(newest: &str, place: Option<&BackupPlace>) -> String {
    let dir = place.and_then(|place| place.dir.as_ref());
    let dir = dir.map_or_else(String::new, |dir| format!(" --dir {dir}"));
    format!(
        "`bitcraps-db restore{dir}` brings it back: there are backups of it, the newest is {newest}; \
         `migrate` would only make an empty one"
    )
}

/// What helps where the database does not pass the checks of a backup.
fn unsound(context: &Context<'_>, place: Option<&BackupPlace>) -> String {
    let proven = series(context, place).and_then(|own| own.newest_verified);
    let proven = proven.map_or_else(
        || "no backup of it was restored on trial".to_owned(),
        |name| format!("`bitcraps-db restore {name}` brings back the newest proven backup"),
    );
    format!(
        "{proven}; `bitcraps-db salvage --to NEW` reads what is left of a damaged SQLite file; \
         --accept-unsound keeps a backup of rows that contradict each other"
    )
}

/// The newest backup of the database of this run, if it has one.
fn newest(context: &Context<'_>, place: Option<&BackupPlace>) -> Option<String> {
    series(context, place)?.newest
}

/// The series of its newest backup.
fn series(context: &Context<'_>, place: Option<&BackupPlace>) -> Option<SeriesStatus> {
    let file = context.file().ok()?;
    let database: DatabaseUrl = context.named()?;
    let here = BackupPlace {
        dir: None,
        staging: None,
    };
    let store = backup::store(place.unwrap_or(&here), &file.backup).ok()?;
    let status = db_backup::status(&*store, SystemClock.now()).ok()?;
    status
        .of(&database)
        .max_by_key(|one| one.newest_at)
        .cloned()
}
