//! `restore`: a backup into a new place, or over a database that is kept aside.

pub(super) mod base;
mod finish;

use std::path::Path;

use db_backup::postgres::RecoveryTarget;
use db_backup::{
    Kind, Manifest, RestoreOptions, Restored, Selector, Shrunk, Store, Unchecked, Wanted,
};
use db_core::{Clock, DatabaseUrl, Engine, SystemClock};
use db_migrate::Migrator;
use schemars::JsonSchema;
use serde::Serialize;

use super::backup::{Work, chosen, find, identities, invariants, postgres, shrank};
use super::{Context, Job};
use crate::args::Restore;
use crate::database::{self, show_size};
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::text::Text;
use crate::prompt;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    dir: String,
    name: String,
    kind: &'static str,
    sound: bool,
    target: String,
    kept: Option<String>,
    content_bytes: u64,
    rows: u64,
    copy_ms: u64,
    verify_ms: u64,
    /// What else was found to be true of the data.
    invariants: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    /// What is wrong with them, and was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsound: Vec<String>,
    duration_ms: u64,
}

pub(super) fn run(context: &Context<'_>, options: &Restore) -> Result<Code, Error> {
    if let Some(waiting) = &options.finish {
        return finish::run(context, options, waiting);
    }
    let file = context.file()?;
    let settings = &file.backup;
    let (selector, store) = chosen(&options.name, &options.place, settings)?;
    let job = match &options.target {
        None => context.job(),
        Some(_) => context.job_beside(),
    };
    let mut wanted = wanted(options, job.as_ref().ok())?;
    // What is there is not replaced by another database, unless somebody said which.
    let is_replaced = |url: &DatabaseUrl| match url.path() {
        Some(path) => path.is_file(),
        None => is_on_server(url).unwrap_or(true),
    };
    wanted.only_own = selector == Selector::Latest
        && options.of.is_none()
        && wanted.databases.first().is_some_and(is_replaced);
    let manifest = find(&*store, selector, &wanted)?;
    let shrunk = shrunk(&*store, selector, &manifest)?;
    let restore = RestoreOptions::new()
        .with_identities(identities(options.identity.as_ref(), settings)?)
        .with_level(options.check.or(settings.check).unwrap_or_default().into())
        .with_accept_unsound(options.accept_unsound)
        .with_invariants(invariants::of_copy())
        .with_postgres(postgres(&options.tools, settings).with_owners(!options.no_owner));
    if manifest.kind == Kind::PostgresBase {
        return base::run(context, options, (&*store, &manifest), restore);
    }
    base::refuse_targets(options, &manifest)?;
    let job = job?;
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
    let restore = restore
        .with_key(job.key.clone())
        .with_newest_schema(newest(&file.migrator(context.global), target.engine())?)
        .with_replace(agree(
            context,
            options,
            (&manifest, shrunk.as_ref()),
            &target,
        )?);
    if let Some(shrunk) = &shrunk {
        context.output.note(&shrank(shrunk));
    }
    let mut work = Work::begin(context)?;
    let restore = restore.with_interrupt(work.interrupt.clone());
    let done = db_backup::restore(&*store, &manifest, &target, &restore, &mut |p| {
        work.phases.at(p);
    });
    work.phases.finish();
    remark(context, options, &done);
    tell(context, store.location(), (done?, Some(&manifest)))?;
    Ok(Code::Done)
}

/// Says what can be done where data is not sound.
fn remark(context: &Context<'_>, options: &Restore, done: &Result<Restored, db_backup::Error>) {
    if matches!(done, Err(db_backup::Error::Unsound { .. })) && !options.accept_unsound {
        let text = "--accept-unsound takes it where rows only contradict each other";
        context.output.note(text);
    }
}

/// Says what was restored; of a file that has waited there is no manifest.
fn tell(
    context: &Context<'_>,
    dir: String,
    (done, manifest): (Restored, Option<&Manifest>),
) -> Result<(), Error> {
    let rows = done.tables.iter().map(|table| table.rows).sum();
    if context.output.is_json() {
        context.output.document(&Document {
            dir,
            name: done.name,
            kind: done.kind.name(),
            sound: manifest.is_none_or(Manifest::is_sound) && done.unsound.is_empty(),
            target: done.target,
            kept: done.kept,
            content_bytes: done.bytes,
            rows,
            copy_ms: done.copy_ms,
            verify_ms: done.verify_ms,
            invariants: done.invariants.checked,
            unchecked: done.invariants.unchecked,
            unsound: done.unsound,
            duration_ms: done.total_ms,
        })?;
        return Ok(());
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
    not_sound(manifest, &done.unsound, &mut text);
    invariants::tell(&done.invariants.unchecked, &mut text);
    if let Some(kept) = done.kept {
        text.line(format!("the old database is kept as {kept}"));
    }
    context.output.report(&text.into_string())
}

/// A line for a backup that was not sound when it was made, or that is not by what is known now.
fn not_sound(manifest: Option<&Manifest>, found: &[String], text: &mut Text) {
    if let Some(manifest) = manifest.filter(|manifest| !manifest.is_sound()) {
        let findings = db_backup::brief(&manifest.proof.unsound);
        text.line(format!("NOT SOUND when it was made: {findings}"));
    } else if !found.is_empty() {
        text.line(format!("NOT SOUND: {}", db_backup::brief(found)));
    }
}

/// What `latest` is looked for in: what can be restored to the target, of the databases that are
/// named.
fn wanted(options: &Restore, job: Option<&Job>) -> Result<Wanted, Error> {
    let own = job.map(|job| job.target.clone());
    let of_engine = |engine| match engine {
        Engine::Sqlite => Kind::Sqlite,
        Engine::Postgres => Kind::PostgresDump,
    };
    let until = base::target(options);
    let to_point = until != RecoveryTarget::End;
    let (named, kinds) = match &options.target {
        None => (
            None,
            own.iter().map(|url| of_engine(url.engine())).collect(),
        ),
        // Only a base backup goes into a folder, and it says what is wrong with one that is not empty.
        Some(text) if Path::new(text).join("PG_VERSION").exists() => (
            Some(DatabaseUrl::SqliteFile(text.into())),
            vec![Kind::PostgresBase],
        ),
        Some(text) => {
            let url = if Path::new(text).is_dir() {
                DatabaseUrl::SqliteFile(text.into())
            } else {
                target(text)?
            };
            let kind = of_engine(url.engine());
            // A path may be a data folder as well.
            let is_path = !text.contains("://") && !text.starts_with("sqlite:");
            let also = is_path.then_some(Kind::PostgresBase);
            (Some(url), also.into_iter().chain([kind]).collect())
        }
    };
    Ok(Wanted {
        databases: named.into_iter().chain(own).collect(),
        kinds: if to_point {
            vec![Kind::PostgresBase]
        } else {
            kinds
        },
        of: options.of.clone(),
        only_own: false,
        until,
    })
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
    backup: (&Manifest, Option<&Shrunk>),
    target: &DatabaseUrl,
) -> Result<bool, Error> {
    if target.engine() == Engine::Postgres {
        return agree_on_server(context, options, backup, target);
    }
    match target.path() {
        Some(path) => agree_to_replace(context, options, path, &shown(backup)),
        None => Ok(options.force),
    }
}

/// The same for a file, by whatever is to take its place.
fn agree_to_replace(
    context: &Context<'_>,
    options: &Restore,
    path: &Path,
    by: &str,
) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(options.force);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path = path.display();
    let question = format!("replace {path} by {by}? The old one is kept aside");
    prompt::confirm_by_name(context.output, options.force, &question, &name)?;
    Ok(true)
}

/// A backup, as one decides by it: when it was, and of what.
fn shown((manifest, shrunk): (&Manifest, Option<&Shrunk>)) -> String {
    let shrunk = shrunk.map_or_else(String::new, |one| format!(" ({one})"));
    format!(
        "{} of {}, a backup of {}{shrunk}",
        manifest.name,
        manifest.started_at.format("%Y-%m-%d %H:%M:%S UTC"),
        manifest.database
    )
}

/// Whether the latest backup has far fewer rows than the one before, which may be the one that is
/// needed. Who names a backup means it.
fn shrunk(
    store: &dyn Store,
    selector: Selector,
    manifest: &Manifest,
) -> Result<Option<Shrunk>, Error> {
    if selector != Selector::Latest {
        return Ok(None);
    }
    let listing = db_backup::list(store)?;
    Ok(db_backup::shrunk(
        &listing,
        &manifest.name,
        SystemClock.now(),
    ))
}

/// The same for a database of a server, which is there if it can be connected to.
fn agree_on_server(
    context: &Context<'_>,
    options: &Restore,
    backup: (&Manifest, Option<&Shrunk>),
    target: &DatabaseUrl,
) -> Result<bool, Error> {
    if !is_on_server(target)? {
        return Ok(false);
    }
    let name = database::name_of(target).ok_or_else(|| database::nameless(target))?;
    let question = format!(
        "replace the database {name} by {}? The old one is kept under another name",
        shown(backup)
    );
    prompt::confirm_by_name(context.output, options.force, &question, &name)?;
    Ok(true)
}

fn is_on_server(target: &DatabaseUrl) -> Result<bool, Error> {
    match db_core::Connection::open(target, db_core::Access::ReadOnly) {
        Ok(connection) => {
            drop(connection);
            Ok(true)
        }
        Err(error) if error.kind() == db_core::ErrorKind::DatabaseMissing => Ok(false),
        Err(error) => Err(error.into()),
    }
}
