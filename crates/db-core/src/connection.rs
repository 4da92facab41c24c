//! An owned connection to either engine.

use std::fmt;

use diesel::{PgConnection, SqliteConnection};

use crate::error::Error;
use crate::{Conn, DatabaseUrl, Engine, Interrupt};

/// What a connection may do with a database that is there, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read what exists. On PostgreSQL, where a role decides, transactions are read-only.
    ReadOnly,
    /// Read and write what exists.
    ReadWrite,
    /// Also create a missing SQLite file (mode 0600) and its folders.
    Create,
}

/// One open connection.
pub struct Connection {
    inner: Inner,
    interrupt: Interrupt,
    url: DatabaseUrl,
}

enum Inner {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// Classified: a missing file, a refused password, a file that is no database.
    pub fn open(url: &DatabaseUrl, access: Access) -> Result<Self, Error> {
        Self::open_with(url, access, &Interrupt::default())
    }

    /// Opens a connection that on SQLite obeys an interrupt that is there already, so that one
    /// request stops the work on a database and on a copy of it. On PostgreSQL an interrupt belongs
    /// to one server process, and the connection gets its own.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_with(
        url: &DatabaseUrl,
        access: Access,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let (inner, interrupt) = match url.engine() {
            Engine::Sqlite => {
                let conn = crate::sqlite::open(url, access, interrupt)?;
                (Inner::Sqlite(Box::new(conn)), interrupt.clone())
            }
            Engine::Postgres => {
                let (conn, interrupt) = crate::postgres::open(url)?;
                (Inner::Postgres(Box::new(conn)), interrupt)
            }
        };
        let mut connection = Self {
            inner,
            interrupt,
            url: url.clone(),
        };
        if access == Access::ReadOnly && url.engine() == Engine::Postgres {
            connection
                .conn()
                .batch_execute("SET default_transaction_read_only = on")
                .map_err(|e| Error::classify(Engine::Postgres, &e))?;
        }
        Ok(connection)
    }

    /// The connection, borrowed for queries.
    pub fn conn(&mut self) -> Conn<'_> {
        match &mut self.inner {
            Inner::Sqlite(c) => Conn::Sqlite(c),
            Inner::Postgres(c) => Conn::Postgres(c),
        }
    }

    /// A handle that stops what this connection is doing.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// The database that it is connected to.
    #[must_use]
    pub const fn url(&self) -> &DatabaseUrl {
        &self.url
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
