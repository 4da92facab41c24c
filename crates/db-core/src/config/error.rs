//! Why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};

/// Where a setting was said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the program.
    Builder,
    /// In this variable.
    Environment(String),
    /// With this argument of a command line.
    Argument(String),
    /// In this file, on this line, from 1; line 0 is the file as a whole.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
}

impl Origin {
    /// Whether it is the same place: a file, the environment, the program, the command line.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path, .. }, Self::File { path: other, .. }) => path == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::Builder => f.write_str("set in the program"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Argument(name) => write!(f, "argument {name}"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A setting that cannot be: its name, its value without passwords, where it was said, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({origin}): {reason}", Assignment { field, value })]
pub struct ConfigError {
    field: String,
    value: String,
    origin: Origin,
    reason: String,
}

/// `field = value`, as far as there is either.
struct Assignment<'e> {
    field: &'e str,
    value: &'e str,
}

impl fmt::Display for Assignment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field, self.value) {
            ("", _) => f.write_str("the configuration"),
            (field, "") => f.write_str(field),
            (field, value) => write!(f, "{field} = {value}"),
        }
    }
}

impl ConfigError {
    /// `value` is masked by the caller if it is a URL, and here as far as a password or a key
    /// shows itself.
    pub(super) fn new(
        field: &str,
        value: impl AsRef<str>,
        origin: Origin,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            field: field.to_owned(),
            value: crate::encryption::mask(&crate::redact(value.as_ref())).into_owned(),
            origin,
            reason: reason.into(),
        }
    }

    /// The setting's name, as in a TOML file; empty for a file that cannot be read.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What it was set to, without passwords.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Where it was said.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Configuration, error.to_string())
    }
}
