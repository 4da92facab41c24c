//! Which database is meant: the engine is chosen by the URL's scheme, never by trial.
//!
//! Diesel's derived enum tries its variants in turn, so that a mistyped PostgreSQL URL silently
//! becomes a SQLite file of that name. Here everything that is not clearly one or the other is an
//! error with a hint.

mod address;
mod postgres;
mod programs;
mod redact;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Engine;

pub(crate) use postgres::{parameter, with_parameters, without_parameter};
pub use programs::ProgramTarget;
pub use redact::redact;
pub(crate) use redact::scrub;

/// The endings that make a bare path a SQLite database even before the file exists.
const SQLITE_ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];

/// A parsed database URL. `Display` and `Debug` mask the password, and leave out the parameters that
/// the settings add to every connection, which would bury the rest.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite database file.
    SqliteFile(PathBuf),
    /// A private SQLite database in memory.
    SqliteMemory,
    /// A PostgreSQL connection URL, passed to libpq as it is.
    Postgres(String),
}

/// Why a text is no database URL, and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not a database URL: {reason}")]
pub struct UrlError {
    shown: String,
    reason: String,
}

impl UrlError {
    /// The text, as far as it may be shown.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Why it is none.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

impl DatabaseUrl {
    /// Parses `sqlite://PATH`, `sqlite:PATH`, `sqlite::memory:`, `postgres://…`, `postgresql://…`
    /// or a bare path that exists or ends in `.db`, `.sqlite` or `.sqlite3`.
    ///
    /// # Errors
    /// [`UrlError`] with a hint for anything else.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let fail = |reason: String| {
            Err(UrlError {
                shown: shown(text),
                reason,
            })
        };
        if text.trim().is_empty() {
            return fail("it is empty; write sqlite://PATH or postgres://USER@HOST/NAME".into());
        }
        if text.contains('\0') {
            return fail("it contains a NUL byte".into());
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return match postgres::check(text) {
                Ok(()) => Ok(Self::Postgres(text.to_owned())),
                // Where the password ends is unsure now, so nothing of it is shown.
                Err(reason) => Err(UrlError {
                    shown: format!("postgres://{}", redact::MASK),
                    reason: reason.to_owned(),
                }),
            };
        }
        if text == ":memory:" {
            return Ok(Self::SqliteMemory);
        }
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => fail("the path is missing; write sqlite://PATH".into()),
                ":memory:" => Ok(Self::SqliteMemory),
                _ if path.contains('?') => fail(
                    "parameters after '?' are not supported; give the path alone, and settings in the configuration".into(),
                ),
                _ => Ok(Self::SqliteFile(PathBuf::from(path))),
            };
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return fail(match nearest_scheme(scheme) {
                Some(known) => format!("unknown scheme; did you mean {known}://{}?", shown(rest)),
                None => {
                    format!("the engine {scheme:?} is not supported; use sqlite:// or postgres://")
                }
            });
        }
        if text.starts_with("file:") {
            return fail("write the path as sqlite://PATH".into());
        }
        let path = Path::new(text);
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        if path.is_dir() {
            return fail(format!(
                "it is a folder; name the file in it, for example sqlite://{}/bitcraps.db",
                text.trim_end_matches('/')
            ));
        }
        if path.exists() || SQLITE_ENDINGS.contains(&ending) {
            return Ok(Self::SqliteFile(path.to_owned()));
        }
        fail(format!(
            "no such file, and its name does not end in .db, .sqlite or .sqlite3; to create it, write sqlite://{}",
            shown(text)
        ))
    }

    /// The engine that this URL chooses.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::SqliteFile(_) | Self::SqliteMemory => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The name of the database on its server, where the URL says it.
    #[must_use]
    pub fn database_name(&self) -> Option<String> {
        match self {
            Self::SqliteFile(_) | Self::SqliteMemory => None,
            Self::Postgres(text) => postgres::database_name(text),
        }
    }

    /// The same without the parameters that the settings add to every connection, which would bury
    /// what a message says.
    #[must_use]
    pub fn without_pacing(&self) -> Self {
        let Self::Postgres(text) = self else {
            return self.clone();
        };
        let mut shown = text.clone();
        for key in [
            "application_name",
            "client_encoding",
            "connect_timeout",
            "keepalives",
            "keepalives_count",
            "keepalives_idle",
            "keepalives_interval",
            "tcp_user_timeout",
        ] {
            shown = without_parameter(&shown, key);
        }
        Self::Postgres(shown.trim_end_matches('?').to_owned())
    }

    /// Every form of a password in it that an engine could repeat, as it is and decoded.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::SqliteFile(_) | Self::SqliteMemory => Vec::new(),
            Self::Postgres(text) => postgres::secrets(text),
        }
    }

    /// The file behind the database, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::SqliteFile(path) => Some(path),
            Self::SqliteMemory | Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteFile(path) => write!(f, "sqlite://{}", path.display()),
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::Postgres(_) => match self.without_pacing() {
                Self::Postgres(url) => f.write_str(&redact(&url)),
                other => other.fmt(f),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

/// What an error may show of a text that is no URL: no password, and no parameters, whose meaning
/// is not known (a key of an encrypted file, perhaps).
fn shown(text: &str) -> String {
    let masked = redact(text);
    match masked.split_once('?') {
        Some((before, _)) => before.to_owned(),
        None => masked,
    }
}

/// The scheme that was probably meant.
fn nearest_scheme(scheme: &str) -> Option<&'static str> {
    let lower = scheme.to_ascii_lowercase();
    if lower.starts_with("pos") || lower.starts_with("pg") || lower.starts_with("psql") {
        Some("postgres")
    } else if lower.contains("sql") && lower.contains("lite") || lower == "sqlite3" {
        Some("sqlite")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_choose_the_engine() {
        for (text, engine) in [
            ("sqlite://a.db", Engine::Sqlite),
            ("sqlite:///tmp/x/a.db", Engine::Sqlite),
            ("sqlite:a.db", Engine::Sqlite),
            ("sqlite::memory:", Engine::Sqlite),
            ("new.sqlite3", Engine::Sqlite),
            ("postgres://u@h/d", Engine::Postgres),
            ("postgresql://u@h/d", Engine::Postgres),
        ] {
            assert_eq!(DatabaseUrl::parse(text).unwrap().engine(), engine, "{text}");
        }
        assert_eq!(
            DatabaseUrl::parse("sqlite:///var/lib/b.db").unwrap().path(),
            Some(Path::new("/var/lib/b.db"))
        );
    }

    #[test]
    fn a_mistyped_url_is_an_error_with_a_hint() {
        for (text, hint) in [
            (
                "postgre://u:secret@h/d",
                "did you mean postgres://u:***@h/d?",
            ),
            ("sqllite://x.db", "did you mean sqlite://x.db?"),
            ("mysql://u@h/d", "\"mysql\" is not supported"),
            ("", "it is empty"),
            ("sqlite://", "the path is missing"),
            ("no_such_thing", "write sqlite://no_such_thing"),
            ("u:secret@h/d", "write sqlite://u:***@h/d"),
            ("file:a.db", "sqlite://PATH"),
            ("sqlite://a.db?mode=rwc", "after '?'"),
            ("sqlite://a.db?key=secret", "\"sqlite://a.db\""),
            ("sqllite://a.db?key=secret", "sqlite://a.db?"),
            ("a?key=secret", "write sqlite://a"),
            ("file:a.db?key=secret", "sqlite://PATH"),
            (".", "it is a folder"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
