//! An empty PostgreSQL database beside the real one, in which the schema is built anew.

use std::hash::{BuildHasher, Hasher, RandomState};

use db_core::{Access, Connection, DatabaseUrl, Engine, ErrorKind};

use crate::error::Error;

/// A database on the same server, dropped when this is.
#[derive(Debug)]
pub(crate) struct Scratch {
    name: String,
    admin: Connection,
    connection: Option<Connection>,
}

impl Scratch {
    /// Creates the database.
    ///
    /// # Errors
    /// If the server does not permit it, with what to do.
    pub(crate) fn create(url: &DatabaseUrl) -> Result<Self, Error> {
        let name = format!(
            "bitcraps_rebuild_{}_{:016x}",
            std::process::id(),
            RandomState::new().build_hasher().finish()
        );
        let mut admin = Connection::open(url, Access::ReadWrite)?;
        // template0, because template1 cannot be copied while anyone is connected to it.
        admin
            .conn()
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .map_err(|e| not_created(&db_core::Error::classify(Engine::Postgres, &e)))?;
        let mut scratch = Self {
            connection: None,
            admin,
            name,
        };
        let there = DatabaseUrl::Postgres(with_database(url, &scratch.name));
        scratch.connection = Some(Connection::open(&there, Access::ReadWrite)?);
        Ok(scratch)
    }

    /// The connection to the scratch database.
    pub(crate) const fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.connection = None;
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Err(error) = self.admin.conn().batch_execute(&sql) {
            tracing::warn!(%error, database = self.name, "the scratch database could not be dropped");
        }
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

/// The same server and parameters with another database name.
fn with_database(url: &DatabaseUrl, name: &str) -> String {
    let DatabaseUrl::Postgres(text) = url else {
        return url.to_string();
    };
    let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
    let authority = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let server = match address[authority..].find('/') {
        Some(slash) => &address[..authority + slash],
        None => address,
    };
    // A `dbname` among the parameters would count more than the path.
    let kept: Vec<&str> = parameters
        .split('&')
        .filter(|p| !p.is_empty() && !p.starts_with("dbname="))
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{server}/{name}{mark}{}", kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_replaced_and_the_rest_is_kept() {
        for (url, expected) in [
            ("postgres://u:p@h:5/d", "postgres://u:p@h:5/new"),
            ("postgres://u@h", "postgres://u@h/new"),
            (
                "postgres:///d?host=/run&dbname=x&a=b",
                "postgres:///new?host=/run&a=b",
            ),
            ("postgres://u@%2Ftmp/d?dbname=x", "postgres://u@%2Ftmp/new"),
        ] {
            let url = DatabaseUrl::parse(url).unwrap();
            assert_eq!(with_database(&url, "new"), expected);
        }
    }
}
