//! What is looked at.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db_core::{
    Access, Connection, Database, DatabaseConfig, DatabaseUrl, EncryptionKey, Engine, Error,
    Interrupt, KeySource, Options,
};

/// Asks for the space on the disk of a path.
type AskSpace = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// The database that is looked at, and how it is reached.
///
/// Each look opens a connection of its own, which can only read: so a pool that is exhausted is
/// seen as that, and not as a database that is down.
#[derive(Clone)]
pub struct Target {
    pub(super) url: DatabaseUrl,
    pub(super) replicas: Vec<DatabaseUrl>,
    pub(super) database: Option<Database>,
    /// Folders whose disks are looked at beside the database's own.
    pub(super) places: Vec<PathBuf>,
    pub(super) space: Arc<AskSpace>,
    /// Where a copy for expensive checks is made.
    pub(super) scratch: PathBuf,
    /// Whether settings of a session would stay behind for others.
    pub(super) is_pooled: bool,
    pub(super) interrupt: Interrupt,
    /// Standbys that were asked how they are and have not answered yet.
    pub(super) asked: Arc<Mutex<BTreeSet<String>>>,
    key: Option<EncryptionKey>,
}

/// A disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

impl Space {
    /// The file system of this path, by `statvfs`.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> io::Result<Self> {
        use rustix::fs::{StatVfsMountFlags, statvfs};
        let found = statvfs(path)?;
        Ok(Self {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
            read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    /// The share that is free, from 0 to 1. A file system without a size has none to lose.
    #[must_use]
    pub fn free_share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "three digits are looked at")]
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        if self.total == 0 {
            1.0
        } else {
            share(self.free, self.total)
        }
    }
}

impl Target {
    /// The database behind a URL.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            replicas: Vec::new(),
            database: None,
            places: Vec::new(),
            space: Arc::new(Space::of),
            scratch: std::env::temp_dir(),
            is_pooled: false,
            interrupt: Interrupt::default(),
            asked: Arc::default(),
            key: None,
        }
    }

    /// The database that these settings open, with its standbys and its key.
    ///
    /// # Errors
    /// `Configuration` for a setting that cannot be; what reading the key says.
    pub fn from_config(config: &DatabaseConfig) -> Result<Self, Error> {
        Ok(match config.options()? {
            Options::Sqlite(options) => {
                let key = options.encryption_key.as_ref();
                let key = key.map(KeySource::read).transpose()?;
                let target = Self::new(options.url);
                match key {
                    Some(key) => target.with_key(key),
                    None => target,
                }
            }
            Options::Postgres(options) => Self {
                replicas: options.replicas,
                is_pooled: options.transaction_pooler,
                ..Self::new(options.target)
            },
        })
    }

    /// The same with standbys of PostgreSQL.
    #[must_use]
    pub fn with_replicas(mut self, replicas: Vec<DatabaseUrl>) -> Self {
        self.replicas = replicas;
        self
    }

    /// The same with whether a transaction pooler stands between, so that nothing may stay in a
    /// session.
    #[must_use]
    pub const fn with_transaction_pooler(mut self, is_pooled: bool) -> Self {
        self.is_pooled = is_pooled;
        self
    }

    /// The same with the key of an encrypted file.
    #[must_use]
    pub fn with_key(mut self, key: EncryptionKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The same with the open database, whose pool is looked at as well.
    #[must_use]
    pub fn with_database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// The same with a further folder whose disk must not be full, that of backups for example.
    #[must_use]
    pub fn with_place(mut self, folder: impl Into<PathBuf>) -> Self {
        self.places.push(folder.into());
        self
    }

    /// The same with a folder for the copy that expensive checks of a SQLite file read; by default
    /// the system's temporary folder.
    #[must_use]
    pub fn with_scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = folder.into();
        self
    }

    /// The same with another way to ask for the space on a disk.
    #[must_use]
    pub fn with_space(
        mut self,
        space: impl Fn(&Path) -> io::Result<Space> + Send + Sync + 'static,
    ) -> Self {
        self.space = Arc::new(space);
        self
    }

    /// The same with a handle that stops what runs on a SQLite file.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Which engine it is on.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.url.engine()
    }

    /// Without the password.
    #[must_use]
    pub fn location(&self) -> String {
        match self.url.path() {
            Some(path) => path.display().to_string(),
            None => self.url.to_string(),
        }
    }

    /// The name by which metrics know it: that of the file without folder and ending, or of the
    /// database on its server.
    pub(super) fn namespace(&self) -> String {
        match self.url.path().and_then(Path::file_stem) {
            Some(name) => name.to_string_lossy().into_owned(),
            None if self.engine() == Engine::Sqlite => ":memory:".to_owned(),
            None => self.url.database_name().unwrap_or_default(),
        }
    }

    pub(super) fn key(&self) -> Option<&EncryptionKey> {
        self.key.as_ref()
    }

    pub(super) fn asked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self) -> Result<Connection, Error> {
        let (url, key) = (&self.url, self.key());
        Connection::open_encrypted(url, Access::ReadOnly, &self.interrupt, key)
    }
}

/// Shows no password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &format_args!("{}", self.url))
            .finish_non_exhaustive()
    }
}
