//! `backup verify`.

use chrono::{DateTime, Utc};
use db_backup::{Level, Unchecked, VerifyOptions, Wanted};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Work, chosen, drill_server, find, identities, invariants, postgres, scratch};
use crate::args::BackupVerify;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::text::Text;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'m> {
    dir: String,
    name: &'m str,
    sound: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unsound: &'m [String],
    restored: bool,
    level: &'static str,
    content_bytes: u64,
    copy_ms: u64,
    verify_ms: u64,
    /// What else was found to be true of the data.
    invariants: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

pub(super) fn run(context: &Context<'_>, options: &BackupVerify) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let (selector, store) = chosen(&options.name, &options.place, settings)?;
    let job = context.job_beside()?;
    let wanted = Wanted {
        databases: vec![job.target.clone()],
        kinds: Vec::new(),
        of: options.of.clone(),
        only_own: false,
        ..Wanted::default()
    };
    let manifest = find(&*store, selector, &wanted)?;
    let level: Level = options.check.or(settings.check).unwrap_or_default().into();
    let server = drill_server(context, options.drill_server.as_ref(), settings, &job)?;
    let verify = VerifyOptions::new()
        .with_identities(identities(options.identity.as_ref(), settings)?)
        .with_key(job.key.clone())
        .with_postgres(postgres(&options.tools, settings))
        .with_server(server)
        .with_scratch(scratch(options.scratch.as_ref(), settings))
        .with_level(level)
        .with_invariants(invariants::of_copy());
    let mut work = Work::begin(context)?;
    let verify = verify.with_interrupt(work.interrupt.clone());
    let mut document = Document {
        dir: store.location(),
        name: &manifest.name,
        sound: manifest.is_sound(),
        unsound: &manifest.proof.unsound,
        restored: options.restore,
        level: level.name(),
        content_bytes: manifest.content.bytes,
        copy_ms: 0,
        verify_ms: 0,
        invariants: Vec::new(),
        unchecked: Vec::new(),
        total_ms: None,
        verified_at: None,
        record: None,
    };
    let progress = &mut |p| work.phases.at(p);
    let done = if options.restore {
        db_backup::drill(&*store, &manifest, &verify, progress).map(|(drill, checked)| {
            document.level = drill.level.name();
            document.copy_ms = drill.copy_ms;
            document.verify_ms = drill.verify_ms;
            document.total_ms = Some(drill.total_ms);
            document.verified_at = Some(drill.at);
            document.record = Some(format!("{}.verified.json", manifest.name));
            checked
        })
    } else {
        db_backup::verify(&*store, &manifest, &verify, progress).map(|verified| {
            // Of PostgreSQL's there is one check, whatever was asked for.
            document.level = verified.level.name();
            document.copy_ms = verified.decode_ms;
            document.verify_ms = verified.check_ms;
            verified.invariants
        })
    };
    work.phases.finish();
    let checked = done?;
    document.invariants = checked.checked;
    document.unchecked = checked.unchecked;
    let code = if manifest.is_sound() {
        Code::Done
    } else {
        Code::Unhealthy
    };
    if context.output.is_json() {
        context.output.document(&document)?;
        return Ok(code);
    }
    let what = if options.restore {
        "was restored on trial and is sound"
    } else {
        "is as it was made"
    };
    let line = format!(
        "{} {what}: {} read in {} ms, {} check in {} ms",
        manifest.name,
        show_size(document.content_bytes),
        document.copy_ms,
        document.level,
        document.verify_ms
    );
    let paint = context.output.paint();
    let mut text = Text::default();
    text.line(paint.text(&line, Style::Green));
    if !manifest.is_sound() {
        let findings = manifest.proof.unsound.join("; ");
        let line = format!("it was NOT SOUND when it was made: {findings}");
        text.line(paint.text(&line, Style::Yellow));
    }
    invariants::tell(&document.unchecked, &mut text);
    context.output.report(&text.into_string())?;
    Ok(code)
}
