//! `copy`: a whole database into another one, and the proof that it arrived.

mod proof;

use std::sync::Arc;
use std::time::Duration;

use db_backup::Replacement;
use db_core::{
    Access, Clock as _, Connection, DatabaseUrl, Engine, Interrupt, Options, SystemClock, duration,
};
use db_migrate::catalog::Scope;
use db_migrate::catalog::model::Model;
use db_migrate::{Drift, MigrateOptions, Migrator, Target};
use db_transfer::copy::{self, BoxError, CopyError, CopyReport, Endpoint, Schema};
use db_transfer::{OnWait, Pending, Policies, copy::Misfit};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{Copy, CopyNan, CopyNul, CopyUtf8};
use crate::config;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::key;
use crate::output::rows::Rows;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::prompt;
use crate::scratch::Scratch;
use crate::signals;

/// Who acts is kept in a table on SQLite and in the session on PostgreSQL; a copy needs neither.
const CONTEXT: &str = "audit_context";

/// What is told of a copy that was stopped and has taken back what it did.
const INTERRUPTED: &str = "interrupted; the target is as it was before the copy";

/// What is told when a second signal keeps it from taking that back.
const LEFT: &str = "error: interrupted twice: what was copied may still be there\n\
    hint: run the same copy again; into PostgreSQL with --undo, which takes away what is left\n";

/// What was done, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'r> {
    source: String,
    target: String,
    exit_code: u8,
    /// What the database that was there is called now.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    #[serde(flatten)]
    report: &'r CopyReport,
}

pub(super) fn run(context: &Context<'_>, options: &Copy) -> Result<Code, Error> {
    let file = context.file()?;
    let from = place(
        context,
        &file,
        options.from.as_deref().map(|url| ("--from", url)),
    )?;
    let to = place(context, &file, Some(("--to", &options.to)))?;
    if from.engine() == Engine::Postgres && to.engine() == Engine::Postgres {
        key::refuse_on_postgres(context.global)?;
    }
    let rows = Arc::new(Rows::new(context.output));
    let version = if options.from_catalog {
        None
    } else {
        version_of(context, &file, (&from, &rows.on_wait()))?
    };
    let ours = version.map(|version| Ours {
        context,
        file: &file,
        version,
    });
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    let replaces = options.replace && !from.is_same_as(&to)? && Replacement::is_needed(&to.url)?;
    let replacement = if replaces {
        replacement(context, options, (&from, &to))?
    } else {
        None
    };
    let filled = match &replacement {
        Some(replacement) => Endpoint {
            url: replacement.url().clone(),
            key: to.key.clone(),
        },
        None => to.clone(),
    };
    let mut wanted = copy::Copy::new(from.clone(), filled)
        .tables(&options.tables)
        .policies(policies(options))
        .lock_source(options.lock_source)
        .dry_run(options.dry_run)
        .replaces(replaces)
        .undo_leftovers(options.undo)
        .most_misfits(options.limit)
        .interrupt(interrupt)
        .on_wait(rows.on_wait())
        .on_progress(|progress| rows.at(progress))
        .on_estimate(|estimate| {
            rows.note(&format!(
                "the source takes no writes for about {}, until the proof of {} rows is done",
                duration::show(rounded(estimate.locked)),
                estimate.rows
            ));
        });
    if let Some(ours) = &ours {
        wanted = proof::demand(
            wanted.schema(ours).leave_out([CONTEXT]),
            &options.tables,
            (&from, &to),
        )?;
    }
    if !options.dry_run && !context.output.is_json() {
        signals::last_words(LEFT);
    }
    let done = wanted.run();
    rows.finish();
    let report = done?;
    let kept = replacement.map(Replacement::take_place).transpose()?;
    tell(context, &report, (&from.url, &to.url), kept)
}

/// Says what was done.
fn tell(
    context: &Context<'_>,
    report: &CopyReport,
    (from, to): (&DatabaseUrl, &DatabaseUrl),
    kept: Option<String>,
) -> Result<Code, Error> {
    let code = if report.misfits.count > 0 {
        Code::Refused
    } else {
        Code::Done
    };
    if context.output.is_json() {
        context.output.document(&Document {
            source: shown(from),
            target: shown(to),
            exit_code: code.number(),
            kept,
            report,
        })?;
    } else {
        context
            .output
            .report(&text(report, (from, to), context.output.paint()))?;
        if let Some(kept) = kept {
            context
                .output
                .report(&format!("the old database is kept as {kept}\n"))?;
        }
    }
    Ok(code)
}

/// The place beside a target that is not empty, if it may be replaced by the word of whoever types its
/// name. A dry run needs none.
fn replacement(
    context: &Context<'_>,
    options: &Copy,
    (from, to): (&Endpoint, &Endpoint),
) -> Result<Option<Replacement>, Error> {
    if options.dry_run {
        Replacement::check(&to.url)?;
        return Ok(None);
    }
    let name = match to.url.path() {
        Some(path) => path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        None => database::name_of(&to.url).ok_or_else(|| database::nameless(&to.url))?,
    };
    let question = format!(
        "replace {} by a copy of {}? The old one is kept under another name",
        shown(&to.url),
        shown(&from.url)
    );
    prompt::confirm_by_name(context.output, options.force, &question, &name)?;
    let now = SystemClock.now();
    Ok(Some(Replacement::begin(&to.url, to.key.as_ref(), now)?))
}

/// A database of this command: what the configuration says, with another URL.
fn place(
    context: &Context<'_>,
    file: &config::File,
    url: Option<(&str, &str)>,
) -> Result<Endpoint, Error> {
    let mut settings = file.database(context.global)?;
    if let Some((argument, url)) = url {
        settings = settings
            .with_argument(argument, "url", url)
            .map_err(Error::setting)?;
    }
    let wrong = |error: db_core::ConfigError| match url {
        Some((argument, _)) if error.field() == "url" => Error::Hinted {
            error: Box::new(Error::setting(error)),
            hint: format!(
                "write {argument} as sqlite://FILE, sqlite:///FOLDER/FILE or \
                 postgres://USER@HOST/DATABASE"
            ),
        },
        _ => Error::setting(error),
    };
    Ok(match settings.options().map_err(wrong)? {
        Options::Sqlite(options) => Endpoint {
            key: options.encryption_key.as_ref().map(key::read).transpose()?,
            url: options.url,
        },
        Options::Postgres(options) => {
            database::refuse_nameless(&options.url)?;
            Endpoint::new(options.target)
        }
    })
}

fn open(place: &Endpoint, access: Access) -> Result<Connection, db_core::Error> {
    Connection::open_encrypted(
        &place.url,
        access,
        &Interrupt::default(),
        place.key.as_ref(),
    )
}

/// The version that the source's migrations have brought it to; none for a database without any.
fn version_of(
    context: &Context<'_>,
    file: &config::File,
    (from, on_wait): (&Endpoint, &OnWait),
) -> Result<Option<String>, Error> {
    let mut connection = {
        let opens = from.engine() == Engine::Sqlite;
        let _told = opens.then(|| Pending::opening(&from.url, on_wait));
        open(from, Access::ReadOnly)?
    };
    let status = file.migrator(context.global).status(connection.conn())?;
    if status.applied.is_empty() {
        return Ok(None);
    }
    if !status.problems.is_empty() {
        return Err(Error::Migrate(db_migrate::Error::History(status.problems)));
    }
    Ok(status.current_version)
}

/// The migrations of the source.
struct Ours<'a> {
    context: &'a Context<'a>,
    file: &'a config::File,
    version: String,
}

impl Ours<'_> {
    fn migrator(&self, place: &Endpoint) -> Migrator {
        let migrator = self.file.migrator(self.context.global);
        match &place.key {
            Some(key) => migrator.encryption_key(key.clone()),
            None => migrator,
        }
    }

    fn wanted(&self) -> Result<MigrateOptions, BoxError> {
        Ok(MigrateOptions {
            target: Some(Target::parse(&self.version)?),
            ..MigrateOptions::default()
        })
    }
}

impl Schema for Ours<'_> {
    fn apply(&self, target: &Endpoint) -> Result<(), BoxError> {
        let mut connection = open(target, Access::Create)?;
        self.migrator(target)
            .migrate(connection.conn(), &self.wanted()?)?;
        Ok(())
    }

    fn remove(&self, target: &Endpoint) -> Result<(), BoxError> {
        let mut connection = open(target, Access::ReadWrite)?;
        self.migrator(target)
            .rollback_to(connection.conn(), &Target::Ordinal(0))?;
        Ok(())
    }

    fn preview(&self, target: &Endpoint) -> Result<Model, BoxError> {
        let mut scratch = Scratch::create(&target.url).map_err(|error| match error {
            Error::Database(error) => BoxError::from(error.with_hint(
                "a dry run reads the tables that the migrations make in a scratch database: ALTER ROLE … \
                 CREATEDB lets this user make one; the copy itself needs none",
            )),
            error => error.message().into(),
        })?;
        let connection = scratch.connection();
        self.migrator(target)
            .migrate(connection.conn(), &self.wanted()?)?;
        Ok(Model::read(&mut connection.conn(), &Scope::default())?)
    }

    fn drift(&self, source: &Endpoint) -> Result<Drift, BoxError> {
        let mut connection = open(source, Access::ReadOnly)?;
        Ok(self.migrator(source).drift(connection.conn())?)
    }
}

fn policies(options: &Copy) -> Policies {
    Policies {
        nul: match options.on_nul {
            CopyNul::Refuse => db_transfer::OnNul::Refuse,
            CopyNul::Strip => db_transfer::OnNul::Strip,
        },
        invalid_utf8: match options.on_invalid_utf8 {
            CopyUtf8::Refuse => db_transfer::OnInvalidUtf8::Refuse,
            CopyUtf8::Replace => db_transfer::OnInvalidUtf8::Replace,
        },
        nan: match options.on_nan {
            CopyNan::Refuse => db_transfer::OnNan::Refuse,
            CopyNan::Null => db_transfer::OnNan::Null,
        },
    }
}

/// The database as it was written, without the password and the parameters of every connection.
fn shown(url: &DatabaseUrl) -> String {
    url.without_pacing().to_string()
}

/// An estimate has no more than seconds.
fn rounded(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + 1)
}

fn text(report: &CopyReport, (from, to): (&DatabaseUrl, &DatabaseUrl), paint: Paint) -> String {
    let (from, to) = (shown(from), shown(to));
    let mut text = Text::default();
    for left in &report.not_translated {
        let line = format!("{} {}: {}", left.kind, left.name, left.reason);
        // Its values are there, which is what matters.
        let label = match left.kind {
            "generated column" => "copied as:",
            _ => "not copied:",
        };
        text.marked(paint, (label, Style::Yellow), line);
    }
    for left in &report.not_checked {
        text.marked(paint, ("not checked:", Style::Yellow), left);
    }
    for misfit in &report.misfits.first {
        text.marked(paint, ("does not fit:", Style::Red), misfit.to_string());
    }
    for step in &report.would_undo {
        text.marked(paint, ("would undo first:", Style::Yellow), step);
    }
    if report.dry_run {
        text.line(match report.misfits.count {
            0 => format!("everything in {from} fits into {to}; nothing was written"),
            count => format!("{count} values in {from} do not fit into {to}; nothing was written"),
        });
        return text.into_string();
    }
    let mut table = Table::new(&[
        ("table", Align::Left),
        ("rows", Align::Right),
        ("hash", Align::Left),
    ]);
    for told in &report.tables {
        table.row(
            vec![
                told.table.as_str().into(),
                told.rows.to_string().into(),
                told.target_hash.as_str().into(),
            ],
            None,
        );
    }
    text.lines(&table.render(paint));
    if report.undone_before {
        text.line("a copy that was interrupted before was undone first".to_owned());
    }
    if report.mapped > 0 {
        text.line(format!(
            "{} values were changed on their way, as you said",
            report.mapped
        ));
    }
    let time = |micros| duration::show(Duration::from_micros(micros));
    text.line(format!(
        "{} rows from {from} to {to}: looked at in {}, loaded in {} ({} rows a second), proven in {}",
        report.rows,
        time(report.inspect_us),
        time(report.load_us),
        report.rows_per_second,
        time(report.proof_us)
    ));
    let proven = format!("proven: {}", report.checked.join("; "));
    text.line(paint.text(&proven, Style::Green));
    text.into_string()
}

/// What a person is told of values that do not fit.
pub(crate) fn message(error: &CopyError) -> String {
    let misfits = match error {
        CopyError::Misfits(misfits) => misfits,
        CopyError::Interrupted => return INTERRUPTED.to_owned(),
        // Most connections that fail name their database themselves.
        CopyError::Database { doing, source } => {
            let place = doing.strip_prefix("connecting to ");
            return match place {
                Some(place) if source.message().contains(place) => source.told(),
                _ => format!("{doing}: {}", source.told()),
            };
        }
        _ => return error.to_string(),
    };
    let shown = misfits.first.iter().map(Misfit::to_string);
    let lines: Vec<String> = std::iter::once(match misfits.count {
        1 => "1 value does not fit into the target; nothing was written".to_owned(),
        count => format!("{count} values do not fit into the target; nothing was written"),
    })
    .chain(shown)
    .collect();
    lines.join("\n  ")
}
