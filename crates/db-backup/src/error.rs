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
    /// The archived log is not whole.
    #[error("the log in {place} is not whole: {file} {what}")]
    LogGap {
        /// Where it is archived.
        place: String,
        /// The file that is missing or cannot be followed.
        file: String,
        /// What is wrong, and how far the log goes on behind it.
        what: String,
    },
    /// The data of a copy or a backup did not pass the checks.
    #[error("{name} failed its checks: {}", brief(findings))]
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
    /// The restored database could not be given its place; it is proven, and waits beside it.
    #[error("{error}; what was restored and proven waits as {waits_as}")]
    PlaceTaken {
        /// Why.
        error: Box<Self>,
        /// The file.
        waits_as: String,
        /// The command that gives it its place.
        hint: String,
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

/// Findings are looked for up to so many; there may be more.
const MOST_FINDINGS: usize = 20;

/// More than these in one line are counted.
const MOST_NAMED: usize = 3;

/// Findings in one line: rows without a parent are counted for each pair of tables, and what is too much
/// for a line is left out with a word.
#[must_use]
pub fn brief(findings: &[String]) -> String {
    let mut groups: Vec<(&str, Option<&str>, usize)> = Vec::new();
    for finding in findings {
        let pair = orphan_of(finding);
        let known = groups
            .iter_mut()
            .find(|(_, p, _)| pair.is_some() && *p == pair);
        match known {
            Some((_, _, count)) => *count += 1,
            None => groups.push((finding, pair, 1)),
        }
    }
    let told = groups.iter().map(|(first, pair, count)| match pair {
        Some(pair) if *count > 1 => {
            format!("{count} rows of {}", pair.replacen("has no", "have no", 1))
        }
        _ => (*first).to_owned(),
    });
    let mut text = told.take(MOST_NAMED).collect::<Vec<_>>().join("; ");
    match groups.len().saturating_sub(MOST_NAMED) {
        0 if findings.len() >= MOST_FINDINGS => text.push_str("; there may be more"),
        0 => {}
        more => {
            text.push_str("; and ");
            text.push_str(&more.to_string());
            text.push_str(" more");
        }
    }
    text
}

/// `game_players has no parent in users` of `row 34 of game_players has no parent in users`.
fn orphan_of(finding: &str) -> Option<&str> {
    let (_, rest) = finding.strip_prefix("row ")?.split_once(" of ")?;
    rest.contains(" has no parent in ").then_some(rest)
}

/// What is said of a bucket that is not there.
pub(crate) const NO_BUCKET: &str = "there is no such bucket";

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

    /// Whether the place of backups, or what we say to it, is wrong: asking again changes nothing.
    pub(crate) fn is_wrong_place(&self) -> bool {
        match self {
            Self::Usage { .. } | Self::Credentials { .. } | Self::Forbidden { .. } => true,
            Self::Store { reason, .. } => reason == NO_BUCKET,
            _ => false,
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

    /// Whether the role may not read the log of a server, as a base backup does.
    #[must_use]
    pub fn is_of_replication(&self) -> bool {
        let words = [
            "replication role to start walsender",
            "denied to start WAL sender",
        ];
        let said = |reason: &str| words.iter().any(|words| reason.contains(words));
        matches!(self, Self::ToolFailed { reason, .. } if said(reason))
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Database { error, .. } => error.hint(),
            Self::Usage { hint, .. }
            | Self::Refused { hint, .. }
            | Self::PlaceTaken { hint, .. }
            | Self::Tool { hint, .. } => Some(hint.as_str()).filter(|hint| !hint.is_empty()),
            Self::NotFound { .. } => Some("`backup list` shows what there is"),
            Self::Damaged { .. } => Some("use another backup; `backup list` shows them"),
            Self::LogGap { .. } => Some(
                "push the file again if a server still has it in pg_wal; make a new base backup, which \
                 does without it; a moment before it can be restored with --at or --lsn",
            ),
            Self::Unsound { .. } => {
                Some("use the newest backup that was restored on trial; `backup status` names it")
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
                Some("look at AWS_*, GOOGLE_* or AZURE_* in the environment (docs/backup.md)")
            }
            Self::ToolFailed { .. } if self.is_of_replication() => Some(
                "ALTER ROLE … REPLICATION lets a role make base backups; a dump (--method dump) needs none",
            ),
            Self::Forbidden { .. } => Some("have list, read, write and delete allowed there"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn findings_fit_on_a_line() {
        let orphan = |row: u32, table: &str| format!("row {row} of {table} has no parent in users");
        let one = [orphan(1, "bets")];
        assert_eq!(brief(&one), one[0]);
        let mut many: Vec<String> = (0..12).map(|row| orphan(row, "bets")).collect();
        many.push(orphan(4, "games"));
        assert_eq!(
            brief(&many),
            "12 rows of bets have no parent in users; row 4 of games has no parent in users"
        );
        many.extend((0..7).map(|n| format!("fault {n}")));
        assert!(
            brief(&many).ends_with("fault 0; and 6 more"),
            "{}",
            brief(&many)
        );
    }
}
