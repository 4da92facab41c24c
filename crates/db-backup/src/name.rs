//! What backups and their files are called.
//!
//! `backup_20251122_143005`, and `backup_20251122_143005_2` for a second one of that second. All
//! files of a backup begin with its name and a dot. What is not written exactly so is no backup.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike, Utc};

use crate::error::Error;
use crate::manifest::Kind;

const PREFIX: &str = "backup_";

/// So many backups can begin in one second.
const MOST_IN_A_SECOND: u32 = 9_999;

/// Longer names than ours do not occur.
const LONGEST_FILE_NAME: usize = 200;

/// The name of a backup. Names are ordered by the moment of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    at: NaiveDateTime,
    number: u32,
}

impl BackupName {
    /// The first name for a backup that begins at this moment.
    #[must_use]
    pub fn at(moment: DateTime<Utc>) -> Self {
        let at = moment.naive_utc();
        Self {
            at: at.with_nanosecond(0).unwrap_or(at),
            number: 1,
        }
    }

    /// The next name for a backup of the same second.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self.number < MOST_IN_A_SECOND).then_some(Self {
            number: self.number + 1,
            ..self
        })
    }

    /// When it began, to the second.
    #[must_use]
    pub fn moment(self) -> DateTime<Utc> {
        self.at.and_utc()
    }

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no name of a backup.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            Error::usage(
                format!("{shown:?} is not the name of a backup"),
                "write backup_YYYYMMDD_HHMMSS as `backup list` shows it, or `latest`",
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let mut fields = rest.split('_');
        let (date, time) = (fields.next()?, fields.next()?);
        let number = match fields.next() {
            None => 1,
            Some(digits) if !digits.starts_with('0') => number(digits, digits.len())?,
            Some(_) => return None,
        };
        // The first has no number.
        let written_as_first = rest.matches('_').count() == 1;
        if fields.next().is_some()
            || number > MOST_IN_A_SECOND
            || (number == 1) != written_as_first
            || date.len() != 8
            || time.len() != 6
        {
            return None;
        }
        let year = i32::try_from(number_of(date, 0, 4)?).ok()?;
        let date = NaiveDate::from_ymd_opt(year, number_of(date, 4, 6)?, number_of(date, 6, 8)?)?;
        let at = date.and_hms_opt(
            number_of(time, 0, 2)?,
            number_of(time, 2, 4)?,
            number_of(time, 4, 6)?,
        )?;
        Some(Self { at, number })
    }

    /// The name of its manifest.
    #[must_use]
    pub fn manifest(self) -> String {
        format!("{self}.json")
    }

    /// The name of the record of its last restore drill.
    #[must_use]
    pub fn verification(self) -> String {
        format!("{self}.verified.json")
    }

    /// The name of the record of the last look at it that failed.
    #[must_use]
    pub fn failure(self) -> String {
        format!("{self}.failed.json")
    }

    /// The name of its artifact.
    #[must_use]
    pub fn artifact(self, kind: Kind, compressed: bool, encrypted: bool) -> String {
        let ending = ending(kind);
        let zst = if compressed { ".zst" } else { "" };
        let age = if encrypted { ".age" } else { "" };
        format!("{self}.{ending}{zst}{age}")
    }
}

const fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "db",
        Kind::PostgresDump => "dump",
        Kind::PostgresBase => "tar",
    }
}

impl Kind {
    /// What an artifact holds, by the name of its file.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        let told = file.split('.').nth(1)?;
        let kinds = [Self::Sqlite, Self::PostgresDump, Self::PostgresBase];
        kinds.into_iter().find(|kind| ending(*kind) == told)
    }
}

fn number_of(text: &str, from: usize, to: usize) -> Option<u32> {
    number(text.get(from..to)?, to - from)
}

/// Digits and nothing else, so many.
fn number(digits: &str, length: usize) -> Option<u32> {
    let all = digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.at.format("%Y%m%d_%H%M%S"))?;
        if self.number > 1 {
            write!(f, "_{}", self.number)?;
        }
        Ok(())
    }
}

/// What a stored file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// A manifest.
    Manifest(BackupName),
    /// The record of a restore drill.
    Verification(BackupName),
    /// The record of a look that failed.
    Failure(BackupName),
    /// An artifact or a part of it.
    Part(BackupName),
}

impl FileName {
    /// Which file of which backup it is; `None` for what is none of ours.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        if !is_safe(file) {
            return None;
        }
        let (name, ending) = file.split_once('.')?;
        let name = BackupName::read(name)?;
        Some(match ending {
            "json" => Self::Manifest(name),
            "verified.json" => Self::Verification(name),
            "failed.json" => Self::Failure(name),
            _ => Self::Part(name),
        })
    }

    /// The backup that it belongs to.
    #[must_use]
    pub const fn backup(self) -> BackupName {
        match self {
            Self::Manifest(name)
            | Self::Verification(name)
            | Self::Failure(name)
            | Self::Part(name) => name,
        }
    }
}

/// Whether a name stays inside its folder: letters, digits, `.`, `_` and `-`, and no hidden file.
pub(crate) fn is_safe(file: &str) -> bool {
    !file.is_empty()
        && file.len() <= LONGEST_FILE_NAME
        && !file.starts_with('.')
        && file
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "backup_20251122_143005",
            "backup_20251122_143005_2",
            "backup_20240229_235959_9999",
        ] {
            assert_eq!(BackupName::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "latest",
            "backup_",
            "backup_20251122",
            "backup_20251122_14300",
            "backup_20251122_143005_",
            "backup_20251122_143005_1",
            "backup_20251122_143005_0",
            "backup_20251122_143005_02",
            "backup_20251122_143005_10000",
            "backup_20251122_143005_99999999999",
            "backup_20251122_143005_2_3",
            "backup_20251322_143005",
            "backup_20250229_143005",
            "backup_20251122_243005",
            "backup_+0251122_143005",
            "backup_20251122_143005.db",
            "../backup_20251122_143005",
            "Backup_20251122_143005",
            "backup_２0251122_143005",
        ] {
            BackupName::parse(text).unwrap_err();
        }
    }

    #[test]
    fn later_ones_come_after() {
        let names: Vec<_> = [
            "backup_20251122_143005",
            "backup_20251122_143005_2",
            "backup_20251122_143005_10",
            "backup_20251122_143006",
        ]
        .map(|t| BackupName::parse(t).unwrap())
        .into();
        assert!(names.is_sorted());
        let first = names[0];
        assert_eq!(BackupName::at(first.moment()), first);
        assert_eq!(first.next(), Some(names[1]));
        assert_eq!(
            BackupName::parse("backup_20251122_143005_9999")
                .unwrap()
                .next(),
            None
        );
    }

    #[test]
    fn files_belong_to_a_backup() {
        let name = BackupName::parse("backup_20251122_143005").unwrap();
        assert_eq!(
            FileName::parse(&name.manifest()),
            Some(FileName::Manifest(name))
        );
        assert_eq!(
            FileName::parse(&name.verification()),
            Some(FileName::Verification(name))
        );
        assert_eq!(
            FileName::parse(&name.failure()),
            Some(FileName::Failure(name))
        );
        let artifact = name.artifact(Kind::Sqlite, true, true);
        assert_eq!(artifact, "backup_20251122_143005.db.zst.age");
        assert_eq!(FileName::parse(&artifact), Some(FileName::Part(name)));
        for other in [
            "x.json",
            ".lock",
            "backup_20251122_143005",
            "backup_20251122_143005.a/b",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
