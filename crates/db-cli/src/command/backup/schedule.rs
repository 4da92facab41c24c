//! `backup schedule`: in the foreground, until a signal comes.

use std::sync::Arc;

use chrono::SecondsFormat;
use db_backup::schedule::{self, Alarm, Event, Schedule, StoreJob, SystemTimer, Timer};
use db_backup::{Source, Store, VerifyOptions};
use db_core::{Access, Interrupt};
use serde::Serialize;

use super::create::{self, has_own_table};
use super::{identities, invariants, postgres, store_for};
use crate::args::BackupSchedule;
use crate::command::Context;
use crate::database;
use crate::error::Error;
use crate::exit::{self, Code};
use crate::output::Output;
use crate::signals;

#[derive(Debug, Serialize)]
struct Document {
    dir: String,
    made: u64,
    failed: u64,
    alarms: Vec<Alarm>,
    exit_code: u8,
}

/// One line of standard error with `--json`.
#[derive(Debug, Serialize)]
struct Line<'l> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'l str>,
}

pub(super) fn run(context: &Context<'_>, options: &BackupSchedule) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let mut backup = create::options(&options.create, settings)?;
    let job = context.job()?;
    let place = &options.create.place;
    let store: Arc<dyn Store> = Arc::from(store_for(place, settings, job.target.path())?);
    let mut connection = database::open(&job, Access::ReadOnly)?;
    backup.invariants = invariants(has_own_table(&mut connection)?);
    drop(connection);
    let mut verify = VerifyOptions::default();
    verify.identities = identities(options.identity.as_ref(), settings)?;
    verify.key.clone_from(&job.key);
    verify.postgres = postgres(&options.create.tools, settings);
    if job.target.engine() == db_core::Engine::Postgres {
        verify.postgres.server = Some(job.target.clone());
    }
    verify.invariants.clone_from(&backup.invariants);
    let every = settings.every().map_err(|e| Error::usage(e, "write 1h"))?;
    let default = Schedule::default();
    let schedule = Schedule {
        every: options.every.or(every).unwrap_or(default.every),
        jitter: options.jitter,
        drill_every: (!options.drill_every.is_zero()).then_some(options.drill_every),
        verified_within: options.verified_within,
    };
    let work = StoreJob {
        source: Source {
            url: job.target.clone(),
            key: job.key.clone(),
        },
        store: Arc::clone(&store),
        backup,
        verify,
        policy: settings.policy(&options.keep),
    };
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    let timer: Arc<dyn Timer> = Arc::new(SystemTimer::default());
    let mut last = Code::Unhealthy;
    let state = schedule::run(
        schedule,
        work,
        (timer, &interrupt),
        options.once,
        &mut |event| {
            if let Event::Failed { error, .. } = &event {
                last = exit::of_backup(error).1;
            }
            tell(context.output, &event);
        },
    )?;
    // Stopped by a signal is a good end, unless something stands that somebody has to look at.
    let code = if state.alarms.contains(&Alarm::Failing) {
        last
    } else if state.alarms.is_empty() {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            made: state.made,
            failed: state.failed,
            alarms: state.alarms,
            exit_code: code.number(),
        })?;
    } else {
        let line = format!("{} backups made, {} failures\n", state.made, state.failed);
        context.output.report(&line)?;
    }
    Ok(code)
}

fn tell(output: &Output, event: &Event<'_>) {
    let (name, message) = match event {
        Event::Waiting { until } => {
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            (
                "waiting",
                Some(format!("the next backup is due at {until}")),
            )
        }
        Event::Started => ("started", None),
        Event::Made { name } => ("made", Some(format!("made {name}"))),
        Event::Locked => (
            "locked",
            Some("somebody else is at work in the store".to_owned()),
        ),
        Event::Pruned { removed: 0 } => ("pruned", None),
        Event::Pruned { removed } => ("pruned", Some(format!("removed {removed} old backups"))),
        Event::Drilled => ("drilled", Some("restored it on trial".to_owned())),
        Event::Failed { part, error } => ("failed", Some(format!("{part}: {error}"))),
        Event::Raised { alarm } => ("raised", Some(format!("alarm: {alarm}"))),
        Event::Cleared { alarm } => ("cleared", Some(format!("well again: {alarm}"))),
        _ => return,
    };
    if output.is_json() {
        output.line(&Line {
            event: name,
            message: message.as_deref(),
        });
    } else if let Some(message) = message {
        output.note(&message);
    }
}
