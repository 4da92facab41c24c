//! An owned raw connection to a test database.

use std::fmt;

use db_core::{Conn, Engine};
use diesel::{PgConnection, SqliteConnection};

/// An owned connection to a test database; [`conn`](Self::conn) lends it as a [`Conn`].
pub enum TestConn {
    /// A SQLite connection.
    Sqlite(SqliteConnection),
    /// A PostgreSQL connection.
    Postgres(PgConnection),
}

impl TestConn {
    /// The connection as the rest of the workspace takes it.
    pub const fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(conn) => Conn::Sqlite(conn),
            Self::Postgres(conn) => Conn::Postgres(conn),
        }
    }

    /// Which engine is behind this connection.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs SQL text that returns nothing.
    ///
    /// # Panics
    /// If the engine refuses it: preparing a test must not fail.
    #[track_caller]
    pub fn execute(&mut self, sql: &str) {
        if let Err(error) = self.conn().batch_execute(sql) {
            panic!(
                "{} refused to prepare the test: {error}\n{sql}",
                self.engine()
            );
        }
    }
}

impl fmt::Debug for TestConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestConn").field(&self.engine()).finish()
    }
}
