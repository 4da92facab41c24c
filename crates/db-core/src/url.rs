//! Which database is meant: the engine is chosen by the URL's scheme, never by trial.
//!
//! Diesel's derived enum tries its variants in turn, so that a mistyped PostgreSQL URL silently
//! becomes a SQLite file of that name. Here everything that is not clearly one or the other is an
//! error with a hint.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Engine;

/// The endings that make a bare path a SQLite database even before the file exists.
const SQLITE_ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];

/// What stands in for a password wherever a URL is shown.
const MASK: &str = "***";

/// A parsed database URL. `Display` and `Debug` mask the password.
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

impl DatabaseUrl {
    /// Parses `sqlite://PATH`, `sqlite:PATH`, `sqlite::memory:`, `postgres://…`, `postgresql://…`
    /// or a bare path that exists or ends in `.db`, `.sqlite` or `.sqlite3`.
    ///
    /// # Errors
    /// [`UrlError`] with a hint for anything else.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let fail = |reason: String| {
            Err(UrlError {
                shown: redact(text),
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
            return Ok(Self::Postgres(text.to_owned()));
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
                Some(known) => format!("unknown scheme; did you mean {known}://{}?", redact(rest)),
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
            redact(text)
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
            Self::Postgres(url) => f.write_str(&redact(url)),
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

/// Masks every password in a connection string: `user:secret@` and `password=secret`.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut shown = text.to_owned();
    // The authority ends at the first '/', '?' or '#', but an unescaped password may hold any of
    // them: the last '@' is the safe side to cut at.
    let start = shown.find("://").map_or(0, |at| at + 3);
    if let Some(at) = shown.rfind('@').filter(|at| *at >= start)
        && let Some(colon) = shown[start..at].find(':')
    {
        shown.replace_range(start + colon + 1..at, MASK);
    }
    for key in ["sslpassword", "password"] {
        shown = mask_parameter(&shown, key);
    }
    shown
}

/// Masks the value of `key=value` in a query string or a libpq keyword list.
fn mask_parameter(text: &str, key: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = lower[from..].find(key).map(|at| from + at) {
        let before = lower[..found].chars().next_back();
        let rest = &lower[found + key.len()..];
        let spaces = rest.len() - rest.trim_start().len();
        let value = found + key.len() + spaces + 1;
        let is_key = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        if !is_key || !rest.trim_start().starts_with('=') {
            out.push_str(&text[from..found + key.len()]);
            from = found + key.len();
            continue;
        }
        let value = value + text[value..].len() - text[value..].trim_start().len();
        out.push_str(&text[from..value]);
        out.push_str(MASK);
        from = value_end(text, value);
    }
    out.push_str(&text[from..]);
    out
}

/// Where the value that starts at `from` ends: at a closing quote, `&`, or white space.
fn value_end(text: &str, from: usize) -> usize {
    let value = &text[from..];
    if let Some(quoted) = value.strip_prefix('\'') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                '\'' if !escaped => return from + 1 + at + 1,
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        return text.len();
    }
    value
        .find(|c: char| c == '&' || c.is_whitespace())
        .map_or(text.len(), |at| from + at)
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
            (".", "it is a folder"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn passwords_are_masked_everywhere() {
        for text in [
            "postgres://u:hunter2@h/d",
            "postgres://u:hunter2@x/y@h:5/d",
            "postgres://h/d?user=u&password=hunter2&sslmode=require",
            "postgres://h/d?sslpassword=hunter2",
            "host=h password=hunter2 dbname=d",
            "host=h password = 'hunter2 \\' hunter2' dbname=d",
            "host=h PASSWORD=hunter2",
            "u:hunter2@h/d",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("hunter2"), "{text} -> {shown}");
        }
        assert_eq!(redact("postgres://u@h/d"), "postgres://u@h/d");
        assert_eq!(redact("passwords are kept"), "passwords are kept");
        let url = DatabaseUrl::parse("postgres://u:hunter2@h/d").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://u:***@h/d postgres://u:***@h/d"
        );
    }
}
