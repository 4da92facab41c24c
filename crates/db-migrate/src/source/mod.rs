//! Where migrations come from: folders, text compiled in, and Rust, merged into one order.

pub(crate) mod folder;
mod metadata;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use db_core::Engine;

use crate::migration::{Migration, Options, Origin, Rest, RustStep};
use crate::sql::hash;
use crate::version::ambiguous_pair;
use crate::{RustError, Version};

/// Files of one compiled-in migration: `("up.sql", "CREATE …")`.
pub type EmbeddedFiles = &'static [(&'static str, &'static str)];

/// A folder of migrations as text in the program: `("20240126120000_users", files)`.
///
/// `db-migrate-build` writes it from a build script, so that a changed or added file rebuilds the
/// program.
pub type EmbeddedFolder = &'static [(&'static str, EmbeddedFiles)];

/// Why migrations could not be read. Nothing has been run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The system refused to read a file or folder.
    #[error("cannot read {place}: {reason}")]
    Unreadable {
        /// The file or folder.
        place: String,
        /// The system's words.
        reason: String,
        /// Whether it is simply not there.
        missing: bool,
        /// Whether the system forbids it.
        forbidden: bool,
    },
    /// A file or folder is not what a migration may be.
    #[error("{place}: {reason}")]
    Invalid {
        /// The file or folder.
        place: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// Two migrations claim one version, which Diesel would collapse without a word.
    #[error("{first} and {second} have the same version {version}; rename one of them")]
    DuplicateVersion {
        /// The version.
        version: Version,
        /// The first claimant.
        first: String,
        /// The second claimant.
        second: String,
    },
    /// Versions whose order as text is not their order as numbers.
    #[error(
        "versions {later} and {earlier} are ambiguous: as text, which is how Diesel orders them, \
         {earlier} comes first; pad short versions with zeros, or use timestamps"
    )]
    AmbiguousOrder {
        /// The one that comes first as text.
        earlier: Version,
        /// The one that comes second as text.
        later: Version,
    },
}

impl SourceError {
    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable {
            place: path.display().to_string(),
            reason: error.to_string(),
            missing: error.kind() == std::io::ErrorKind::NotFound,
            forbidden: error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }

    fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid {
            place: path.display().to_string(),
            reason: reason.into(),
        }
    }
}

/// A migration written in Rust.
///
/// ```
/// use db_migrate::RustMigration;
///
/// let seed = RustMigration::new("20250901120000_seed_house_account", "v1", |conn| {
///     conn.batch_execute("INSERT INTO users (id) VALUES ('house')")?;
///     Ok(())
/// })
/// .with_down(|conn| Ok(conn.batch_execute("DELETE FROM users WHERE id = 'house'")?));
/// # let _ = seed;
/// ```
pub struct RustMigration {
    folder_name: String,
    checksum: String,
    up: RustStep,
    down: Option<RustStep>,
    options: Options,
}

impl RustMigration {
    /// A migration named `<version>_<name>`. Change `checksum` whenever you change what `up` does:
    /// it stands for the text that functions do not have.
    pub fn new(
        folder_name: impl Into<String>,
        checksum: impl Into<String>,
        up: impl Fn(&mut db_core::Conn<'_>) -> Result<(), RustError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            folder_name: folder_name.into(),
            checksum: checksum.into(),
            up: Box::new(up),
            down: None,
            options: Options::default(),
        }
    }

    /// Adds the way back.
    #[must_use]
    pub fn with_down(
        mut self,
        down: impl Fn(&mut db_core::Conn<'_>) -> Result<(), RustError> + Send + Sync + 'static,
    ) -> Self {
        self.down = Some(Box::new(down));
        self
    }

    /// Runs it outside a transaction. It must be able to run again after it failed half way.
    #[must_use]
    pub fn without_transaction(mut self) -> Self {
        self.options.run_in_transaction = false;
        self
    }

    fn into_migration(self, engine: Engine) -> Result<Migration, SourceError> {
        let version = Version::from_folder_name(&self.folder_name)
            .map_err(|e| SourceError::invalid(Path::new(&self.folder_name), e))?;
        Ok(Migration::rust(
            engine,
            (version, self.folder_name),
            (self.up, self.down),
            self.options,
            hash(self.checksum.as_bytes()),
        ))
    }
}

/// One set of migrations, before the engine is known.
pub struct Source {
    set: Option<String>,
    kind: Kind,
}

enum Kind {
    Folder(PathBuf),
    Embedded {
        sqlite: EmbeddedFolder,
        postgres: EmbeddedFolder,
    },
    Rust(Vec<RustMigration>),
}

impl Source {
    /// A Diesel-style folder, or one that holds `sqlite/` and `postgres/`.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::of(Kind::Folder(path.into()))
    }

    /// Text compiled into the program, per engine.
    #[must_use]
    pub const fn embedded(sqlite: EmbeddedFolder, postgres: EmbeddedFolder) -> Self {
        Self::of(Kind::Embedded { sqlite, postgres })
    }

    /// Migrations written in Rust, for both engines.
    #[must_use]
    pub const fn rust(migrations: Vec<RustMigration>) -> Self {
        Self::of(Kind::Rust(migrations))
    }

    const fn of(kind: Kind) -> Self {
        Self { set: None, kind }
    }

    /// Names the set that the ledger remembers for these migrations. A folder's set is otherwise
    /// named like the folder, everything else `main`.
    #[must_use]
    pub fn named(mut self, set: impl Into<String>) -> Self {
        self.set = Some(set.into());
        self
    }

    fn set_name(&self) -> String {
        match (&self.set, &self.kind) {
            (Some(set), _) => set.clone(),
            (None, Kind::Folder(path)) => path
                .file_name()
                .map_or_else(|| "main".to_owned(), |n| n.to_string_lossy().into_owned()),
            (None, _) => "main".to_owned(),
        }
    }

    /// How messages and `status` name this source.
    fn describe(&self) -> String {
        match &self.kind {
            Kind::Folder(path) => path.display().to_string(),
            Kind::Embedded { .. } => "compiled in".to_owned(),
            Kind::Rust(_) => "Rust".to_owned(),
        }
    }

    fn load(self, engine: Engine) -> Result<Vec<Migration>, SourceError> {
        let set: Arc<str> = self.set_name().into();
        let mut migrations = match self.kind {
            Kind::Folder(path) => folder::read(&path, engine)?,
            Kind::Embedded { sqlite, postgres } => {
                let files = match engine {
                    Engine::Sqlite => sqlite,
                    Engine::Postgres => postgres,
                };
                files
                    .iter()
                    .map(|(name, files)| embedded(engine, name, files))
                    .collect::<Result<_, _>>()?
            }
            Kind::Rust(list) => list
                .into_iter()
                .map(|migration| migration.into_migration(engine))
                .collect::<Result<_, _>>()?,
        };
        for migration in &mut migrations {
            migration.set = Arc::clone(&set);
        }
        Ok(migrations)
    }
}

fn embedded(
    engine: Engine,
    name: &'static str,
    files: EmbeddedFiles,
) -> Result<Migration, SourceError> {
    let invalid = |reason: String| SourceError::Invalid {
        place: format!("{name} (compiled in)"),
        reason,
    };
    let file = |wanted: &str| {
        files
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, text)| *text)
    };
    let up = file("up.sql").ok_or_else(|| invalid("it holds no up.sql".to_owned()))?;
    let options = file("metadata.toml")
        .map_or_else(|| Ok(Options::default()), metadata::parse)
        .map_err(invalid)?;
    Ok(Migration::sql(
        engine,
        (
            Version::from_folder_name(name).map_err(invalid)?,
            name.to_owned(),
        ),
        Cow::Borrowed(up),
        Some(Rest {
            down: file("down.sql").map(Cow::Borrowed),
            options,
        }),
        Origin::CompiledIn,
    ))
}

/// Every migration that a program knows for one engine, in the order in which Diesel runs them.
#[derive(Debug)]
pub struct MigrationSet {
    engine: Engine,
    migrations: Vec<Migration>,
    described: String,
    names: BTreeSet<String>,
}

impl MigrationSet {
    /// Reads and merges the sources.
    ///
    /// # Errors
    /// [`SourceError`]: an unreadable or invalid file, two migrations with one version, versions
    /// whose order is ambiguous.
    pub fn load(
        sources: impl IntoIterator<Item = Source>,
        engine: Engine,
    ) -> Result<Self, SourceError> {
        let set = Self::sketch(sources, engine)?;
        set.complete()?;
        Ok(set)
    }

    /// Reads every file that nobody has asked for yet.
    pub(crate) fn complete(&self) -> Result<(), SourceError> {
        self.migrations
            .iter()
            .try_for_each(|migration| migration.rest().map(|_| ()))
    }

    /// As [`MigrationSet::load`], but of a folder only the names and each `up.sql`: a program that
    /// starts on a database where everything is applied needs no more.
    pub(crate) fn sketch(
        sources: impl IntoIterator<Item = Source>,
        engine: Engine,
    ) -> Result<Self, SourceError> {
        let mut described = Vec::new();
        let mut names = BTreeSet::new();
        let mut migrations: Vec<Migration> = Vec::new();
        for source in sources {
            names.insert(source.set_name());
            described.push(source.describe());
            let loaded = source.load(engine)?;
            if migrations.is_empty() {
                // Mostly there is one source, whose list need not be copied.
                migrations = loaded;
            } else {
                migrations.extend(loaded);
            }
        }
        // Stable, so that of two with one version the first stays the first.
        migrations.sort_by(|a, b| a.version.cmp(&b.version));
        if let Some(pair) = migrations
            .windows(2)
            .find(|pair| pair[0].version == pair[1].version)
        {
            return Err(SourceError::DuplicateVersion {
                version: pair[0].version.clone(),
                first: pair[0].folder_name.clone(),
                second: pair[1].folder_name.clone(),
            });
        }
        if let Some((earlier, later)) = ambiguous_pair(migrations.iter().map(|m| &m.version)) {
            return Err(SourceError::AmbiguousOrder {
                earlier: earlier.clone(),
                later: later.clone(),
            });
        }
        Ok(Self {
            engine,
            migrations,
            described: described.join(", "),
            names,
        })
    }

    /// The engine whose text was read.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// All migrations, in order.
    #[must_use]
    pub fn all(&self) -> &[Migration] {
        &self.migrations
    }

    /// The migration of this version.
    #[must_use]
    pub fn find(&self, version: &Version) -> Option<&Migration> {
        self.position(version).map(|at| &self.migrations[at])
    }

    /// The place of this version in [`MigrationSet::all`].
    pub(crate) fn position(&self, version: &Version) -> Option<usize> {
        self.migrations
            .binary_search_by(|m| m.version.cmp(version))
            .ok()
    }

    /// The names of the sets, also of those that have no migration.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Where they come from, for people.
    #[must_use]
    pub fn described(&self) -> &str {
        &self.described
    }
}
