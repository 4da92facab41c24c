//! SQLite: opening a file with the house's pragmas, and what Diesel does not tell of it.

mod bulk;
mod cipher;
mod copy;
mod database;
mod fault;
mod file;
mod flush;
mod guard;
mod handle;
mod identity;
mod memory;
mod raw_statement;
mod reader;
mod session;
mod side_file;
mod touched;
mod transactional;
mod watch;
mod writer;

use diesel::connection::SimpleConnection;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection};

use crate::encryption::{self, EncryptionKey};
use crate::error::{Error, ErrorKind};
use crate::{Access, DatabaseUrl, Engine, Interrupt};

pub use bulk::{CellRef, SqliteBulk, SqliteStatement};
pub use copy::{CopyStep, OnlineCopy};
pub(crate) use database::SqliteDatabase;
pub use database::SqliteStats;
pub(crate) use fault::primary;
pub(crate) use handle::{LastError, library_version, take_last_error};
pub use reader::ReaderStats;
pub use side_file::open_side_file;
#[cfg(feature = "tokio")]
pub(crate) use writer::{Answer, Reply, Writer};
pub(crate) use writer::{GroupReport, Observer};

use handle::{Attached, Opened};

/// `busy_timeout` of a connection: how long SQLite itself waits for another writer.
const BUSY_TIMEOUT_MS: u32 = 30_000;

/// Pragmas of every connection, in order: `busy_timeout` first, because even a plain SELECT meets
/// "database is locked" while another connection opens or closes the file.
/// `recursive_triggers` stays at SQLite's default here, which is what a shell and diesel_cli use.
fn pragmas(access: Access) -> String {
    let query_only = if access == Access::ReadOnly {
        "ON"
    } else {
        "OFF"
    };
    format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS};
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA query_only = {query_only};"
    )
}

#[derive(QueryableByName)]
struct SchemaVersion {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    #[expect(
        dead_code,
        reason = "reading it makes SQLite look at the file's header"
    )]
    schema_version: i32,
}

/// Opens a file or a private in-memory database.
pub(crate) fn open(
    url: &DatabaseUrl,
    access: Access,
    interrupt: &Interrupt,
    key: Option<&EncryptionKey>,
) -> Result<SqliteConnection, Error> {
    if key.is_some() && url.path().is_none() {
        let reason = encryption::NOT_IN_MEMORY;
        return Err(Error::new(ErrorKind::Configuration, reason));
    }
    let attached = Attached {
        key: key.cloned(),
        ..Attached::default()
    };
    open_with(url, access, interrupt, attached, &pragmas(access))
}

/// Opens a file that nobody changes, to read it.
pub(crate) fn open_immutable(
    path: &std::path::Path,
    interrupt: &Interrupt,
    key: Option<&EncryptionKey>,
) -> Result<SqliteConnection, Error> {
    handle::refuse_corrupting_library()?;
    file::prepare(path, Access::ReadOnly)?;
    let attached = Attached {
        key: key.cloned(),
        ..Attached::default()
    };
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let target = file::immutable_uri(path);
    let pragmas = pragmas(Access::ReadOnly);
    open_target((&target, &url), interrupt, attached, &pragmas).map(Opened::into_conn)
}

/// Opens with these pragmas, and reports to what is `attached`.
fn open_with(
    url: &DatabaseUrl,
    access: Access,
    interrupt: &Interrupt,
    attached: Attached,
    pragmas: &str,
) -> Result<SqliteConnection, Error> {
    handle::refuse_corrupting_library()?;
    let target = match url.path() {
        Some(path) => file::prepare(path, access)?,
        None => ":memory:".to_owned(),
    };
    open_target((&target, url), interrupt, attached, pragmas).map(Opened::into_conn)
}

/// Opens what is found or created already.
fn open_target(
    (target, url): (&str, &DatabaseUrl),
    interrupt: &Interrupt,
    attached: Attached,
    pragmas: &str,
) -> Result<Opened, Error> {
    let has_key = attached.key.is_some();
    let mut opened = handle::establish(target, interrupt, attached)
        .map_err(|e| explain(url, &Error::classify_connect(&e, url)))?;
    let conn = opened.conn();
    let probe = conn.batch_execute(pragmas).and_then(|()| {
        diesel::sql_query("PRAGMA schema_version").get_result::<SchemaVersion>(conn)
    });
    match probe {
        Ok(_) => Ok(opened),
        Err(e) => {
            let error = Error::classify(Engine::Sqlite, &e);
            Err(explain(
                url,
                &cipher::explain(opened.handle(), has_key, error),
            ))
        }
    }
}

/// Adds the file's name, which SQLite's own messages leave out.
fn explain(url: &DatabaseUrl, error: &Error) -> Error {
    let message = if error.message().contains(&url.to_string()) {
        error.message().to_owned()
    } else {
        format!("{url}: {}", error.message())
    };
    let hint = error.hint().map(ToOwned::to_owned);
    let kind = match (error.kind(), url.path()) {
        (ErrorKind::CannotOpen, Some(path)) if file::is_forbidden(path) => {
            ErrorKind::PermissionDenied
        }
        (kind, _) => kind,
    };
    match hint {
        Some(hint) => Error::new(kind, message).with_hint(hint),
        None => Error::new(kind, message),
    }
}

#[cfg(test)]
mod tests;
