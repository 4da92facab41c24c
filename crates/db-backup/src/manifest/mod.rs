//! What is written down of a backup, and of later looks at it.
//!
//! The manifest is written last and never changed. It carries the hashes of everything, and a seal
//! over itself (see `seal`).

mod record;
mod seal;
mod text;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::invariant::Unchecked;
use crate::name::{self, BackupName, FileName};

pub use record::{Depth, Failure, Verification};
pub(crate) use seal::{LARGEST, hex};
pub(crate) use text::clean;

/// The format that this program writes of a backup that is sound, and of a drill.
pub const FORMAT: u32 = 1;

/// The format of a manifest that says what is not sound: who does not know that field must not take it
/// for damaged. A larger number is a newer program's.
pub const FORMAT_UNSOUND: u32 = 2;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A SQLite database file.
    Sqlite,
    /// What `pg_dump -Fc` wrote of one database.
    PostgresDump,
    /// A PostgreSQL data folder, from `pg_basebackup`.
    PostgresBase,
}

impl Kind {
    /// The word for it, as in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::PostgresDump => "postgres_dump",
            Self::PostgresBase => "postgres_base",
        }
    }
}

/// How thoroughly the data was, or is to be, checked.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Structure (`quick_check`), foreign keys, row counts, hashes.
    #[default]
    Quick,
    /// Also that indexes and tables agree (`integrity_check`).
    Full,
}

impl Level {
    /// The word for it, as in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// All that is known of a backup. Immutable once it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] or [`FORMAT_UNSOUND`].
    pub format: u32,
    /// The backup's name, see [`BackupName`].
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The moment of the snapshot.
    pub started_at: DateTime<Utc>,
    /// When everything but the manifest was done.
    pub finished_at: DateTime<Utc>,
    /// From start to finish, in milliseconds.
    pub duration_ms: u64,
    /// Who made it.
    pub made_by: MadeBy,
    /// The engine that the data comes from.
    pub engine: EngineFacts,
    /// Where the database was, without secrets.
    pub database: String,
    /// The state of its schema, where migrations are recorded in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaFacts>,
    /// How many rows each table has, by name.
    pub tables: Vec<TableRows>,
    /// The plain database file, dump or tar.
    pub content: Content,
    /// The files as they are stored; their bytes one after the other are the artifact.
    pub parts: Vec<Part>,
    /// How the content is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How it is encrypted, after compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What was checked before it was published.
    pub proof: Proof,
    /// Names of what it cannot be restored without.
    pub requires: Vec<String>,
    /// The seal: SHA-256 in hex over this document without this field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

/// Who made a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeBy {
    /// Program and version.
    pub program: String,
    /// The machine.
    pub host: String,
    /// The user of the operating system.
    pub user: String,
}

/// The engine that the data comes from; what an engine does not have is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFacts {
    /// `sqlite` or `postgres`.
    pub name: String,
    /// The engine's version.
    pub version: String,
    /// SQLite: bytes of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// SQLite: pages of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// SQLite: whether the file itself is encrypted, by SQLCipher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// SQLite: `PRAGMA application_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<i32>,
    /// PostgreSQL: the database's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// PostgreSQL: `server_version_num`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version_num: Option<u32>,
    /// PostgreSQL: the user that the cluster was made with, who is there in every restore of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superuser: Option<String>,
    /// PostgreSQL: which cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// PostgreSQL: the timeline of a base backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// PostgreSQL: where a base backup begins in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_lsn: Option<String>,
    /// PostgreSQL: where it is consistent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_lsn: Option<String>,
    /// PostgreSQL: the first log file that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_wal: Option<String>,
    /// PostgreSQL: the last log file that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_wal: Option<String>,
}

/// The state of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaFacts {
    /// The highest version that is applied.
    pub version: String,
    /// The fingerprint of the catalog: SQLite's strict one, PostgreSQL's loose one, which a dump and
    /// its restore do not change.
    pub fingerprint: String,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRows {
    /// The table; on PostgreSQL with its schema.
    pub name: String,
    /// How many.
    pub rows: u64,
}

/// The plain content of an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// A file as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the store.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// How content is compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    /// `zstd`.
    pub method: String,
    /// The level.
    pub level: i32,
}

/// How content is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// `age`.
    pub method: String,
    /// Public keys of those who can open it.
    pub recipients: Vec<String>,
}

/// What was checked before a backup was published, and how long it took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// How thoroughly.
    pub level: Level,
    /// Copying or dumping, in milliseconds.
    pub copy_ms: u64,
    /// Hashing, compressing and encrypting.
    pub encode_ms: u64,
    /// The engine's own check.
    pub integrity_ms: u64,
    /// Foreign keys, as far as they took longer than the check beside which they are followed.
    pub foreign_keys_ms: u64,
    /// Counting rows, as far as it took longer than both.
    pub rows_ms: u64,
    /// What the caller checked besides, such as that money is conserved.
    pub invariants: Vec<String>,
    /// What the caller wanted checked besides, and could not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Unchecked>,
    /// What was wrong with the data, and was accepted. Nothing as a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsound: Vec<String>,
}

impl MadeBy {
    /// This program, as `program`, on this machine, for this user.
    #[must_use]
    pub fn this(program: impl Into<String>) -> Self {
        let user = ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            // A service may have no name for its user.
            .unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
        Self {
            program: program.into(),
            host: host(),
            user,
        }
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

impl Manifest {
    /// Its name.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that cannot be; one that was read has been checked.
    pub fn backup_name(&self) -> Result<BackupName, Error> {
        BackupName::parse(&self.name)
    }

    /// Bytes of the files in the store, without the manifest.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, part| sum.saturating_add(part.bytes))
    }

    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let rows = self.tables.iter().map(|table| table.rows);
        rows.fold(0, u64::saturating_add)
    }

    /// Whether the artifact is one file, and that file is the content itself.
    #[must_use]
    pub fn is_stored_plain(&self) -> bool {
        self.compression.is_none() && self.encryption.is_none() && self.parts.len() == 1
    }

    /// Whether others may see the files of the backup, and not what is in them.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encryption.is_some() || self.engine.encrypted == Some(true)
    }

    /// Whether the data passed every check when it was made. One that did not was asked for with
    /// [`BackupOptions::with_accept_unsound`](crate::BackupOptions::with_accept_unsound).
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.proof.unsound.is_empty()
    }

    /// What people read of it.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let engine = &mut self.engine;
        let encryption = self.encryption.as_mut().map(|e| &mut e.recipients);
        let schema = self.schema.as_mut();
        [
            &mut self.made_by.program,
            &mut self.made_by.host,
            &mut self.made_by.user,
            &mut self.database,
            &mut engine.version,
        ]
        .into_iter()
        .chain(&mut engine.database)
        .chain(&mut engine.superuser)
        .chain(&mut engine.system_identifier)
        .chain(&mut engine.start_lsn)
        .chain(&mut engine.stop_lsn)
        .chain(&mut engine.start_wal)
        .chain(&mut engine.stop_wal)
        .chain(
            schema
                .into_iter()
                .flat_map(|s| [&mut s.version, &mut s.fingerprint]),
        )
        .chain(self.tables.iter_mut().map(|table| &mut table.name))
        .chain(encryption.into_iter().flatten())
        .chain(&mut self.proof.invariants)
        .chain(
            self.proof
                .unchecked
                .iter_mut()
                .flat_map(|one| [&mut one.name, &mut one.why]),
        )
        .chain(&mut self.proof.unsound)
    }

    /// Seals it and gives the bytes to write.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it holds what no manifest can.
    pub fn seal(&mut self) -> Result<Vec<u8>, Error> {
        for text in self.texts() {
            if !text::is_clean(text) {
                *text = clean(text);
            }
        }
        self.format = if self.is_sound() {
            FORMAT
        } else {
            FORMAT_UNSOUND
        };
        self.sha256 = String::new();
        let file = format!("{}.json", self.name);
        self.sha256 = seal::of(&seal::bytes(self, &file)?);
        let bytes = seal::bytes(self, &file)?;
        self.check(&file)?;
        Ok(bytes)
    }

    /// Reads the manifest that stands in the file `file`.
    ///
    /// # Errors
    /// [`Error::Damaged`] for every byte that is not as it was written, [`Error::TooNew`].
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        seal::refuse_newer(file, bytes, FORMAT_UNSOUND)?;
        let mut read: Self = seal::parse(file, bytes)?;
        if !read.texts().all(|text| text::is_clean(text)) {
            return Err(Error::damaged(file, text::ODD));
        }
        let unsealed = Self {
            sha256: String::new(),
            ..read.clone()
        };
        seal::check(file, bytes, (&read, &read.sha256), &unsealed)?;
        read.check(file)?;
        Ok(read)
    }

    /// What no field may say, whoever sealed it.
    fn check(&self, file: &str) -> Result<(), Error> {
        let wrong = |reason: &str| Err(Error::damaged(file, reason));
        let Ok(name) = BackupName::parse(&self.name) else {
            return wrong("its name is no name of a backup");
        };
        if file != name.manifest() {
            return wrong("it is the manifest of another backup");
        }
        if self.parts.is_empty() || self.parts.len() > MOST_PARTS {
            return wrong("it names no parts, or far too many");
        }
        for (at, part) in self.parts.iter().enumerate() {
            if FileName::parse(&part.name) != Some(FileName::Part(name)) {
                return wrong("a part is not named after it");
            }
            if self.parts[..at].iter().any(|other| other.name == part.name) {
                return wrong("a part is named twice");
            }
            if !seal::is_hash(&part.sha256) {
                return wrong("a hash is not one");
            }
        }
        if !seal::is_hash(&self.content.sha256) {
            return wrong("a hash is not one");
        }
        let is_content =
            |part: &Part| (part.bytes, &part.sha256) == (self.content.bytes, &self.content.sha256);
        if self.is_stored_plain() && !self.parts.iter().all(is_content) {
            return wrong("its part is not its content");
        }
        let known = |method: &str, ours: &str| method == ours;
        if self
            .compression
            .as_ref()
            .is_some_and(|c| !known(&c.method, ZSTD))
        {
            return wrong("its compression is not known");
        }
        if self
            .encryption
            .as_ref()
            .is_some_and(|e| !known(&e.method, AGE))
        {
            return wrong("its encryption is not known");
        }
        if self.requires.iter().any(|other| !name::is_safe(other)) {
            return wrong("what it requires is not named as a file");
        }
        let of_engine = match self.kind {
            Kind::Sqlite => "sqlite",
            Kind::PostgresDump | Kind::PostgresBase => "postgres",
        };
        if self.engine.name != of_engine {
            return wrong("its kind is not its engine's");
        }
        if self.kind == Kind::Sqlite {
            let size = |pages: u64, size: u32| pages.checked_mul(u64::from(size));
            let bytes = self.engine.pages.zip(self.engine.page_size);
            if bytes.and_then(|(p, s)| size(p, s)) != Some(self.content.bytes) {
                return wrong("its pages are not its bytes");
            }
        }
        Ok(())
    }
}

/// Splitting an artifact into more files than this helps nobody.
const MOST_PARTS: usize = 10_000;

/// The one compression.
pub(crate) const ZSTD: &str = "zstd";
/// The one encryption.
pub(crate) const AGE: &str = "age";

#[cfg(test)]
mod tests;
