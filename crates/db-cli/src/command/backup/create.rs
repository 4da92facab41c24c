//! `backup create`.

use chrono::{DateTime, Utc};
use db_backup::health::{Examiner, Selection, State, Target};
use db_backup::{BackupOptions, Codec, Kind, MadeBy, Method, Proof, Shrunk, Source};
use db_core::{Access, Clock, DatabaseUrl, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Work, invariants, postgres, recipients, scratch, store_for};
use crate::args::{BackupCreate, CopyMethod};
use crate::command::Context;
use crate::config::BackupSettings;
use crate::database::{self, show_size};
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::Style;
use crate::output::text::Text;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'m> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    dir: String,
    name: &'m str,
    manifest: String,
    files: Vec<&'m str>,
    kind: &'static str,
    started_at: DateTime<Utc>,
    schema_version: Option<&'m str>,
    content_bytes: u64,
    stored_bytes: u64,
    content_sha256: &'m str,
    tables: usize,
    rows: u64,
    proof: &'m Proof,
    #[serde(skip_serializing_if = "Option::is_none")]
    shrunk: Option<&'m Shrunk>,
    duration_ms: u64,
}

pub(super) fn run(context: &Context<'_>, options: &BackupCreate) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let backup = self::options(options, settings)?;

    let job = context.job()?;
    let store = store_for(&options.place, settings, job.target.path())?;
    db_backup::lower_priority();
    // Before the database is opened, which may write already.
    let mut work = Work::begin(context)?;
    // One that is not there is told as everywhere.
    database::open(&job, Access::ReadOnly)?;
    let backup = backup
        .with_invariants(invariants::of_source(job.target.engine(), options.method))
        .with_interrupt(work.interrupt.clone());
    let source = Source {
        url: job.target.clone(),
        key: job.key.clone(),
    };
    let made = db_backup::create(&source, &*store, &backup, &mut |p| work.phases.at(p));
    work.phases.finish();
    let manifest = made?;
    let dir = store.location();
    // It is made, whatever the store says now.
    let listing = db_backup::list(&*store).unwrap_or_default();
    let shrunk = db_backup::shrunk(&listing, &manifest.name, SystemClock.now());
    if let Some(shrunk) = &shrunk {
        context.output.note(&super::shrank(shrunk));
    }
    if let Some(trouble) = log_trouble(options.method, &job.target) {
        context.output.note(&trouble);
    }
    if context.output.is_json() {
        context.output.document(&Document {
            engine: job.url.engine().name(),
            location: database::location(&job.url),
            name: &manifest.name,
            manifest: format!("{}.json", manifest.name),
            files: manifest.parts.iter().map(|p| p.name.as_str()).collect(),
            kind: manifest.kind.name(),
            started_at: manifest.started_at,
            schema_version: manifest.schema.as_ref().map(|s| s.version.as_str()),
            content_bytes: manifest.content.bytes,
            stored_bytes: manifest.stored_bytes(),
            content_sha256: &manifest.content.sha256,
            tables: manifest.tables.len(),
            rows: manifest.rows(),
            proof: &manifest.proof,
            shrunk: shrunk.as_ref(),
            duration_ms: manifest.duration_ms,
            dir,
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    for part in &manifest.parts {
        text.line(format!("{dir}/{}", part.name));
    }
    let counted = match manifest.kind {
        // A server reads its files, and nobody has looked into them yet.
        Kind::PostgresBase => "rows are counted when it is restored".to_owned(),
        _ => format!(
            "{} rows in {} tables",
            manifest.rows(),
            manifest.tables.len()
        ),
    };
    text.line(format!(
        "{} of {}, stored as {}; {counted}",
        show_size(manifest.content.bytes),
        database::location(&job.url),
        show_size(manifest.stored_bytes()),
    ));
    let proof = &manifest.proof;
    let level = proof.level.name();
    let also = match proof.invariants.as_slice() {
        [] => String::new(),
        some => format!(", {}", some.join(", ")),
    };
    let paint = context.output.paint();
    if !manifest.is_sound() {
        let line = format!("NOT SOUND: {}", db_backup::brief(&proof.unsound));
        text.line(paint.text(&line, Style::Yellow));
        invariants::tell(&proof.unchecked, &mut text);
        context.output.report(&text.into_string())?;
        return Ok(Code::Done);
    }
    let done = format!(
        "verified ({level} check, foreign keys, hashes{also}) in {} ms of {}",
        proof.integrity_ms + proof.foreign_keys_ms + proof.rows_ms,
        manifest.duration_ms
    );
    text.line(paint.text(&done, Style::Green));
    invariants::tell(&proof.unchecked, &mut text);
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}

/// What keeps the server's log from being archived, as `health` sees it: a base backup is restored to its own end then,
/// and to no moment since.
fn log_trouble(method: CopyMethod, target: &DatabaseUrl) -> Option<String> {
    const CHECK: &str = "wal_archive";
    if method != CopyMethod::Base {
        return None;
    }
    let examiner = Examiner::new(Target::new(target.clone()));
    let report = examiner.examine(&Selection::Named(vec![CHECK.to_owned()]));
    let found = report.find(CHECK)?;
    let observed = &found.observed;
    let told = format!("what comes after this backup cannot be restored: {observed}");
    (found.state == State::Fail).then_some(match &found.hint {
        Some(hint) => format!("{told}; {hint}"),
        None => told,
    })
}

/// How a backup is made: as the arguments say, or the configuration.
pub(super) fn options(
    options: &BackupCreate,
    settings: &BackupSettings,
) -> Result<BackupOptions, Error> {
    let compress = settings.compress().unwrap_or_default();
    let codec = Codec {
        level: options
            .compress
            .or(compress)
            .map_or(Codec::default().level, crate::args::Compress::level),
        recipients: recipients(
            (&options.recipient, options.recipients_file.as_ref()),
            settings,
        )?,
    };
    let method = match options.method {
        CopyMethod::Dump => Method::Logical,
        CopyMethod::Base => Method::Base,
    };
    let made_by = MadeBy::this(concat!("bitcraps-db ", env!("CARGO_PKG_VERSION")));
    Ok(BackupOptions::new()
        .with_codec(codec)
        .with_check(options.check.or(settings.check).unwrap_or_default().into())
        .with_method(method)
        .with_accept_unsound(options.accept_unsound)
        .with_scratch(scratch(options.scratch.as_ref(), settings))
        .with_postgres(postgres(&options.tools, settings))
        .with_made_by(made_by))
}
