//! `health`: is the database well, and what to do if not.

mod ours;
mod text;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use db_backup::Store;
use db_backup::health::{BackupAges, Examiner, HealthReport, Selection, State, Target};
use db_core::{Engine, Interrupt, Options};

use super::{Context, backup};
use crate::args::{BackupPlace, Health};
use crate::config::BackupSettings;
use crate::error::Error;
use crate::exit::{self, Code};
use crate::signals;

pub(super) fn run(context: &Context<'_>, options: &Health) -> Result<Code, Error> {
    let interrupt = Interrupt::default();
    let examiner = examiner(context, &interrupt)?;
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
            Ok(code(&report))
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
        let report = self.examiner.examine(&self.selection);
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
        // Nobody sends: it is only waited on.
        let (_sender, pause) = mpsc::channel::<()>();
        let mut before: Option<HealthReport> = None;
        loop {
            let report = self.look()?;
            if let Some(code) = signals::received() {
                return Ok(code);
            }
            if output.is_json() {
                let line = serde_json::to_string(&report.document());
                let line = line.map_err(|e| Error::Output(e.into()))?;
                output.data(&format!("{line}\n"))?;
            } else if let Some(before) = &before {
                output.data(&text::changes(before, &report, output.paint()))?;
            } else {
                self.print(&report)?;
            }
            before = Some(report);
            if let Err(mpsc::RecvTimeoutError::Disconnected) = pause.recv_timeout(every) {
                return Ok(Code::Unexpected);
            }
        }
    }
}

fn examiner(context: &Context<'_>, interrupt: &Interrupt) -> Result<Examiner, Error> {
    let file = context.file()?;
    let job = context.job()?;
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
    let store = backups(&file.backup)?;
    if let Some(folder) = store.as_ref().and_then(|store| store.folder())
        && folder.is_dir()
    {
        target = target.with_place(folder);
    }
    // What is wrong with the files is said whatever the state of the database.
    job.migrator.migrations(target.engine())?;
    let mut examiner = Examiner::new(target)
        .with_limits(file.health)
        .with_migrator(job.migrator);
    if let Some(store) = store {
        examiner = examiner.with_backups(move || Ok(BackupAges::of(&*store)?));
    }
    Ok(ours::with_checks(examiner))
}

/// Where backups are, if the configuration says it or the usual folder is there: who keeps them
/// elsewhere is not told that there are none.
fn backups(settings: &BackupSettings) -> Result<Option<Box<dyn Store>>, Error> {
    let place = BackupPlace {
        dir: None,
        staging: None,
    };
    if settings.dir.is_none() && !Path::new(settings.dir(None)).is_dir() {
        return Ok(None);
    }
    backup::store(&place, settings).map(Some)
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

/// A database that cannot be opened says why by its own code.
fn code(report: &HealthReport) -> Code {
    let state = match report.state() {
        State::Fail => Code::Unhealthy,
        State::Warn => Code::Attention,
        State::Ok | State::Unknown => Code::Done,
    };
    match &report.refused {
        Some(error) => match exit::of_database(error.kind()).1 {
            Code::Unexpected | Code::Locked => Code::Unreachable,
            code => code,
        },
        None => state,
    }
}
