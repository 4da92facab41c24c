//! One empty database for one test.

use std::path::Path;

use db_core::{Database, DatabaseConfig, Engine};
use db_migrate::Migrator;
use db_testserver::Cluster;

use crate::file::FileDb;
use crate::server::ServerDb;
use crate::{TestConn, template};

/// An empty database that belongs to one test and is gone when it is dropped.
#[derive(Debug)]
pub struct TestDb {
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(FileDb),
    Server(ServerDb),
}

impl TestDb {
    /// A new database on `engine`.
    ///
    /// # Panics
    /// As [`sqlite`](Self::sqlite) and [`postgres`](Self::postgres) do.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::sqlite(),
            Engine::Postgres => Self::postgres(),
        }
    }

    /// A SQLite database in a temporary folder; the file appears with the first connection.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    #[must_use]
    pub fn sqlite() -> Self {
        Self {
            place: Place::File(FileDb::create()),
        }
    }

    /// A new database on the PostgreSQL server that `cargo xtask test` provides; it is made when it is first
    /// asked for.
    ///
    /// # Panics
    /// If `BITCRAPS_TEST_POSTGRES_URL` is not set, or the server refuses. It does not skip:
    /// a test that did not run must not look green.
    #[must_use]
    pub fn postgres() -> Self {
        Self {
            place: Place::Server(ServerDb::shared()),
        }
    }

    /// A new database on a server of the test's own.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn on(cluster: &Cluster) -> Self {
        Self {
            place: Place::Server(ServerDb::on(cluster.url())),
        }
    }

    /// Which engine this database is on.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self.place {
            Place::File(_) => Engine::Sqlite,
            Place::Server(_) => Engine::Postgres,
        }
    }

    /// The URL as the command line takes it; on PostgreSQL it holds the password.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.place {
            Place::File(file) => file.url(),
            Place::Server(server) => server.url().to_owned(),
        }
    }

    /// The file of a SQLite database; `None` on PostgreSQL.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) => Some(file.path()),
            Place::Server(_) => None,
        }
    }

    /// Brings it to the newest version of our schema; the first thing asked of a database, that is a copy.
    ///
    /// # Panics
    /// If a migration fails.
    #[track_caller]
    pub fn migrate(&self) {
        let is_made = match &self.place {
            Place::File(file) => file.make_migrated(),
            Place::Server(server) => server.make_migrated(),
        };
        if !is_made {
            self.migrate_with(&template::migrator());
        }
    }

    /// Applies all migrations of an application: its own, and those of our schema if it names them as well.
    ///
    /// # Panics
    /// If a migration fails.
    #[track_caller]
    pub fn migrate_with(&self, migrator: &Migrator) {
        if let Err(error) = migrator.run(self.connect().conn()) {
            panic!("the test's database cannot be migrated: {error}");
        }
    }

    /// Opens it as an application does, with the usual settings. Each call opens it anew, as another
    /// process would.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    #[track_caller]
    pub fn database(&self) -> Database {
        Database::open(&DatabaseConfig::new(self.url()))
            .unwrap_or_else(|error| panic!("the test's database cannot be opened: {error}"))
    }

    /// A new raw connection, opened by Diesel alone.
    ///
    /// On SQLite it waits up to five seconds for a lock and checks foreign keys; nothing else
    /// is set, so that a test sees the database and not the settings of `db-core`.
    ///
    /// # Panics
    /// If the connection cannot be opened.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> TestConn {
        match &self.place {
            Place::File(file) => TestConn::Sqlite(file.connect()),
            Place::Server(server) => TestConn::Postgres(server.connect()),
        }
    }
}
