//! Records of later looks at a backup: of its last restore on trial, and of the last look that failed.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::text::{self, clean};
use super::{FORMAT, Kind, Level, Manifest, host, seal};
use crate::error::Error;
use crate::name::BackupName;

/// The record of the last complete restore of a backup, made on a scratch database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// [`FORMAT`].
    pub format: u32,
    /// The backup.
    pub name: String,
    /// The seal of the manifest that was restored.
    pub manifest: String,
    /// When the drill ended.
    pub at: DateTime<Utc>,
    /// How thoroughly the restored database was checked.
    pub level: Level,
    /// From the first byte read until the database was in its place, in milliseconds.
    pub copy_ms: u64,
    /// The checks.
    pub verify_ms: u64,
    /// Both, and all between.
    pub total_ms: u64,
    /// Bytes of the restored content.
    pub bytes: u64,
    /// Where.
    pub host: String,
    /// The seal, as a manifest's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

/// How deep a look at the content of a backup goes. Each sees what those before it see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Its files are read, and compared with their hashes.
    Read,
    /// The data are checked as well, as [`Level::Quick`] has it.
    Quick,
    /// As [`Level::Full`] has it.
    Full,
    /// It is restored on trial.
    Restored,
}

impl Depth {
    /// That of a check of a backup of this kind. Of PostgreSQL's there is one check only, whatever is asked for: what
    /// goes deeper is a restore.
    pub(crate) const fn of(kind: Kind, level: Level) -> Self {
        match (kind, level) {
            (Kind::Sqlite, Level::Full) => Self::Full,
            (Kind::Sqlite, Level::Quick) | (Kind::PostgresDump | Kind::PostgresBase, _) => {
                Self::Quick
            }
        }
    }

    /// That of a restore on trial: the deepest look that there is.
    pub(crate) const fn of_trial(kind: Kind) -> Self {
        match kind {
            // A file is checked alike wherever it lies.
            Kind::Sqlite => Self::Full,
            Kind::PostgresDump | Kind::PostgresBase => Self::Restored,
        }
    }
}

/// The record of the last look at a backup that failed. A look as deep that passes takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// [`FORMAT`].
    pub format: u32,
    /// The backup.
    pub name: String,
    /// The seal of the manifest that was looked at.
    pub manifest: String,
    /// When the look ended.
    pub at: DateTime<Utc>,
    /// How deep one has to look to tell that it is over.
    pub depth: Depth,
    /// What was found.
    pub why: String,
    /// Where.
    pub host: String,
    /// The seal, as a manifest's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

/// What is said of one in a list.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(f, "its verification failed at {at}: {}", self.why)
    }
}

impl Verification {
    /// Seals it and gives the bytes to write.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be written as JSON.
    pub fn seal(&mut self) -> Result<Vec<u8>, Error> {
        self.format = FORMAT;
        self.host = clean(&self.host);
        let file = format!("{}.verified.json", self.name);
        sealed(self, &file, |record| &mut record.sha256)
    }

    /// Reads the record that stands in the file `file`.
    ///
    /// # Errors
    /// As [`Manifest::read`](super::Manifest::read).
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let read = unsealed(file, bytes, |record: &mut Self| &mut record.sha256)?;
        check(file, &[&read.host])?;
        match BackupName::parse(&read.name) {
            Ok(name) if file == name.verification() => Ok(read),
            _ => Err(of_another(file)),
        }
    }
}

impl Failure {
    /// What stands for a record that is there and cannot be read: some look has failed, nobody knows how deep.
    pub(crate) fn unread(manifest: &Manifest, at: DateTime<Utc>, error: &Error) -> Self {
        Self {
            format: FORMAT,
            name: manifest.name.clone(),
            manifest: manifest.sha256.clone(),
            at,
            depth: Depth::of_trial(manifest.kind),
            why: clean(&format!("its record cannot be read: {error}")),
            host: host(),
            sha256: String::new(),
        }
    }

    /// Seals it and gives the bytes to write.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it cannot be written as JSON.
    pub fn seal(&mut self) -> Result<Vec<u8>, Error> {
        self.format = FORMAT;
        self.host = clean(&self.host);
        self.why = clean(&self.why);
        let file = format!("{}.failed.json", self.name);
        sealed(self, &file, |record| &mut record.sha256)
    }

    /// Reads the record that stands in the file `file`.
    ///
    /// # Errors
    /// As [`Manifest::read`](super::Manifest::read).
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let read = unsealed(file, bytes, |record: &mut Self| &mut record.sha256)?;
        check(file, &[&read.host, &read.why])?;
        match BackupName::parse(&read.name) {
            Ok(name) if file == name.failure() => Ok(read),
            _ => Err(of_another(file)),
        }
    }
}

/// Puts the seal into a record, and gives its bytes.
fn sealed<T: Serialize>(
    record: &mut T,
    file: &str,
    seal: fn(&mut T) -> &mut String,
) -> Result<Vec<u8>, Error> {
    seal(record).clear();
    *seal(record) = seal::of(&seal::bytes(record, file)?);
    seal::bytes(record, file)
}

/// Reads a record, and holds it against its bytes and its seal.
fn unsealed<T: Serialize + DeserializeOwned + Clone>(
    file: &str,
    bytes: &[u8],
    seal: fn(&mut T) -> &mut String,
) -> Result<T, Error> {
    seal::refuse_newer(file, bytes, FORMAT)?;
    let read: T = seal::parse(file, bytes)?;
    let mut without = read.clone();
    let own = std::mem::take(seal(&mut without));
    seal::check(file, bytes, (&read, &own), &without)?;
    Ok(read)
}

/// What people read of it has to be fit for their terminals.
fn check(file: &str, texts: &[&str]) -> Result<(), Error> {
    if texts.iter().all(|text| text::is_clean(text)) {
        return Ok(());
    }
    Err(Error::damaged(file, text::ODD))
}

fn of_another(file: &str) -> Error {
    Error::damaged(file, "it is the record of another backup")
}
