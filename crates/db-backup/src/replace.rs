//! Another database in the place of one: filled beside it, and swapped in when whoever fills it has
//! proven it. At every moment the name leads to the old one or to the new one, and the old one is kept.

use chrono::{DateTime, Utc};
use db_core::{DatabaseUrl, EncryptionKey};

use crate::error::Error;
use crate::postgres::replace::OnServer;
use crate::sqlite::replace::Beside;

/// A database that is to take the place of another one. Dropped before that, it is gone.
#[derive(Debug)]
pub struct Replacement(Kind);

#[derive(Debug)]
enum Kind {
    Sqlite(Beside),
    Postgres(Box<OnServer>),
}

impl Replacement {
    /// Makes the place for it beside the old one.
    ///
    /// # Errors
    /// [`Error::Locked`] or [`Error::Refused`] while somebody else has the old one open; what keeps the
    /// place from being made. On PostgreSQL the role needs the right to create databases.
    pub fn begin(
        target: &DatabaseUrl,
        key: Option<&EncryptionKey>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        Ok(Self(match target {
            DatabaseUrl::SqliteFile(path) => Kind::Sqlite(Beside::begin(path, key, now)?),
            DatabaseUrl::Postgres(_) => Kind::Postgres(Box::new(OnServer::begin(target, now)?)),
            DatabaseUrl::SqliteMemory => return Err(in_memory()),
        }))
    }

    /// Whether somebody uses the target, so that [`begin`](Self::begin) would be refused. Makes nothing, and
    /// so does not find out whether a place can be made beside it.
    ///
    /// # Errors
    /// If it is in use, or cannot be asked.
    pub fn check(target: &DatabaseUrl) -> Result<(), Error> {
        match target {
            DatabaseUrl::SqliteFile(path) => crate::sqlite::replace::check(path),
            DatabaseUrl::Postgres(_) => crate::postgres::replace::check(target),
            DatabaseUrl::SqliteMemory => Err(in_memory()),
        }
    }

    /// Whether there is a database with anything in it, which a replacement would move aside.
    ///
    /// # Errors
    /// What the server or the disk says.
    pub fn is_needed(target: &DatabaseUrl) -> Result<bool, Error> {
        match target {
            DatabaseUrl::SqliteFile(path) => crate::sqlite::replace::is_taken(path),
            DatabaseUrl::Postgres(_) => crate::postgres::replace::is_taken(target),
            DatabaseUrl::SqliteMemory => Ok(false),
        }
    }

    /// What is to be filled: a file that is not there yet, or an empty database.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        match &self.0 {
            Kind::Sqlite(beside) => beside.url(),
            Kind::Postgres(server) => server.url(),
        }
    }

    /// Puts it in its place. Returns what the old one is called now.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), for who came meanwhile. The old one is in its place then.
    pub fn take_place(self) -> Result<String, Error> {
        match self.0 {
            Kind::Sqlite(beside) => beside.take_place(),
            Kind::Postgres(server) => server.take_place(),
        }
    }
}

fn in_memory() -> Error {
    Error::usage(
        "a database in memory cannot be replaced",
        "name a file or a database of a server",
    )
}
