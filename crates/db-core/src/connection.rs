//! An owned connection to either engine.

use std::fmt;
use std::path::Path;

use diesel::{PgConnection, SqliteConnection};

use crate::error::{Error, ErrorKind};
use crate::{Conn, DatabaseConfig, DatabaseUrl, EncryptionKey, Engine, Interrupt, Options};

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

    /// Opens a connection to the database that a [`Database`](crate::Database) with these settings
    /// would open: with its key, and with what is demanded of TLS. For migrations, at the start of
    /// a program; of the other settings only those of connecting count. With `create_if_missing` off,
    /// [`Access::Create`] is no more than [`Access::ReadWrite`].
    ///
    /// # Errors
    /// As [`Connection::open`]; `Configuration` for a setting that cannot be.
    pub fn open_configured(config: &DatabaseConfig, access: Access) -> Result<Self, Error> {
        match config.options()? {
            Options::Sqlite(options) => {
                let key = options.key()?;
                let access = match access {
                    Access::Create => options.access(),
                    other => other,
                };
                Self::open_encrypted(&options.url, access, &Interrupt::default(), key.as_ref())
            }
            Options::Postgres(options) => Self::open(&options.target, access),
        }
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
        Self::open_encrypted(url, access, interrupt, None)
    }

    /// As [`Connection::open_with`], with the key of a SQLite file that is encrypted; without one,
    /// of a file that is not. A file that is new is encrypted with the key.
    ///
    /// # Errors
    /// As [`Connection::open`]; `WrongKey`, `KeyMissing`; `Configuration` for a key of something
    /// else than a SQLite file.
    pub fn open_encrypted(
        url: &DatabaseUrl,
        access: Access,
        interrupt: &Interrupt,
        key: Option<&EncryptionKey>,
    ) -> Result<Self, Error> {
        let (inner, interrupt) = match url.engine() {
            Engine::Sqlite => {
                let conn = crate::sqlite::open(url, access, interrupt, key)?;
                (Inner::Sqlite(Box::new(conn)), interrupt.clone())
            }
            Engine::Postgres if key.is_some() => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "the key of an encrypted SQLite file means nothing to PostgreSQL",
                ));
            }
            Engine::Postgres => {
                let (conn, interrupt) = crate::postgres::open(url, access)?;
                (Inner::Postgres(Box::new(conn)), interrupt)
            }
        };
        Ok(Self {
            inner,
            interrupt,
            url: url.clone(),
        })
    }

    /// Opens a SQLite file that nobody changes meanwhile, a backup for example, to read it. No lock is
    /// taken and no file is made beside it, so it opens in a folder that cannot be written.
    ///
    /// # Errors
    /// As [`Connection::open_encrypted`].
    pub fn open_immutable(
        path: &Path,
        interrupt: &Interrupt,
        key: Option<&EncryptionKey>,
    ) -> Result<Self, Error> {
        let conn = crate::sqlite::open_immutable(path, interrupt, key)?;
        Ok(Self {
            inner: Inner::Sqlite(Box::new(conn)),
            interrupt: interrupt.clone(),
            url: DatabaseUrl::SqliteFile(path.to_owned()),
        })
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

#[cfg(test)]
impl Connection {
    /// Opens a file that was made with [`SqliteOptions::defaults`](crate::SqliteOptions::defaults),
    /// whose key it knows.
    pub(crate) fn open_beside(url: &DatabaseUrl, access: Access) -> Self {
        let key = crate::encryption::test_key();
        Self::open_encrypted(url, access, &Interrupt::default(), key.as_ref()).unwrap()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
