//! The catalog during a run of many migrations, brought up to date after each of them.
//!
//! SQLite can tell cheaply what a transaction did to the schema; whatever it cannot tell for
//! certain is answered by a full read. PostgreSQL's catalog is read as a whole.

mod postgres;
mod sqlite;
mod store;

use db_core::Conn;
use diesel::QueryResult;

use super::{Catalog, Kind, Object, Scope};
use sqlite::SqliteTracker;
use store::Store;

/// What a migration changed in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The objects that are new or different.
    pub upserted: Vec<Object>,
    /// The objects that are gone, by kind and name.
    pub removed: Vec<(Kind, String)>,
    /// The strict fingerprint of the whole catalog as it is now.
    pub strict_fingerprint: String,
    /// The loose fingerprint of the whole catalog as it is now.
    pub loose_fingerprint: String,
}

impl Delta {
    /// Whether the catalog is as it was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.upserted.is_empty() && self.removed.is_empty()
    }
}

/// A catalog that follows what one session does to its database.
///
/// It sees the changes of its own session; what others change meanwhile is not looked for, so a
/// run holds its lock. A transaction that was rolled back after [`refresh`](Self::refresh)
/// leaves the tracker with what never came to be: [`start`](Self::start) again.
#[derive(Debug, Clone)]
pub struct Tracker {
    scope: Scope,
    store: Store,
    engine: EngineTracker,
}

#[derive(Debug, Clone)]
enum EngineTracker {
    Sqlite(SqliteTracker),
    Postgres,
}

impl Tracker {
    /// Reads the whole catalog.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn start(conn: &mut Conn<'_>, scope: &Scope) -> QueryResult<Self> {
        let mut store = Store::default();
        let engine = match conn {
            Conn::Sqlite(c) => EngineTracker::Sqlite(SqliteTracker::start(c, scope, &mut store)?),
            Conn::Postgres(c) => {
                store.apply(postgres::read(c, scope)?);
                EngineTracker::Postgres
            }
        };
        Ok(Self {
            scope: scope.clone(),
            store,
            engine,
        })
    }

    /// Brings the catalog up to date; call it inside the transaction that changed the schema.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn refresh(&mut self, conn: &mut Conn<'_>) -> QueryResult<Delta> {
        let updates = match (&mut self.engine, conn) {
            (EngineTracker::Sqlite(tracker), Conn::Sqlite(c)) => tracker.changes(c, &self.scope)?,
            (EngineTracker::Postgres, Conn::Postgres(c)) => postgres::read(c, &self.scope)?,
            // A connection to the other engine is another database: all is new.
            (_, conn) => return self.restart(conn),
        };
        Ok(self.store.apply(updates))
    }

    /// Reads the whole catalog again, whatever transactions changed it, and says what is new.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn restart(&mut self, conn: &mut Conn<'_>) -> QueryResult<Delta> {
        let old = self.catalog();
        *self = Self::start(conn, &self.scope)?;
        Ok(self.store.since(old.objects()))
    }

    /// The catalog as it was at the last refresh.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        Catalog::from_objects(self.store.objects())
    }

    /// The strict fingerprint of [`catalog`](Self::catalog), at no cost.
    #[must_use]
    pub fn strict_fingerprint(&self) -> String {
        self.store.strict_fingerprint()
    }

    /// The loose fingerprint of [`catalog`](Self::catalog), at no cost.
    #[must_use]
    pub fn loose_fingerprint(&self) -> String {
        self.store.loose_fingerprint()
    }
}
