//! `backup`: made, listed, verified.

pub(super) mod create;
pub(super) mod invariants;
pub(super) mod list;
pub(super) mod prune;
pub(super) mod remove;
pub(super) mod schedule;
pub(super) mod status;
pub(super) mod verify;
pub(super) mod wal;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use db_backup::postgres::PostgresOptions;
use db_backup::{
    BucketStore, FileName, Identities, LocalStore, Manifest, Recipients, Selector, Shrunk, Store,
    Waiting, Wanted,
};
pub(crate) use db_backup::{HALF_COPY, half_copy};
use db_core::{Clock, DatabaseUrl, Interrupt, Options, SystemClock};

use super::{Context, Job};
use crate::args::{Backup, BackupCommand, BackupPlace, PostgresTools};
use crate::config::BackupSettings;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::phases::Phases;
use crate::signals::{self, Guard};

/// Files of keys are small.
const LARGEST_KEY_FILE: u64 = 1 << 20;

pub(super) fn run(context: &Context<'_>, options: &Backup) -> Result<Code, Error> {
    match &options.command {
        None => create::run(context, &options.create),
        Some(BackupCommand::Create(options)) => create::run(context, options),
        Some(BackupCommand::List(options)) => list::run(context, options),
        Some(BackupCommand::Verify(options)) => verify::run(context, options),
        Some(BackupCommand::WalPush(options)) => wal::push(context, options),
        Some(BackupCommand::WalFetch(options)) => Ok(wal::fetch(context, options)),
        Some(BackupCommand::Prune(options)) => prune::run(context, options),
        Some(BackupCommand::Remove(options)) => remove::run(context, options),
        Some(BackupCommand::Schedule(options)) => schedule::run(context, options),
        Some(BackupCommand::Status(options)) => status::run(context, options),
    }
}

/// Work that a signal can stop, and that shows how far it is.
pub(super) struct Work {
    pub(super) interrupt: Interrupt,
    pub(super) phases: Phases,
    _guard: Guard,
}

impl Work {
    pub(super) fn begin(context: &Context<'_>) -> Result<Self, Error> {
        let interrupt = Interrupt::default();
        let guard = signals::guard(&interrupt);
        signals::listen()?;
        Ok(Self {
            phases: Phases::new(context.output),
            interrupt,
            _guard: guard,
        })
    }
}

/// The store that is meant, where no database is at hand.
pub(super) fn store(
    place: &BackupPlace,
    settings: &BackupSettings,
) -> Result<Box<dyn Store>, Error> {
    store_for(place, settings, None)
}

/// The store that is meant, with the staging folder that creating a backup of the same database has.
fn store_to_change(
    context: &Context<'_>,
    place: &BackupPlace,
    settings: &BackupSettings,
) -> Result<Box<dyn Store>, Error> {
    let database = context.named();
    store_for(
        place,
        settings,
        database.as_ref().and_then(DatabaseUrl::path),
    )
}

/// The store that is meant. What goes into a bucket is prepared beside the database, if that is a
/// file: there is room for it as a rule, and nobody reads it who may not read the database.
pub(super) fn store_for(
    place: &BackupPlace,
    settings: &BackupSettings,
    database: Option<&Path>,
) -> Result<Box<dyn Store>, Error> {
    let dir = settings.dir(place.dir.as_deref());
    if !dir.contains("://") {
        return in_folder(Path::new(dir));
    }
    let given = place.staging.as_ref().or(settings.staging.as_ref());
    let staging = match (given, database) {
        (Some(folder), _) => folder.clone(),
        (None, Some(database)) => {
            let mut name = OsString::from(".");
            name.push(database.file_name().unwrap_or_default());
            name.push(".staging");
            database.with_file_name(name)
        }
        (None, None) => cache()?.join("bitcraps-db").join("staging"),
    };
    // Variables that are no text are none of a bucket's.
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Box::new(BucketStore::open(dir, staging, variables)?))
}

/// The store in a folder, which need not be there yet. A file in its place is told before anything is done.
fn in_folder(folder: &Path) -> Result<Box<dyn Store>, Error> {
    super::refuse_file(
        folder,
        "name a folder for the backups with --dir, or as dir in [backup] of bitcraps-db.toml",
    )?;
    Ok(Box::new(LocalStore::new(folder)))
}

/// The store that is meant, with what waits for it beside the database of this run, if one is named.
fn store_here(
    context: &Context<'_>,
    place: &BackupPlace,
    settings: &BackupSettings,
) -> Result<Box<dyn Store>, Error> {
    let job = context.job().ok();
    store_for(
        place,
        settings,
        job.as_ref().and_then(|job| job.target.path()),
    )
}

/// A line for a backup that waits to be sent.
fn waits(waiting: &Waiting) -> String {
    let since = waiting.since.map_or_else(String::new, |at| {
        format!(" since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    let why = waiting.reason.as_ref().map_or_else(String::new, |reason| {
        format!(", {} attempts in vain: {reason}", waiting.failures)
    });
    format!(
        "{} waits to be sent{since}: {} of {} are there{why}; the next `backup` goes on",
        waiting.name,
        show_size(waiting.sent),
        show_size(waiting.bytes),
    )
}

/// A line for a backup that has far fewer rows than the one before.
pub(super) fn shrank(shrunk: &Shrunk) -> String {
    format!(
        "{shrunk}: was the database lost, and made anew? `bitcraps-db restore {}` is the one before; if \
         the rows were deleted on purpose, `bitcraps-db backup remove {0}` ends this warning",
        shrunk.before
    )
}

/// The backup that is meant, and the store that it is in. A path to one of its files, as a shell completes
/// it, says both.
pub(super) fn chosen(
    name: &str,
    place: &BackupPlace,
    settings: &BackupSettings,
) -> Result<(Selector, Box<dyn Store>), Error> {
    let path = Path::new(name);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let file = path.file_name().and_then(|file| file.to_str());
    let (Some(folder), Some(file)) = (folder, file.filter(|file| is_of_a_backup(file))) else {
        return Ok((Selector::parse(name)?, store(place, settings)?));
    };
    let selector = Selector::parse(file)?;
    let same = |dir: &str| Path::new(dir).canonicalize().ok() == folder.canonicalize().ok();
    match &place.dir {
        Some(dir) if !same(dir) => Err(Error::usage(
            format!("{name} is not in {dir}"),
            format!("write its name alone, with --dir '{}'", folder.display()),
        )),
        _ => Ok((selector, in_folder(folder)?)),
    }
}

fn is_of_a_backup(file: &str) -> bool {
    FileName::parse(file).is_some() || Selector::parse(file).is_ok_and(|s| s != Selector::Latest)
}

/// Refuses a folder that is not there: an empty one says the same of a name that was mistyped.
fn present(store: &dyn Store) -> Result<(), Error> {
    match absent(store) {
        None => Ok(()),
        Some(words) => Err(Error::usage(
            words,
            "name the folder of the backups with --dir",
        )),
    }
}

/// Words for a store in a folder that is not there.
fn absent(store: &dyn Store) -> Option<String> {
    let folder = store.folder()?;
    let is_gone = matches!(folder.try_exists(), Ok(false));
    is_gone.then(|| format!("there is no folder {}", folder.display()))
}

/// The backup of this name, or the latest of what is wanted.
pub(super) fn find(
    store: &dyn Store,
    selector: Selector,
    wanted: &Wanted,
) -> Result<Manifest, Error> {
    present(store)?;
    Ok(match selector {
        Selector::Latest => db_backup::latest(store, wanted, SystemClock.now())?,
        Selector::Name(_) => db_backup::find(store, selector)?,
    })
}

/// The user's folder for what can be made again.
fn cache() -> Result<PathBuf, Error> {
    let folder = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_CACHE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".cache")))
        .ok_or_else(|| {
            Error::usage(
                "there is no folder to prepare files for a bucket in".to_owned(),
                "name one with --staging",
            )
        })
}

/// How PostgreSQL's own programs are used: as was given, or else as the configuration says.
pub(super) fn postgres(tools: &PostgresTools, settings: &BackupSettings) -> PostgresOptions {
    PostgresOptions::new()
        .with_bin(tools.pg_bin.clone().or_else(|| settings.pg_bin.clone()))
        .with_run_as(tools.run_as.clone())
}

/// The server on which dumps are restored on trial: as was given, or else as the configuration says, or that of the
/// database. It need not say which database: a new one is made there.
fn drill_server(
    context: &Context<'_>,
    given: Option<&String>,
    settings: &BackupSettings,
    job: &Job,
) -> Result<DatabaseUrl, Error> {
    let (by, url) = match (given, &settings.drill_server) {
        (Some(url), _) => ("--drill-server", url),
        (None, Some(url)) => ("backup.drill_server", url),
        (None, None) => return Ok(job.target.clone()),
    };
    let hint =
        "write postgres://USER@HOST; a file of SQLite needs no server to be restored on trial";
    let hinted = |error| Error::Hinted {
        error: Box::new(Error::setting(error)),
        hint: hint.to_owned(),
    };
    let server = context.file()?.database(context.global)?;
    let server = server.with_argument(by, "url", url).map_err(hinted)?;
    match server.options().map_err(hinted)? {
        Options::Postgres(options) => Ok(options.target),
        Options::Sqlite(options) => Err(Error::usage(
            format!("{by}: {} is no PostgreSQL server", options.url),
            hint,
        )),
    }
}

/// Where something is plain for a while: as was given, or else as the configuration says.
fn scratch(given: Option<&PathBuf>, settings: &BackupSettings) -> Option<PathBuf> {
    given.or(settings.scratch.as_ref()).cloned()
}

/// The identities in a file, if one is named.
pub(super) fn identities(
    given: Option<&PathBuf>,
    settings: &BackupSettings,
) -> Result<Identities, Error> {
    match given.or(settings.identity.as_ref()) {
        None => Ok(Identities::default()),
        Some(path) => {
            let name = path.display().to_string();
            // Its owner decides; the key of a database, which is used daily, is refused.
            let mode = fs::metadata(path).map(|meta| meta.permissions().mode());
            if mode.is_ok_and(|mode| mode & 0o077 != 0) {
                tracing::warn!(
                    file = name,
                    "others than its owner may read this file of identities: chmod 600"
                );
            }
            Ok(Identities::parse_file(&name, &key_file(path)?)?)
        }
    }
}

/// Those to encrypt to: what was given, or else what the configuration says.
fn recipients(
    (keys, file): (&[String], Option<&PathBuf>),
    settings: &BackupSettings,
) -> Result<Recipients, Error> {
    let (keys, file) = if keys.is_empty() && file.is_none() {
        (
            settings.recipients.as_slice(),
            settings.recipients_file.as_ref(),
        )
    } else {
        (keys, file)
    };
    let recipients = Recipients::parse(keys)?;
    match file {
        None => Ok(recipients),
        Some(path) => {
            let more = Recipients::parse_file(&key_file(path)?)?;
            if more.is_empty() {
                // Nobody who names such a file means that nothing shall be encrypted.
                return Err(Error::usage(
                    format!("{} holds no public key", path.display()),
                    "write one a line: age1…",
                ));
            }
            Ok(recipients.and(more))
        }
    }
}

fn key_file(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_KEY_FILE).read_to_string(&mut text))
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::usage(
                format!("{}: there is no such file", path.display()),
                "name the file of keys",
            ),
            _ => Error::io(path, e),
        })?;
    Ok(text)
}
