//! `restore`: a backup into a new place, or over a database that is kept aside.

mod base;

use std::path::Path;

use db_backup::{Kind, RestoreOptions, Selector};
use db_core::{DatabaseUrl, Engine};
use db_migrate::Migrator;
use serde::Serialize;

use super::Context;
use super::backup::{Work, has_own_tables, identities, invariants, postgres, store};
use crate::args::Restore;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::text::Text;
use crate::prompt;

#[derive(Debug, Serialize)]
struct Document {
    dir: String,
    name: String,
    kind: &'static str,
    target: String,
    kept: Option<String>,
    content_bytes: u64,
    rows: u64,
    copy_ms: u64,
    verify_ms: u64,
    duration_ms: u64,
}

pub(super) fn run(context: &Context<'_>, options: &Restore) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let selector = Selector::parse(&options.name)?;
    let store = store(&options.place, settings)?;
    let manifest = db_backup::find(&*store, selector)?;
    let mut restore = RestoreOptions::default();
    restore.identities = identities(options.identity.as_ref(), settings)?;
    restore.level = options.check.or(settings.check).unwrap_or_default().into();
    restore.postgres = postgres(&options.tools, settings);
    restore.postgres.owners = !options.no_owner;
    if manifest.kind == Kind::PostgresBase {
        return base::run(context, options, (&*store, &manifest), restore);
    }
    base::refuse_targets(options, &manifest)?;
    let job = context.job()?;
    let target = match &options.target {
        None => job.target.clone(),
        Some(text) => target(text)?,
    };
    let made_by = match manifest.kind {
        Kind::Sqlite => Engine::Sqlite,
        _ => Engine::Postgres,
    };
    if target.engine() != made_by {
        return Err(Error::usage(
            format!("{} is a backup of {made_by}", manifest.name),
            format!("name a target of {made_by}; another engine needs another kind of copy"),
        ));
    }
    restore.key.clone_from(&job.key);
    restore.invariants = invariants(has_own_tables(&manifest));
    restore.newest_schema = newest(&file.migrator(context.global), target.engine())?;
    restore.replace = agree(context, options, &manifest, &target)?;
    let mut work = Work::begin(context)?;
    restore.interrupt = work.interrupt.clone();
    let done = db_backup::restore(&*store, &manifest, &target, &restore, &mut |p| {
        work.phases.at(p);
    });
    work.phases.finish();
    let done = done?;
    let rows = done.tables.iter().map(|table| table.rows).sum();
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            name: done.name,
            kind: done.kind.name(),
            target: done.target,
            kept: done.kept,
            content_bytes: done.bytes,
            rows,
            copy_ms: done.copy_ms,
            verify_ms: done.verify_ms,
            duration_ms: done.total_ms,
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    let line = format!(
        "{} is restored from {}: {} with {rows} rows, in {} ms ({} ms of checks)",
        done.target,
        done.name,
        show_size(done.bytes),
        done.total_ms,
        done.verify_ms
    );
    text.line(context.output.paint().text(&line, Style::Green));
    if let Some(kept) = done.kept {
        text.line(format!("the old database is kept as {kept}"));
    }
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}

/// Where to. A bare path is a file that may not be there yet.
fn target(text: &str) -> Result<DatabaseUrl, Error> {
    let is_path = !text.contains("://") && !text.starts_with("sqlite:");
    if is_path && !Path::new(text).is_dir() && !text.is_empty() {
        return Ok(DatabaseUrl::SqliteFile(text.into()));
    }
    DatabaseUrl::parse(text)
        .map_err(|e| Error::usage(e.to_string(), "name a file or a database with --target"))
}

/// The highest version that this program has a migration for.
fn newest(migrator: &Migrator, engine: Engine) -> Result<Option<String>, Error> {
    let known = migrator.migrations(engine)?;
    let versions = known.all().iter().map(|m| m.version().as_str().to_owned());
    Ok(versions.max())
}

/// Whether what is there may be replaced, by the word of whoever types its name.
fn agree(
    context: &Context<'_>,
    options: &Restore,
    manifest: &db_backup::Manifest,
    target: &DatabaseUrl,
) -> Result<bool, Error> {
    if target.engine() == Engine::Postgres {
        return agree_on_server(context, options, manifest, target);
    }
    let Some(path) = target.path().filter(|path| path.exists()) else {
        return Ok(options.force);
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let question = format!(
        "replace {} by {} of {}? The old one is kept aside",
        path.display(),
        manifest.name,
        manifest.started_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    prompt::confirm_by_name(context.output, options.force, &question, &name)?;
    Ok(true)
}

/// The same for a database of a server, which is there if it can be connected to.
fn agree_on_server(
    context: &Context<'_>,
    options: &Restore,
    manifest: &db_backup::Manifest,
    target: &DatabaseUrl,
) -> Result<bool, Error> {
    match db_core::Connection::open(target, db_core::Access::ReadOnly) {
        Ok(connection) => drop(connection),
        Err(error) if error.kind() == db_core::ErrorKind::DatabaseMissing => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let name = target.database_name().unwrap_or_default();
    let question = format!(
        "replace the database {name} by {} of {}? The old one is kept under another name",
        manifest.name,
        manifest.started_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    prompt::confirm_by_name(context.output, options.force, &question, &name)?;
    Ok(true)
}
