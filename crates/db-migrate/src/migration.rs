//! One migration, whatever it was read from.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use db_core::{Conn, Engine};

use crate::Version;
use crate::source::{SourceError, folder};
use crate::sql::{Checksums, checksum, hash};

/// What a migration written in Rust may fail with.
pub type RustError = Box<dyn std::error::Error + Send + Sync>;

/// A step of a migration written in Rust.
pub type RustStep = Box<dyn Fn(&mut Conn<'_>) -> Result<(), RustError> + Send + Sync>;

/// One migration.
#[derive(Debug)]
pub struct Migration {
    pub(crate) version: Version,
    pub(crate) folder_name: String,
    pub(crate) set: Arc<str>,
    pub(crate) body: Body,
    pub(crate) origin: Origin,
    engine: Engine,
    /// The raw checksum, which alone is compared as long as nobody edits an applied file.
    raw: String,
    checksums: OnceLock<Checksums>,
    rest: OnceLock<Rest>,
}

/// What a run that has nothing to do with a migration need not know of it.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The SQL text that reverts it.
    pub(crate) down: Option<Cow<'static, str>>,
    /// What `metadata.toml` says.
    pub(crate) options: Options,
}

/// What a migration does.
pub(crate) enum Body {
    /// SQL text for the engine at hand.
    Sql { up: Cow<'static, str> },
    /// Functions, which diesel_cli cannot see.
    Rust {
        up: RustStep,
        down: Option<RustStep>,
    },
}

/// What `metadata.toml` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether the migration and its ledger row share one transaction.
    pub(crate) run_in_transaction: bool,
    /// Whether SQLite's foreign keys are switched off around it.
    pub(crate) foreign_keys_off: bool,
    /// Whether it may be applied although a later one of its set already is.
    pub(crate) out_of_order: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            run_in_transaction: true,
            foreign_keys_off: false,
            out_of_order: false,
        }
    }
}

/// Where a migration comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In this folder, by its name.
    Folder(Arc<Path>),
    CompiledIn,
    Code,
}

impl Migration {
    /// A migration of SQL text; `rest` is read from the folder when it is asked for.
    pub(crate) fn sql(
        engine: Engine,
        (version, folder_name): (Version, String),
        up: Cow<'static, str>,
        rest: Option<Rest>,
        origin: Origin,
    ) -> Self {
        Self {
            version,
            folder_name,
            set: Arc::default(),
            engine,
            raw: hash(up.as_bytes()),
            checksums: OnceLock::new(),
            rest: rest.map(OnceLock::from).unwrap_or_default(),
            body: Body::Sql { up },
            origin,
        }
    }

    /// A migration of functions, for which `declared` stands as both checksums.
    pub(crate) fn rust(
        engine: Engine,
        (version, folder_name): (Version, String),
        (up, down): (RustStep, Option<RustStep>),
        options: Options,
        declared: String,
    ) -> Self {
        Self {
            version,
            folder_name,
            set: Arc::default(),
            engine,
            raw: declared.clone(),
            checksums: OnceLock::from(Checksums {
                raw: declared.clone(),
                tokens: declared,
            }),
            rest: OnceLock::from(Rest {
                down: None,
                options,
            }),
            body: Body::Rust { up, down },
            origin: Origin::Code,
        }
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// The name after the version, or the whole folder name where nothing follows it.
    #[must_use]
    pub fn name(&self) -> &str {
        short_name(&self.folder_name)
    }

    /// The folder's name, `<version>_<name>`.
    #[must_use]
    pub fn folder_name(&self) -> &str {
        &self.folder_name
    }

    /// The set it belongs to.
    #[must_use]
    pub fn set(&self) -> &str {
        &self.set
    }

    /// The SQL text that applies it; none for a migration written in Rust.
    #[must_use]
    pub fn up_sql(&self) -> Option<&str> {
        match &self.body {
            Body::Sql { up } => Some(up),
            Body::Rust { .. } => None,
        }
    }

    /// The SQL text that reverts it.
    ///
    /// # Errors
    /// [`SourceError`] if its folder, which is read no earlier than needed, cannot be read now.
    pub fn down_sql(&self) -> Result<Option<&str>, SourceError> {
        Ok(self.rest()?.down.as_deref())
    }

    /// The checksums of what applies it.
    pub fn checksums(&self) -> &Checksums {
        self.checksums.get_or_init(|| match &self.body {
            Body::Sql { up } => checksum(self.engine, up),
            Body::Rust { .. } => Checksums {
                raw: self.raw.clone(),
                tokens: self.raw.clone(),
            },
        })
    }

    /// The checksum of the text as it is, at no cost.
    pub(crate) fn raw_checksum(&self) -> &str {
        &self.raw
    }

    /// What `metadata.toml` says.
    pub(crate) fn options(&self) -> Result<Options, SourceError> {
        Ok(self.rest()?.options)
    }

    /// Reads what was not read yet. A file that is wrong is said here, not overlooked.
    pub(crate) fn rest(&self) -> Result<&Rest, SourceError> {
        if let Some(rest) = self.rest.get() {
            return Ok(rest);
        }
        let rest = match &self.origin {
            Origin::Folder(root) => folder::rest(&root.join(&self.folder_name))?,
            Origin::CompiledIn | Origin::Code => Rest {
                down: None,
                options: Options::default(),
            },
        };
        Ok(self.rest.get_or_init(|| rest))
    }

    pub(crate) const fn is_rust(&self) -> bool {
        matches!(self.body, Body::Rust { .. })
    }

    /// The file that holds the text of `direction`, as messages name it.
    pub(crate) fn file(&self, direction: Direction) -> String {
        let file = direction.file_name();
        match &self.origin {
            Origin::Folder(root) => {
                let path = root.join(&self.folder_name).join(file);
                path.display().to_string()
            }
            Origin::CompiledIn => format!("{}/{file}", self.folder_name),
            Origin::Code => format!("{} (Rust)", self.folder_name),
        }
    }
}

/// The part of a folder name after its version.
pub(crate) fn short_name(folder_name: &str) -> &str {
    folder_name
        .split_once('_')
        .map_or(folder_name, |(_, name)| name)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql { up } => f.debug_struct("Sql").field("up", up).finish(),
            Self::Rust { down, .. } => f
                .debug_struct("Rust")
                .field("reversible", &down.is_some())
                .finish_non_exhaustive(),
        }
    }
}

/// Which way a migration is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Applied.
    Up,
    /// Reverted.
    Down,
}

impl Direction {
    /// The file that holds this direction's SQL.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Up => "up.sql",
            Self::Down => "down.sql",
        }
    }
}
