//! What the migrations build on one engine.

use db_core::Engine;
use db_migrate::catalog::model::Model;
use db_migrate::catalog::{Catalog, Scope};
use db_migrate::{Migrator, Source};
use db_schema::migrations::{POSTGRES, SQLITE};

use crate::{TestConn, TestDb};

/// The schema of one engine, as read from a database that was just migrated.
#[derive(Debug, Clone)]
pub struct Live {
    /// The engine.
    pub engine: Engine,
    /// The schema as typed values.
    pub model: Model,
    /// The schema object by object.
    pub catalog: Catalog,
}

impl Live {
    /// Migrates a throw-away database to the newest version and reads its schema.
    ///
    /// # Panics
    /// If the database cannot be had, migrated or read.
    #[must_use]
    pub fn migrated(engine: Engine) -> Self {
        let db = TestDb::new(engine);
        let mut conn = db.connect();
        if let Err(error) = migrator().run(conn.conn()) {
            panic!("the migrations do not run on {engine}: {error:?}");
        }
        Self::read(&mut conn)
    }

    /// Reads the schema of a database as it is.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(conn: &mut TestConn) -> Self {
        let scope = Scope::default();
        let model = Model::read(&mut conn.conn(), &scope)
            .unwrap_or_else(|error| panic!("the schema cannot be read: {error}"));
        let catalog = Catalog::read(&mut conn.conn(), &scope)
            .unwrap_or_else(|error| panic!("the catalog cannot be read: {error}"));
        Self {
            engine: conn.engine(),
            model,
            catalog,
        }
    }
}

/// A migrator over the migrations of BitCraps, as they are compiled in.
#[must_use]
pub(crate) fn migrator() -> Migrator {
    Migrator::new(Source::embedded(SQLITE, POSTGRES))
}
