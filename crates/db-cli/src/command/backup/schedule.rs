//! `backup schedule`: in the foreground, until a signal comes.

use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use db_backup::schedule::{self, Alarm, Event, Schedule, StoreJob, SystemTimer, Timer};
use db_backup::{Source, Store, VerifyOptions};
use db_core::duration::show;
use db_core::{Access, Interrupt};
use schemars::JsonSchema;
use serde::Serialize;

use super::{create, drill_server, identities, invariants, postgres, scratch, store_for};
use crate::args::BackupSchedule;
use crate::command::Context;
use crate::config::BackupSettings;
use crate::database;
use crate::error::Error;
use crate::exit::{self, Code};
use crate::output::Output;
use crate::output::text::counted;
use crate::signals;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    dir: String,
    made: u64,
    drilled: u64,
    failed: u64,
    locked: bool,
    alarms: Vec<Alarm>,
    exit_code: u8,
}

/// One line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Line<'l> {
    #[schemars(extend("enum" = [
        "waiting", "started", "made", "locked", "pruned", "drilling", "drilled", "failed", "panicked",
        "raised", "cleared"
    ]))]
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'l str>,
}

pub(super) fn run(context: &Context<'_>, options: &BackupSchedule) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    if options.create.accept_unsound {
        return Err(Error::usage(
            "a schedule takes no backups that are not sound",
            "make one by hand, with `backup create --accept-unsound`, and mend the data",
        ));
    }
    let (every, jitter) = times(options, settings)?;
    let backup = create::options(&options.create, settings)?;
    let job = context.job()?;
    let place = &options.create.place;
    let store: Arc<dyn Store> = Arc::from(store_for(place, settings, job.target.path())?);
    // One that is not there is told at once.
    database::open(&job, Access::ReadOnly)?;
    let method = options.create.method;
    let backup = backup.with_invariants(invariants::of_source(job.target.engine(), method));
    let server = drill_server(context, options.drill_server.as_ref(), settings, &job)?;
    let verify = VerifyOptions::new()
        .with_identities(identities(options.identity.as_ref(), settings)?)
        .with_key(job.key.clone())
        .with_scratch(scratch(options.create.scratch.as_ref(), settings))
        .with_postgres(postgres(&options.create.tools, settings))
        .with_server(server)
        .with_invariants(invariants::of_copy());
    let schedule = Schedule {
        every,
        jitter,
        drill_every: (!options.drill_every.is_zero()).then_some(options.drill_every),
        verified_within: options.verified_within,
        backup_within: options.backup_within,
        lock_wait: options.lock_wait,
    };
    let source = Source {
        url: job.target.clone(),
        key: job.key.clone(),
    };
    let policy = settings.policy(&options.keep);
    let work = StoreJob::new(source, Arc::clone(&store), (backup, verify), policy);
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    db_backup::lower_priority();
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
    let has_code = |alarm| matches!(alarm, &Alarm::Failing | &Alarm::StoreUnreadable);
    let code = if state.alarms.iter().any(has_code) {
        last
    } else if !state.alarms.is_empty() {
        Code::Unhealthy
    } else if options.once && state.is_locked {
        Code::Locked
    } else {
        Code::Done
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            made: state.made,
            drilled: state.drilled,
            failed: state.failed,
            locked: state.is_locked,
            alarms: state.alarms,
            exit_code: code.number(),
        })?;
    } else {
        let line = format!(
            "{} made, {}\n",
            counted(state.made, "backup"),
            counted(state.failed, "failure")
        );
        context.output.report(&line)?;
    }
    Ok(code)
}

/// From one backup to the next, and what is added at random.
fn times(
    options: &BackupSchedule,
    settings: &BackupSettings,
) -> Result<(Duration, Duration), Error> {
    let every = settings.every().map_err(|e| Error::usage(e, "write 1h"))?;
    let default = Schedule::default();
    let every = options.every.or(every).unwrap_or(default.every);
    // What nobody asked for does not make a short interval a long one.
    let jitter = options.jitter.unwrap_or(default.jitter.min(every));
    if jitter > every {
        return Err(Error::usage(
            format!(
                "a jitter of {} is longer than the interval, {}",
                show(jitter),
                show(every)
            ),
            "give --jitter no more than --every: so much may be added to each interval",
        ));
    }
    Ok((every, jitter))
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
        Event::Drilling => ("drilling", None),
        Event::Drilled => ("drilled", Some("restored it on trial".to_owned())),
        Event::Failed {
            part: "drill",
            error: error @ db_backup::Error::Identity { .. },
        } => (
            "failed",
            Some(format!(
                "drill: {error}; --identity FILE opens it here, or --drill-every 0 leaves trial \
                 restores to a machine that has the identity"
            )),
        ),
        Event::Failed { part, error } => {
            let hint = error
                .hint()
                .map_or_else(String::new, |hint| format!("; {hint}"));
            ("failed", Some(format!("{part}: {error}{hint}")))
        }
        Event::Panicked { message } => ("panicked", Some(format!("panic: {message}"))),
        Event::Raised { alarm } => ("raised", Some(format!("alarm: {alarm}"))),
        Event::Cleared { alarm } => ("cleared", Some(format!("no longer so: {alarm}"))),
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
