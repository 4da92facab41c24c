//! What can go wrong with backups, restores, health and maintenance.

use std::io;
use std::path::Path;

/// An error of this crate. `Display` says what was wrong and where; [`Error::hint`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A database or its server.
    #[error("{doing}: {}", error.told())]
    Database {
        /// What was being done.
        doing: String,
        /// What the engine said.
        error: db_core::Error,
    },
    /// A file or a folder.
    #[error("{doing} {place}: {error}")]
    Io {
        /// What was being done: `write`, `sync`.
        doing: &'static str,
        /// The file.
        place: String,
        /// What the system said.
        error: io::Error,
    },
    /// What was read of the schema's history.
    #[error("the history of the schema: {0}")]
    Schema(#[source] Box<db_migrate::Error>),
    /// Wrong settings or a name that cannot be.
    #[error("{reason}")]
    Usage {
        /// What is wrong.
        reason: String,
        /// What to write instead.
        hint: String,
    },
    /// There is no such backup.
    #[error("{place} holds no backup {name}")]
    NotFound {
        /// What was looked for.
        name: String,
        /// Where.
        place: String,
    },
    /// A stored file is not what it was when it was written.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// The file.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// The data of a copy or a backup did not pass the checks.
    #[error("{name} failed its checks: {}", findings.join("; "))]
    Unsound {
        /// The backup or the database.
        name: String,
        /// What was found.
        findings: Vec<String>,
    },
    /// A backup that a newer program made.
    #[error("{name} was made by a newer program: {reason}")]
    TooNew {
        /// The backup.
        name: String,
        /// What is newer.
        reason: String,
    },
    /// Not done, because it could lose data.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What would make it possible.
        hint: String,
    },
    /// An encrypted backup, and no identity that opens it.
    #[error("{name}: {reason}")]
    Identity {
        /// The backup or the file of identities.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// Somebody else is at work.
    #[error("{what} is in use{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    Locked {
        /// The folder or the database.
        what: String,
        /// Who, where that is known.
        holder: Option<String>,
    },
    /// The place where backups are kept cannot be reached.
    #[error("{place}: {reason}")]
    Store {
        /// The place, without secrets.
        place: String,
        /// What it said.
        reason: String,
    },
    /// The place where backups are kept does not know who we are.
    #[error("{place}: {reason}")]
    Credentials {
        /// The place, without secrets.
        place: String,
        /// What is wrong with the credentials.
        reason: String,
    },
    /// The place where backups are kept does not let us.
    #[error("{place}: {reason}")]
    Forbidden {
        /// The place, without secrets.
        place: String,
        /// What it forbids.
        reason: String,
    },
    /// A program of the engine is missing, or of the wrong version.
    #[error("{reason}")]
    Tool {
        /// Which one, and what is wrong with it.
        reason: String,
        /// What to install.
        hint: String,
    },
    /// A program of the engine failed.
    #[error("{tool} failed: {reason}")]
    ToolFailed {
        /// Which one.
        tool: String,
        /// The last lines of what it said, without passwords.
        reason: String,
    },
    /// Stopped on request; nothing was published.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Wraps what a database said.
    pub(crate) fn database(doing: impl Into<String>, error: db_core::Error) -> Self {
        if error.kind() == db_core::ErrorKind::Cancelled {
            return Self::Interrupted;
        }
        Self::Database {
            doing: doing.into(),
            error,
        }
    }

    /// Wraps what the system said of a file. What a store said while it was read stays that.
    pub(crate) fn io(doing: &'static str, place: impl AsRef<Path>, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Io {
                doing,
                place: place.as_ref().display().to_string(),
                error,
            },
        }
    }

    /// A stored file that is not what it was.
    pub(crate) fn damaged(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            name: name.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn usage(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            reason: reason.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn refused(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            hint: hint.into(),
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Database { error, .. } => error.hint(),
            Self::Usage { hint, .. } | Self::Refused { hint, .. } | Self::Tool { hint, .. } => {
                Some(hint.as_str()).filter(|hint| !hint.is_empty())
            }
            Self::NotFound { .. } => Some("`backup list` shows what there is"),
            Self::Damaged { .. } => Some("use another backup; `backup list` shows them"),
            Self::Unsound { .. } => {
                Some("use the newest backup that passes; `backup verify` says which do")
            }
            Self::TooNew { .. } => Some("use the program that made it, or a newer one"),
            Self::Identity { .. } => {
                Some("name the file that holds the identity (AGE-SECRET-KEY-1…) of a recipient")
            }
            Self::Locked { .. } => Some("wait until it is done, or stop it"),
            Self::Store { .. } => Some(
                "look at the address and the network; `backup create` goes on with an upload that began",
            ),
            Self::Credentials { .. } => {
                Some("look at AWS_*, GOOGLE_* or AZURE_* in the environment (docs/operations.md)")
            }
            Self::Forbidden { .. } => Some("have list, read, write and delete allowed there"),
            _ => None,
        }
    }
}
