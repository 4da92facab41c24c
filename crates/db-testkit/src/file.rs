//! A SQLite database file in a temporary folder.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::template;

/// A database file, alone in a folder that is removed on drop.
///
/// The folder is its own, because `-wal`, `-shm` and lock files appear beside the file.
#[derive(Debug)]
pub(crate) struct FileDb {
    path: PathBuf,
    /// Held for its `Drop`.
    _folder: TempDir,
}

impl FileDb {
    pub(crate) fn create() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("bitcraps-test-")
            .tempdir()
            .unwrap_or_else(|error| panic!("no temporary folder for a SQLite database: {error}"));
        Self {
            path: folder.path().join("test.db"),
            _folder: folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }

    /// Makes it with our schema; `false` if there is a file already.
    pub(crate) fn make_migrated(&self) -> bool {
        let made =
            File::create_new(&self.path).and_then(|mut file| file.write_all(template::file()));
        match made {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => panic!("cannot make {}: {error}", self.path.display()),
        }
    }

    #[track_caller]
    #[expect(
        clippy::disallowed_methods,
        reason = "tests of db-core itself need a connection that db-core did not make"
    )]
    pub(crate) fn connect(&self) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(&self.path.display().to_string())
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", self.path.display()));
        // The timeout comes first: even a reader can meet a lock while it opens.
        conn.batch_execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;")
            .unwrap_or_else(|error| panic!("cannot set up {}: {error}", self.path.display()));
        conn
    }
}
