//! `health`: is the database well, and what to do if not.

mod ours;
mod text;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use db_backup::Store;
use db_backup::health::{BackupAges, Examiner, HealthReport, Selection, State, Target};
use db_core::{Clock, Engine, ErrorKind, Interrupt, Options, SystemClock};

use super::{Context, backup, lost};
use crate::args::{BackupPlace, Health};
use crate::config::BackupSettings;
use crate::error::Error;
use crate::exit::{self, Code};
use crate::signals;

pub(super) fn run(context: &Context<'_>, options: &Health) -> Result<Code, Error> {
    let interrupt = Interrupt::default();
    let examiner = examiner(context, &interrupt, &options.limit)?;
    let selection = selection(&examiner, options)?;
    let looker = Looker {
        context,
        examiner,
        selection,
        interrupt,
    };
    match options.watch {
        None => {
            let report = looker.look()?;
            if let Some(code) = signals::received() {
                return Ok(code);
            }
            looker.print(&report)?;
            Ok(looker.code(&report))
        }
        Some(seconds) => looker.watch(Duration::from_secs(seconds)),
    }
}

/// What looks, again and again if need be.
struct Looker<'a> {
    context: &'a Context<'a>,
    examiner: Examiner,
    selection: Selection,
    interrupt: Interrupt,
}

impl Looker<'_> {
    fn look(&self) -> Result<HealthReport, Error> {
        // A copy is to be cleaned away. A statement on a server is not stopped by this: there a
        // signal may as well end the program at once.
        let is_file = self.examiner.target().engine() == Engine::Sqlite;
        let guard = if is_file && self.selection != Selection::Cheap {
            signals::listen()?;
            Some(signals::guard(&self.interrupt))
        } else {
            None
        };
        let mut report = self.examiner.examine(&self.selection);
        lost::in_report(self.context, &mut report);
        drop(guard);
        Ok(report)
    }

    fn print(&self, report: &HealthReport) -> Result<(), Error> {
        let output = self.context.output;
        if output.is_json() {
            output.document(&report.document())
        } else {
            output.data(&text::whole(report, output.paint()))
        }
    }

    /// Until a signal ends it.
    fn watch(&self, every: Duration) -> Result<Code, Error> {
        let output = self.context.output;
        signals::listen_to_end(output)?;
        // Nobody sends: it is only waited on.
        let (_sender, pause) = mpsc::channel::<()>();
        let mut before: Option<HealthReport> = None;
        loop {
            let report = self.look()?;
            if let Some(code) = signals::received() {
                return Ok(code);
            }
            let is_read = if output.is_json() {
                let line = serde_json::to_string(&report.document());
                let line = line.map_err(|e| Error::Output(e.into()))?;
                output.piece(&format!("{line}\n"))?
            } else if let Some(before) = &before {
                output.piece(&text::changes(before, &report, output.paint()))?
            } else {
                output.piece(&text::whole(&report, output.paint()))?
            };
            // Whoever read has seen enough.
            if !is_read {
                return Ok(Code::Done);
            }
            before = Some(report);
            if let Err(mpsc::RecvTimeoutError::Disconnected) = pause.recv_timeout(every) {
                return Ok(Code::Unexpected);
            }
        }
    }
}

fn examiner(
    context: &Context<'_>,
    interrupt: &Interrupt,
    limits: &[String],
) -> Result<Examiner, Error> {
    let file = context.file()?;
    let limits = file.limits(limits)?;
    let job = context.job()?;
    let database = job.target.clone();
    let mut target = Target::new(job.target).with_interrupt(interrupt.clone());
    if let Some(key) = job.key {
        target = target.with_key(key);
    }
    let settings = file.database(context.global)?;
    if let Options::Postgres(options) = settings.options().map_err(Error::setting)? {
        target = target
            .with_replicas(options.replicas)
            .with_transaction_pooler(options.transaction_pooler);
    }
    // What is wrong with their place is no reason not to look at the database.
    let store = backups(&file.backup, database.path());
    if let Ok(Some(store)) = &store
        && let Some(folder) = store.folder().filter(|folder| folder.is_dir())
    {
        target = target.with_place(folder);
    }
    // What is wrong with the files is said whatever the state of the database.
    job.migrator.migrations(target.engine())?;
    let mut examiner = Examiner::new(target)
        .with_limits(limits)
        .with_migrator(job.migrator);
    match store {
        Ok(None) => {}
        Ok(Some(store)) => {
            examiner = examiner
                .with_backups(move || Ok(BackupAges::of(&*store, &database, SystemClock.now())?));
        }
        Err(error) => {
            let (reason, hint) = (error.message(), error.hint().unwrap_or_default());
            examiner = examiner.with_backups(move || {
                let (reason, hint) = (reason.clone(), hint.clone());
                Err(db_backup::Error::Usage { reason, hint }.into())
            });
        }
    }
    Ok(ours::with_checks(examiner))
}

/// Where backups are, if the configuration says it or the usual folder is there: who keeps them
/// elsewhere is not told that there are none.
fn backups(
    settings: &BackupSettings,
    database: Option<&Path>,
) -> Result<Option<Box<dyn Store>>, Error> {
    let place = BackupPlace {
        dir: None,
        staging: None,
    };
    // A backup that was refused leaves an empty folder behind.
    let is_used = || {
        let files = fs::read_dir(settings.dir(None)).into_iter().flatten();
        let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.any(|name| !name.starts_with('.'))
    };
    if settings.dir.is_none() && !is_used() {
        return Ok(None);
    }
    backup::store_for(&place, settings, database).map(Some)
}

fn selection(examiner: &Examiner, options: &Health) -> Result<Selection, Error> {
    let names = examiner.names();
    if let Some(unknown) = options
        .check
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(Error::usage(
            format!(
                "there is no check {unknown:?} on {}",
                examiner.target().engine()
            ),
            format!("the checks are {}", names.join(", ")),
        ));
    }
    Ok(if options.full {
        Selection::All
    } else if options.check.is_empty() {
        Selection::Cheap
    } else {
        Selection::Named(options.check.clone())
    })
}

impl Looker<'_> {
    /// What it ends with. Who asks for some checks, and is told nothing by any of them, must not take
    /// that for well.
    fn code(&self, report: &HealthReport) -> Code {
        let code = code(report);
        let Selection::Named(names) = &self.selection else {
            return code;
        };
        let mut asked = names.iter().filter_map(|name| report.find(name));
        let nothing_known = asked.all(|result| result.state == State::Unknown);
        if code == Code::Done && nothing_known {
            Code::Attention
        } else {
            code
        }
    }
}

/// A database that cannot be opened says why by its own code.
fn code(report: &HealthReport) -> Code {
    let state = match report.state() {
        State::Fail => Code::Unhealthy,
        State::Warn => Code::Attention,
        State::Ok | State::Unknown => Code::Done,
    };
    // A disk that fails is told apart from damage, as in every other command.
    let of_disk = report.met.as_ref().filter(|e| e.kind() == ErrorKind::Io);
    match &report.refused {
        None if state == Code::Unhealthy && of_disk.is_some() => Code::Disk,
        Some(error) => match exit::of_database(error.kind()).1 {
            Code::Unexpected | Code::Locked => Code::Unreachable,
            code => code,
        },
        None => match &report.forbidden {
            Some(_) => state.or(Code::Permission),
            None => state,
        },
    }
}
