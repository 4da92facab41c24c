//! `audit`: the trail of all changes, shown, sealed and verified.

pub(super) mod show;

use std::path::Path;

use db_core::{Access, Database, SystemClock};
use db_repo::{AnchorFile, Anchors, AuditRepository, SEAL_LINES, Sealed, Verification};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{Audit, AuditCommand, Seal, Verify};
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::text::{Text, counted};
use crate::signals;

const PROBLEM: (&str, Style) = ("problem:", Style::Red);

/// What was sealed, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SealDocument {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    #[serde(flatten)]
    sealed: Sealed,
}

/// What verification found, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerifyDocument<'v> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    sound: bool,
    exit_code: u8,
    #[serde(flatten)]
    found: &'v Verification,
    /// What is wrong, in words: the fault, or that no anchor could be held against the trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Lines of the file of anchors that were not written to their end.
    torn_anchors: &'v [usize],
}

pub(super) fn run(context: &Context<'_>, options: &Audit) -> Result<Code, Error> {
    match &options.command {
        AuditCommand::Show(options) => show::run(context, options),
        AuditCommand::Seal(options) => seal(context, options),
        AuditCommand::Verify(options) => verify(context, options),
    }
}

fn seal(context: &Context<'_>, options: &Seal) -> Result<Code, Error> {
    let url = context.job()?.url;
    // A trail that is not there is none to seal.
    let settings = context
        .file()?
        .database(context.global)?
        .create_if_missing(false);
    let database = Database::open(&settings)?;
    let file = options.anchor.as_ref().map(|path| {
        let file = AnchorFile::new(path);
        if options.new_anchor_file {
            file.to_begin()
        } else {
            file
        }
    });
    signals::listen_to_end(context.output)?;
    let sealed = AuditRepository::seal_all(&database, SEAL_LINES, &SystemClock, file.as_ref())?;
    if context.output.is_json() {
        context.output.document(&SealDocument {
            engine: url.engine().name(),
            location: database::location(&url),
            sealed,
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    match sealed.seals {
        0 => text.line("nothing to seal"),
        _ => text.line(format!(
            "sealed {} under {}",
            counted(sealed.lines, "line"),
            counted(sealed.seals, "seal")
        )),
    };
    if let Some(head) = sealed.head {
        text.line(format!("head {head}"));
    }
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}

fn verify(context: &Context<'_>, options: &Verify) -> Result<Code, Error> {
    let missing = match &options.anchor {
        Some(path) => !path.try_exists().map_err(|error| Error::io(path, error))?,
        None => false,
    };
    let anchors = match &options.anchor {
        Some(path) if !missing => AnchorFile::new(path).read()?,
        _ => Anchors::default(),
    };
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadOnly, None)?;
    let found = AuditRepository::verify(&mut running.connection.conn(), &anchors.anchors);
    running.progress.finish();
    let found = found?;
    let message = match &options.anchor {
        _ if !found.is_sound() => found.fault.map(|fault| fault.to_string()),
        Some(path) if anchors.anchors.is_empty() && found.seals > 0 => Some(format!(
            "{}{}, and the trail has seals: nothing from outside of the database says that they are the \
             right ones",
            path.display(),
            if missing {
                ": there is no such file"
            } else {
                " holds no anchor"
            },
        )),
        Some(path) if missing => return Err(no_such_file(path)),
        _ => None,
    };
    let code = if message.is_none() {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&VerifyDocument {
            engine: url.engine().name(),
            location: database::location(&url),
            sound: message.is_none(),
            exit_code: code.number(),
            found: &found,
            message,
            torn_anchors: &anchors.torn,
        })?;
        return Ok(code);
    }
    for line in &anchors.torn {
        context.output.note(&format!(
            "line {line} of the file of anchors was not written to its end, and says nothing"
        ));
    }
    if options.anchor.is_none() {
        context.output.note(
            "without --anchor nobody can tell that the end of the trail was cut off with its seals",
        );
    }
    context
        .output
        .data(&text(&found, message.as_deref(), context.output.paint()))?;
    Ok(code)
}

/// Anchors that were asked for and are not there are a mistake, also while nothing is sealed.
fn no_such_file(path: &Path) -> Error {
    Error::usage(
        format!("{}: there is no such file", path.display()),
        "name the file that `bitcraps-db audit seal --anchor` writes",
    )
}

fn text(found: &Verification, problem: Option<&str>, paint: Paint) -> String {
    let mut text = Text::default();
    if let Some(problem) = problem {
        text.marked(paint, PROBLEM, problem);
    }
    let before = if found.is_sound() {
        ""
    } else {
        "before that, "
    };
    let whole = format!(
        "{before}{} over {} are whole; {} held",
        counted(found.seals, "seal"),
        counted(found.lines, "line"),
        counted(i64::try_from(found.anchors).unwrap_or(i64::MAX), "anchor"),
    );
    if problem.is_none() {
        text.line(paint.text(&whole, Style::Green));
    } else {
        text.line(whole);
    }
    if found.unsealed > 0 {
        text.line(format!(
            "{} not sealed yet",
            counted(found.unsealed, "line")
        ));
    }
    if let Some(head) = found.head {
        text.line(format!("head {head}"));
    }
    text.into_string()
}
