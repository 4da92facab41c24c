//! An empty PostgreSQL database beside the real one, in which the schema is built anew.

use db_core::{
    Access, Clock as _, Connection, DatabaseUrl, ErrorKind, ScratchDatabase, SystemClock,
};

use crate::error::Error;

/// A database on the same server, dropped when this is.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Before the database, which is dropped.
    connection: Connection,
    _database: ScratchDatabase,
}

impl Scratch {
    /// Creates the database.
    ///
    /// # Errors
    /// If the server does not permit it, with what to do.
    pub(crate) fn create(url: &DatabaseUrl) -> Result<Self, Error> {
        let admin = Connection::open(url, Access::ReadWrite)?;
        let database = ScratchDatabase::create(admin, "", SystemClock.now())
            .map_err(|error| not_created(&error))?;
        Ok(Self {
            connection: Connection::open(&database.url(), Access::ReadWrite)?,
            _database: database,
        })
    }

    /// The connection to the scratch database.
    pub(crate) const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

fn not_created(error: &db_core::Error) -> Error {
    let hint = if error.kind() == ErrorKind::PermissionDenied {
        "ALTER ROLE … CREATEDB lets this user make one; without --rebuild none is needed"
    } else {
        "without --rebuild none is needed"
    };
    let message = format!("cannot create a scratch database: {}", error.message());
    Error::Database(db_core::Error::new(error.kind(), message).with_hint(hint))
}
