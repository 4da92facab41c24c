//! What a command can fail with, as a person and as a script read it.

use std::io;
use std::path::Path;

use db_core::{ConfigError, ErrorKind};
use db_migrate::Problem;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{self, Code};
use crate::output::run::RunReport;

/// An error of the command line.
#[derive(Debug)]
pub(crate) enum Error {
    /// Wrong arguments.
    Usage { message: String, hint: String },
    /// Wrong configuration.
    Configuration { message: String, hint: String },
    /// Refused without a person's word.
    Refused { message: String, hint: String },
    /// What is stored is not what it has to be.
    Unhealthy { message: String, hint: String },
    /// A file that was given is not what it has to be.
    BadInput { message: String, hint: String },
    /// The engine of migrations.
    Migrate(db_migrate::Error),
    /// `reset` rolled everything back, and then could not go forth.
    HalfReset {
        reverted: Box<db_migrate::Report>,
        error: Box<Error>,
    },
    /// Backups and restores.
    Backup(db_backup::Error),
    /// The database.
    Database(db_core::Error),
    /// A file.
    Io { place: String, error: io::Error },
    /// Standard output, which is only written when everything else is done.
    Output(io::Error),
}

/// The document that `--json` prints instead of data.
#[derive(Debug, Serialize)]
struct Document<'e> {
    error: Body<'e>,
}

#[derive(Debug, Serialize)]
struct Body<'e> {
    kind: &'e str,
    message: String,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<RunReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<RunReport>,
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn io(place: &Path, error: io::Error) -> Self {
        Self::Io {
            place: place.display().to_string(),
            error,
        }
    }

    /// A setting that cannot be, which says where that was written.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is handed to `map_err` as it is"
    )]
    pub(crate) fn setting(error: ConfigError) -> Self {
        let hint = match error.field() {
            "url" => {
                "the default is sqlite://./data/bitcraps.db; set --database-url, \
                 BITCRAPS_DATABASE_URL, DATABASE_URL or url in bitcraps-db.toml"
            }
            "encryption_key_file" | "encryption_key_command" => {
                "name one place where the key is: a file, or a command that prints it"
            }
            _ => "docs/database.md lists the settings; `migrations` names folders of migrations",
        };
        Self::Configuration {
            message: error.to_string(),
            hint: hint.to_owned(),
        }
    }

    /// The same error for a command that has no `--wait`.
    pub(crate) fn of_a_command_that_does_not_wait(self) -> Self {
        let hinted = |error: db_core::Error| {
            if exit::of_database(error.kind()).1 == Code::Locked && error.hint().is_none() {
                error.with_hint("another program is using the database; try again")
            } else {
                error
            }
        };
        match self {
            Self::Database(error) => Self::Database(hinted(error)),
            Self::Migrate(db_migrate::Error::Database { doing, error }) => {
                Self::Migrate(db_migrate::Error::Database {
                    doing,
                    error: hinted(error),
                })
            }
            other => other,
        }
    }

    /// The number that the program ends with.
    pub(crate) fn code(&self) -> Code {
        self.classified().1
    }

    fn classified(&self) -> (&'static str, Code) {
        // Whatever failed after a signal failed because of it.
        if let Some(code) = crate::signals::received() {
            return ("interrupted", code);
        }
        match self {
            Self::Usage { .. } => ("usage", Code::Usage),
            Self::Configuration { .. } => ("configuration", Code::Usage),
            Self::Refused { .. } => ("refused", Code::Refused),
            Self::Unhealthy { .. } => ("unhealthy", Code::Unhealthy),
            Self::BadInput { .. } => ("bad_input", Code::BadInput),
            Self::Migrate(error) => exit::of_migrate(error),
            Self::Backup(error) => exit::of_backup(error),
            Self::HalfReset { error, .. } => error.classified(),
            Self::Database(error) => exit::of_database(error.kind()),
            Self::Io { error, .. } | Self::Output(error) => match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    ("permission_denied", Code::Permission)
                }
                _ => ("io", Code::Disk),
            },
        }
    }

    /// What happened, without what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage { message, .. }
            | Self::Configuration { message, .. }
            | Self::Refused { message, .. }
            | Self::Unhealthy { message, .. }
            | Self::BadInput { message, .. } => message.clone(),
            Self::Migrate(db_migrate::Error::Database { doing, error }) => {
                format!("{doing}: {}", error.told())
            }
            Self::Migrate(error) => error.to_string(),
            Self::Backup(error) => error.to_string(),
            Self::HalfReset { reverted, error } if reverted.steps.is_empty() => error.message(),
            Self::HalfReset { reverted, error } => format!(
                "{}\nBefore that, {} rolled back.",
                error.message(),
                match reverted.steps.len() {
                    1 => "1 migration was".to_owned(),
                    n => format!("{n} migrations were"),
                }
            ),
            Self::Database(error) => error.told(),
            Self::Io { place, error } => format!("{place}: {error}"),
            Self::Output(error) => format!("standard output: {error}"),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::HalfReset { reverted, error } => {
                return error.hint().or_else(|| {
                    let again = "mend that, and `bitcraps-db migrate` builds everything again";
                    (!reverted.steps.is_empty()).then(|| again.to_owned())
                });
            }
            Self::Usage { hint, .. }
            | Self::Configuration { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Unhealthy { hint, .. }
            | Self::BadInput { hint, .. } => hint.as_str(),
            Self::Migrate(db_migrate::Error::Database { error, .. }) | Self::Database(error) => {
                error.hint().unwrap_or_else(|| hint_for(self.code()))
            }
            Self::Migrate(error) => hint_of_migrate(error),
            Self::Backup(error) => error.hint().unwrap_or_else(|| hint_for(self.code())),
            Self::Io { .. } => hint_for(self.code()),
            Self::Output(_) => {
                "what the command did is done; only its output could not be written in full"
            }
        };
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The error as the one JSON document of a failed command.
    pub(crate) fn document(&self) -> impl Serialize + use<'_> {
        let (kind, code) = self.classified();
        Document {
            error: Body {
                kind,
                message: self.message(),
                exit_code: code.number(),
                hint: self.hint(),
                details: self.details(),
                report: self.report(),
                rolled_back: self.reverted_before().map(RunReport::of),
            },
        }
    }

    fn details(&self) -> Option<Value> {
        use db_migrate::{Error as E, Outcome};
        if let Self::HalfReset { error, .. } = self {
            return error.details();
        }
        let Self::Migrate(error) = self else {
            return None;
        };
        Some(match error {
            E::History(problems) | E::NewerDatabase(problems) => json!({ "problems": problems }),
            E::Drift(differences) => json!({ "differences": differences }),
            E::NoWayBack(steps) => json!({ "steps": steps }),
            E::Pending(names) => json!({ "pending": names }),
            E::Unsound { findings, .. } => json!({ "findings": findings }),
            E::PlanChanged { confirmed, now } => json!({ "confirmed": confirmed, "now": now }),
            E::Locked { holder, waited } => {
                json!({ "holder": holder, "waited_seconds": waited.as_secs_f64() })
            }
            E::Failed { failure, .. } => json!({
                "version": failure.version.as_str(),
                "name": failure.name,
                "file": failure.file,
                "line": failure.line,
                "statement": failure.statement,
                "excerpt": failure.excerpt,
                "database_message": failure.message,
                "rolled_back": failure.outcome == Outcome::RolledBack,
            }),
            _ => return None,
        })
    }

    fn report(&self) -> Option<RunReport> {
        self.done_before().map(RunReport::of)
    }

    /// What was done before it failed.
    pub(crate) fn done_before(&self) -> Option<&db_migrate::Report> {
        match self {
            Self::Migrate(db_migrate::Error::Failed { report, .. }) => Some(report),
            Self::Migrate(
                db_migrate::Error::Interrupted { report }
                | db_migrate::Error::Unsound { report, .. },
            ) => report.as_deref(),
            Self::HalfReset { error, .. } => error.done_before(),
            _ => None,
        }
    }

    /// What `reset` rolled back before it failed.
    pub(crate) fn reverted_before(&self) -> Option<&db_migrate::Report> {
        match self {
            Self::HalfReset { reverted, .. } => Some(reverted),
            _ => None,
        }
    }
}

impl From<db_migrate::Error> for Error {
    fn from(error: db_migrate::Error) -> Self {
        Self::Migrate(error)
    }
}

impl From<db_migrate::TargetError> for Error {
    fn from(error: db_migrate::TargetError) -> Self {
        Self::Migrate(error.into())
    }
}

impl From<db_backup::Error> for Error {
    fn from(error: db_backup::Error) -> Self {
        Self::Backup(error)
    }
}

impl From<db_core::Error> for Error {
    fn from(error: db_core::Error) -> Self {
        Self::Database(error)
    }
}

impl From<db_repo::Error> for Error {
    fn from(error: db_repo::Error) -> Self {
        let message = error.to_string();
        match error {
            db_repo::Error::Database(error)
                if error.kind() == ErrorKind::Statement && error.hint().is_none() =>
            {
                Self::Database(error.with_hint("`bitcraps-db migrate` makes the tables"))
            }
            db_repo::Error::Database(error) => Self::Database(error),
            db_repo::Error::AnchorFile {
                kind: io::ErrorKind::InvalidData,
                ..
            } => Self::BadInput {
                message,
                hint: "name the file that `bitcraps-db audit seal --anchor` writes, as it was \
                       written"
                    .to_owned(),
            },
            db_repo::Error::NoAnchors { .. } => Self::Refused {
                message,
                hint: "name the file that was written before; --new-anchor-file begins a new one, \
                       which says nothing about what was done to the trail until now"
                    .to_owned(),
            },
            db_repo::Error::AnchorFile { path, kind, why } => {
                Self::io(&path, io::Error::new(kind, why))
            }
            db_repo::Error::TrailBroken(_) => Self::Unhealthy {
                message,
                hint: "`bitcraps-db audit verify` with the same --anchor says what is wrong"
                    .to_owned(),
            },
            _ => Self::usage(message, ""),
        }
    }
}

fn hint_of_migrate(error: &db_migrate::Error) -> &'static str {
    use db_migrate::{Error as E, SourceError};
    match error {
        E::Source(SourceError::Unreadable { missing: true, .. }) => {
            "name an existing folder with --migrations or in bitcraps-db.toml, or leave it out to \
             use the migrations that are compiled in"
        }
        E::Locked { .. } => "wait longer with --wait 5m, or see what the other run is doing",
        E::History(problems) => hint_of_problems(problems),
        E::PlanChanged { .. } => "run the command again to see what it would revert now",
        E::NoWayBack(_) => "write the missing down.sql, or roll back only as far as there is a way",
        E::Failed { failure, .. } => match exit::of_migrate(error).1 {
            Code::MigrationFailed if failure.outcome == db_migrate::Outcome::RolledBack => {
                "mend the script and run the command again"
            }
            Code::MigrationFailed => "",
            code => hint_for(code),
        },
        E::Unsound { report: None, .. } => "repair the data first, or leave out --verify",
        E::Unsound {
            report: Some(report),
            ..
        } if report.rehearsal => "mend what the migrations do to the data before they are run",
        E::Unsound { .. } => "the migrations are applied and stay so; mend the data, or `rollback`",
        E::LockFile { .. } | E::Write { .. } => hint_for(exit::of_migrate(error).1),
        _ => "",
    }
}

/// What helps beyond what each problem says by itself.
fn hint_of_problems(problems: &[Problem]) -> &'static str {
    let has_lines = |p: &Problem| {
        matches!(
            p,
            Problem::Edited {
                has_lines: true,
                ..
            }
        )
    };
    if problems
        .iter()
        .any(|p| matches!(p, Problem::NoMigrations { .. }))
    {
        "name the right folder with --migrations or in bitcraps-db.toml; without one, those that are \
         compiled in are used"
    } else if problems.iter().any(has_lines) {
        "`bitcraps-db validate` shows the lines that differ"
    } else {
        ""
    }
}

/// What helps with most troubles of this code.
fn hint_for(code: Code) -> &'static str {
    match code {
        Code::Disk => "make room on the disk, or choose another place",
        Code::Permission => "check the owner and the mode of the file and its folder",
        Code::Locked => {
            "another program is using the database; try again, or wait longer with --wait 5m"
        }
        Code::Unhealthy => "restore a backup, or copy what can be read into a new file",
        Code::Unreachable => "check the URL, and that the database is there",
        _ => "",
    }
}
