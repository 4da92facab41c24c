//! What a command can fail with, as a person and as a script read it.

mod document;

use std::io;
use std::path::Path;

use db_core::{ConfigError, ErrorKind};
use db_migrate::Problem;
use db_transfer::copy::CopyError;

pub(crate) use document::Document;

use crate::command;
use crate::exit::{self, Code};

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
    /// An error with a better hint than its own.
    Hinted { error: Box<Error>, hint: String },
    /// The engine of migrations.
    Migrate(db_migrate::Error),
    /// `reset` rolled everything back, and then could not go forth.
    HalfReset {
        reverted: Box<db_migrate::Report>,
        error: Box<Error>,
    },
    /// Backups and restores.
    Backup(db_backup::Error),
    /// Copies from one database to another.
    Copy(CopyError),
    /// Data on its way in or out.
    Transfer(db_transfer::Error),
    /// The database.
    Database(db_core::Error),
    /// A file.
    Io { place: String, error: io::Error },
    /// Standard output, which is only written when everything else is done.
    Output(io::Error),
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
            "encryption_key_file" | "encryption_key_command"
                if error
                    .to_string()
                    .contains("without the feature `sqlcipher`") =>
            {
                "build it with `cargo install --locked --path crates/db-cli --features sqlcipher`; \
                 docs/encryption.md says more"
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
            Self::Transfer(db_transfer::Error::Database { doing, source }) => {
                Self::Transfer(db_transfer::Error::Database {
                    doing,
                    source: hinted(source),
                })
            }
            Self::Copy(CopyError::Database { doing, source }) => Self::Copy(CopyError::Database {
                doing,
                source: hinted(source),
            }),
            other => other,
        }
    }

    /// What an engine said, where that is at the bottom of it.
    pub(crate) const fn database(&self) -> Option<&db_core::Error> {
        match self {
            Self::Database(error)
            | Self::Migrate(db_migrate::Error::Database { error, .. })
            | Self::Backup(db_backup::Error::Database { error, .. })
            | Self::Transfer(db_transfer::Error::Database { source: error, .. }) => Some(error),
            _ => None,
        }
    }

    /// The same with another hint, where an engine said it.
    pub(crate) fn with_hint(mut self, hint: String) -> Self {
        if let Self::Database(error)
        | Self::Migrate(db_migrate::Error::Database { error, .. })
        | Self::Backup(db_backup::Error::Database { error, .. })
        | Self::Transfer(db_transfer::Error::Database { source: error, .. }) = &mut self
        {
            *error = error.clone().with_hint(hint);
        }
        self
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
            Self::Copy(error) => exit::of_copy(error),
            Self::Transfer(error) => exit::of_transfer(error),
            Self::Hinted { error, .. } | Self::HalfReset { error, .. } => error.classified(),
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
            Self::Hinted { error, .. } => error.message(),
            Self::Migrate(db_migrate::Error::Database { doing, error }) => {
                format!("{doing}: {}", error.told())
            }
            Self::Migrate(error) => error.to_string(),
            Self::Backup(error) => error.to_string(),
            Self::Copy(error) => command::copy::message(error),
            Self::Transfer(db_transfer::Error::Database { doing, source }) => {
                format!("{doing}: {}", source.told())
            }
            Self::Transfer(error) => error.to_string(),
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
            | Self::BadInput { hint, .. }
            | Self::Hinted { hint, .. } => hint.as_str(),
            Self::Migrate(db_migrate::Error::Database { error, .. })
            | Self::Database(error)
            | Self::Backup(db_backup::Error::Database { error, .. }) => hint_of_database(error),
            Self::Transfer(db_transfer::Error::BadInput { faults })
                if faults.iter().any(|fault| fault.is_of_type) =>
            {
                "nothing was changed; mend the file and import it again, or leave checking values to \
                 the database with --skip-validation"
            }
            Self::Transfer(db_transfer::Error::BadInput { .. }) => {
                "nothing was changed; mend the file and import it again"
            }
            Self::Migrate(error) => hint_of_migrate(error),
            Self::Backup(db_backup::Error::Io { error, .. }) => {
                hint_of_io(error.kind(), self.code())
            }
            Self::Backup(error) => error.hint().unwrap_or_else(|| hint_for(self.code())),
            Self::Copy(error) => hint_of_copy(error).unwrap_or_else(|| hint_for(self.code())),
            Self::Transfer(db_transfer::Error::Database { source, .. }) => hint_of_database(source),
            Self::Io { error, .. } => hint_of_io(error.kind(), self.code()),
            Self::Transfer(db_transfer::Error::File { source, .. }) => {
                hint_of_io(source.kind(), self.code())
            }
            Self::Transfer(_) => hint_for(self.code()),
            Self::Output(_) => {
                "what the command did is done; only its output could not be written in full"
            }
        };
        (!text.is_empty()).then(|| text.to_owned())
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

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        // What the migrations say has its own words and codes.
        match error {
            CopyError::Schema(error) => match error.downcast::<db_migrate::Error>() {
                Ok(error) => Self::Migrate(*error),
                Err(error) => match error.downcast::<db_core::Error>() {
                    Ok(error) => Self::Database(*error),
                    Err(error) => Self::Copy(CopyError::Schema(error)),
                },
            },
            error => Self::Copy(error),
        }
    }
}

impl From<db_transfer::Error> for Error {
    fn from(error: db_transfer::Error) -> Self {
        Self::Transfer(error)
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
                Self::Unhealthy {
                    message: error.told(),
                    hint: "`bitcraps-db migrate` makes the tables of a new database; `bitcraps-db health` \
                           names what another one has lost, and `bitcraps-db restore` brings it back"
                        .to_owned(),
                }
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
            db_repo::Error::TrailBroken(db_repo::Fault::SealMissing { .. }) => Self::Unhealthy {
                message,
                hint: "`bitcraps-db audit verify` with the same --anchor says what is wrong; if a backup of \
                       before that seal was restored, keep this file of anchors as it is, and begin \
                       another: --anchor OTHER --new-anchor-file"
                    .to_owned(),
            },
            db_repo::Error::TrailBroken(_) => Self::Unhealthy {
                message,
                hint: "`bitcraps-db audit verify` with the same --anchor says what is wrong"
                    .to_owned(),
            },
            _ => Self::usage(message, ""),
        }
    }
}

fn hint_of_copy(error: &CopyError) -> Option<&str> {
    Some(match error {
        CopyError::Database { doing, source } => {
            let making = doing.starts_with("making the tables")
                && exit::of_database(source.kind()).1 == Code::Unexpected;
            return Some(match source.hint() {
                None if making => {
                    "nothing was copied: change in the source what the target cannot make, give the target \
                     the extension that it needs, or choose other tables with --table"
                }
                None if doing.starts_with("reading ")
                    && source.kind() == ErrorKind::InvalidValue =>
                {
                    "nothing was copied: mend the text in the source, whose encoding let in what is none"
                }
                _ => hint_of_database(source),
            });
        }
        CopyError::NotEmpty { .. } => {
            "name a database that is empty, or a file that is not there, or add --replace; `copy` makes the \
             tables itself"
        }
        CopyError::Misfits(misfits) => {
            let helps = |part: &str| misfits.first.iter().any(|one| one.reason.contains(part));
            match (
                helps("a NUL character"),
                helps("that is not UTF-8"),
                helps("not a number"),
            ) {
                (false, false, false) => {
                    "mend the values in the source, or the types of their columns"
                }
                (true, false, false) => "mend the values in the source, or add --on-nul strip",
                (false, true, false) => {
                    "mend the values in the source, or add --on-invalid-utf8 replace"
                }
                (false, false, true) => "mend the values in the source, or add --on-nan null",
                _ => {
                    "mend the values in the source, or say what to do with them: --on-nul strip, \
                     --on-invalid-utf8 replace, --on-nan null"
                }
            }
        }
        CopyError::Locked => "wait until it is done",
        CopyError::Leftovers(_) => {
            "run the same copy again with --undo if all that is there may go; if the database is in use, \
             DROP TABLE __db_migrate_copy makes it forget the copy"
        }
        CopyError::NotMigrated(_) => {
            "write a migration that makes it; or copy with --from-catalog, which takes everything but the \
             history of migrations; or choose the other tables with --table, and move this one with \
             `export` and `import`"
        }
        CopyError::NotChosen(_) => "add --table for each of them",
        CopyError::Changed => "run it again when nobody changes tables",
        CopyError::NotUndone { .. } => {
            "run the same copy again with --undo: it undoes what is left first"
        }
        CopyError::ProofFailed(_) => {
            "nothing of the copy was kept; if the source has the same fault, mend it there first"
        }
        _ => return None,
    })
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

/// What helps where a file is not what it was taken for.
fn hint_of_io(kind: io::ErrorKind, code: Code) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "check the path: a file or folder of this name is not there"
        }
        io::ErrorKind::IsADirectory => "it is a folder: name a file in it",
        _ => hint_for(code),
    }
}

/// What helps with what an engine says: a server has roles where a file has an owner.
fn hint_of_database(error: &db_core::Error) -> &str {
    let by_kind = || match error.kind() {
        ErrorKind::PermissionDenied if error.message().contains("denied to create database") => {
            "ALTER ROLE … CREATEDB lets the role make one, in which a restore is proven before it gets its place"
        }
        ErrorKind::PermissionDenied if error.sqlite_code().is_none() && is_of_server(error) => {
            "GRANT the role what it needs, or connect as the owner of the tables"
        }
        kind => hint_for(exit::of_database(kind).1),
    };
    error.hint().unwrap_or_else(by_kind)
}

/// Whether PostgreSQL refused it, and not the system under a file.
fn is_of_server(error: &db_core::Error) -> bool {
    let words = [
        "permission denied for ",
        "permission denied to ",
        "must be ",
        "pg_",
    ];
    words.iter().any(|words| error.message().contains(words))
}

/// What helps with damage.
pub(crate) const OF_DAMAGE: &str = "restore the newest backup that was restored on trial, which \
     `bitcraps-db backup status` names; `bitcraps-db salvage --to NEW` reads what is left of a SQLite file";

/// What helps with most troubles of this code.
fn hint_for(code: Code) -> &'static str {
    match code {
        Code::Disk => "make room on the disk, or choose another place",
        Code::Permission => "check the owner and the mode of the file and its folder",
        Code::Locked => {
            "another program is using the database; try again, or wait longer with --wait 5m"
        }
        Code::Unhealthy => OF_DAMAGE,
        Code::Unreachable => "check the URL, and that the database is there",
        _ => "",
    }
}
