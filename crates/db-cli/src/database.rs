//! The database that a command works on, and what `status` says of it besides its migrations.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine, ErrorKind, Interrupt};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, sql_query};

use crate::command::Job;
use crate::error::Error;

/// Runs that start together meet for milliseconds, even those that would rather not wait.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// SQLite counts milliseconds in 32 bits.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What names the database for libpq where its URL does not.
const NAMED_BY: [&str; 2] = ["PGDATABASE", "PGSERVICE"];

/// Facts about a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// In bytes, as far as it is known.
    pub(crate) size: Option<u64>,
    /// SQLite's journal mode.
    pub(crate) journal_mode: Option<String>,
    /// PostgreSQL's version.
    pub(crate) server_version: Option<String>,
}

#[derive(QueryableByName)]
struct Journal {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

/// Opens the database, unless it is a SQLite file that does not exist.
///
/// # Errors
/// What stands in the way, other than that the file is missing.
pub(crate) fn open_existing(job: &Job, access: Access) -> Result<Option<Connection>, Error> {
    match open(job, access) {
        Ok(connection) => Ok(Some(connection)),
        Err(e) if e.kind() == ErrorKind::DatabaseMissing && job.url.path().is_some() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Opens the database with its key, if it has one. A file is made only where that may be.
///
/// # Errors
/// What stands in the way.
pub(crate) fn open(job: &Job, access: Access) -> Result<Connection, db_core::Error> {
    let access = match access {
        Access::Create if !job.may_create => Access::ReadWrite,
        other => other,
    };
    Connection::open_encrypted(&job.target, access, &Interrupt::default(), job.key.as_ref())
}

/// Refuses a server without the name of a database, unless the environment or a service has it: libpq
/// would take the one that is called as the user is, which nobody has named.
///
/// # Errors
/// [`Error::Usage`].
pub(crate) fn refuse_nameless(url: &DatabaseUrl) -> Result<(), Error> {
    let DatabaseUrl::Postgres(text) = url else {
        return Ok(());
    };
    let mut parameters = text.split_once('?').map_or("", |(_, all)| all).split('&');
    let is_named = name_of(url).is_some()
        || parameters.any(|one| one.starts_with("service="))
        || NAMED_BY
            .iter()
            .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    if is_named { Ok(()) } else { Err(nameless(url)) }
}

/// The name of a database on its server, where its URL says it.
pub(crate) fn name_of(url: &DatabaseUrl) -> Option<String> {
    url.database_name().filter(|name| !name.is_empty())
}

/// The URL of a server that does not say which database.
pub(crate) fn nameless(url: &DatabaseUrl) -> Error {
    Error::usage(
        format!("{url} names no database"),
        "write postgres://USER@HOST/NAME; without a name PostgreSQL takes the database that is called as the \
         user is",
    )
}

/// How long SQLite waits for another writer, who may hold no lock of ours. PostgreSQL has
/// `lock_timeout`, which the engine of migrations sets for itself.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn wait_for_writers(mut conn: Conn<'_>, wait: Duration) -> Result<(), Error> {
    if conn.engine() == Engine::Postgres {
        return Ok(());
    }
    let millis = wait.clamp(SHORTEST_WAIT, LONGEST_WAIT).as_millis();
    conn.batch_execute(&format!("PRAGMA busy_timeout = {millis}"))
        .map_err(|e| db_core::Error::classify(Engine::Sqlite, &e).into())
}

/// Where the database is: the file's path, or the server's URL without its password.
pub(crate) fn location(url: &DatabaseUrl) -> String {
    match url.path() {
        Some(path) => path.display().to_string(),
        None => url.to_string(),
    }
}

/// Reads the facts.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn facts(url: &DatabaseUrl, mut conn: Conn<'_>) -> Result<Facts, Error> {
    let engine = conn.engine();
    let read = match conn.reborrow() {
        Conn::Sqlite(c) => sqlite_facts(url, c),
        Conn::Postgres(c) => postgres_facts(c),
    };
    read.map_err(|e| db_core::Error::classify(engine, &e).into())
}

fn sqlite_facts(url: &DatabaseUrl, conn: &mut diesel::SqliteConnection) -> QueryResult<Facts> {
    let journal = sql_query("PRAGMA journal_mode").get_result::<Journal>(conn)?;
    Ok(Facts {
        size: url.path().and_then(|path| size_of(path).ok()),
        journal_mode: Some(journal.journal_mode),
        server_version: None,
    })
}

/// The file and its write-ahead log, which may hold the larger part.
fn size_of(path: &Path) -> io::Result<u64> {
    let main = fs::metadata(path)?.len();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Ok(main + fs::metadata(log).map_or(0, |meta| meta.len()))
}

fn postgres_facts(conn: &mut diesel::PgConnection) -> QueryResult<Facts> {
    let server = sql_query(
        "SELECT current_setting('server_version') AS version,
                pg_catalog.pg_database_size(current_database()) AS size",
    )
    .get_result::<Server>(conn)?;
    Ok(Facts {
        size: u64::try_from(server.size).ok(),
        journal_mode: None,
        server_version: Some(server.version),
    })
}

/// A size in units that a person reads: `128 KiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64 / 1_024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if size >= 1_024.0 {
            size /= 1_024.0;
            unit = larger;
        }
    }
    if size < 10.0 {
        format!("{size:.1} {unit}")
    } else {
        format!("{size:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use db_core::DatabaseUrl;

    use super::{name_of, refuse_nameless, show_size};

    #[test]
    fn a_service_may_name_the_database() {
        for (url, name) in [
            ("postgres://h/d", Some("d")),
            ("postgres://h/d?dbname=e&service=s", Some("e")),
            ("postgres://h?a=b&service=s", None),
            ("sqlite://a.db", None),
        ] {
            let url = DatabaseUrl::parse(url).unwrap();
            assert_eq!(name_of(&url).as_deref(), name, "{url}");
            refuse_nameless(&url).unwrap();
        }
        let url = DatabaseUrl::parse("postgres://h/d?dbname=").unwrap();
        assert_eq!(name_of(&url), None);
    }

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (4_096, "4.0 KiB"),
            (131_072, "128 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }
}
