//! Throw-away databases on the PostgreSQL server, and questions to databases of both engines.

use anyhow::{Context as _, Result};
use db_core::{Access, Connection, DatabaseUrl, with_conn};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use super::tools::Place;

/// The server that `xtask` started, or one that the caller named.
pub(crate) struct Server {
    url: String,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Server {
    /// Remembers a superuser's URL.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: with_database(url, "postgres"),
        }
    }

    /// Makes an empty database; one of that name from an earlier run goes first.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn create(&self, name: &str) -> Result<Place> {
        self.drop(name)?;
        self.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(Place::Postgres(with_database(&self.url, name)))
    }

    /// Makes a copy of the database of this URL, to which nobody is connected; one of that name
    /// from an earlier run goes first.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn copy(&self, url: &str, name: &str) -> Result<Place> {
        self.drop(name)?;
        self.execute(&format!(
            "CREATE DATABASE {name} TEMPLATE {}",
            database_of(url)
        ))?;
        // What the copy has to write is written now, not while something is measured.
        self.execute("CHECKPOINT")?;
        Ok(Place::Postgres(with_database(&self.url, name)))
    }

    /// Removes the database of this URL, whoever is still connected to it.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn drop_url(&self, url: &str) -> Result<()> {
        self.drop(database_of(url))
    }

    /// Removes a database, whoever is still connected to it.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn drop(&self, name: &str) -> Result<()> {
        self.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    }

    /// The version and the settings that the figures depend on.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(crate) fn describe(&self) -> Result<String> {
        let lines = lines(
            &Place::Postgres(self.url.clone()),
            "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || \
             current_setting('fsync') || ', synchronous_commit ' || \
             current_setting('synchronous_commit') AS line",
        )?;
        Ok(lines.join("\n"))
    }

    fn execute(&self, sql: &str) -> Result<()> {
        execute(&Place::Postgres(self.url.clone()), sql)
    }
}

/// Runs statements that return nothing.
///
/// # Errors
/// If the database cannot be opened or a statement fails.
pub(crate) fn execute(place: &Place, sql: &str) -> Result<()> {
    let mut connection = open(place, Access::ReadWrite)?;
    connection
        .conn()
        .batch_execute(sql)
        .with_context(|| sql.to_owned())
}

/// Runs a query whose one column is a text named `line`.
///
/// # Errors
/// If the database cannot be opened or the query fails.
pub(crate) fn lines(place: &Place, sql: &str) -> Result<Vec<String>> {
    let mut connection = open(place, Access::ReadOnly)?;
    let mut conn = connection.conn();
    let rows: Vec<Line> = with_conn!(conn, |c| sql_query(sql).load(c)).context("query failed")?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

fn open(place: &Place, access: Access) -> Result<Connection> {
    let url = match place {
        Place::Sqlite(file) => DatabaseUrl::SqliteFile(file.clone()),
        Place::Postgres(url) => DatabaseUrl::parse(url)?,
    };
    Ok(Connection::open(&url, access)?)
}

/// The name of the database in a URL that [`with_database`] wrote.
fn database_of(url: &str) -> &str {
    let (server, _) = url.split_once('?').unwrap_or((url, ""));
    server.rsplit('/').next().unwrap_or_default()
}

/// The URL of another database on the same server, without TLS.
///
/// dbmate refuses to connect without `sslmode=disable`; the others get it too, so that none of
/// them spends a round trip on asking.
fn with_database(url: &str, name: &str) -> String {
    let (server, options) = url.split_once('?').unwrap_or((url, ""));
    let start = server.find("://").map_or(0, |scheme| scheme + 3);
    let host = server[start..]
        .find('/')
        .map_or(server, |slash| &server[..start + slash]);
    let kept = options
        .split('&')
        .filter(|one| !one.is_empty() && !one.starts_with("sslmode="));
    let options: Vec<&str> = kept.chain(["sslmode=disable"]).collect();
    format!("{host}/{name}?{}", options.join("&"))
}

#[cfg(test)]
mod tests {
    use super::{database_of, with_database};

    #[test]
    fn the_database_is_replaced_and_options_are_kept() {
        for (given, expected) in [
            (
                "postgres://u:p@h:1/postgres",
                "postgres://u:p@h:1/x?sslmode=disable",
            ),
            ("postgres://u@h", "postgres://u@h/x?sslmode=disable"),
            ("postgres://u@h/", "postgres://u@h/x?sslmode=disable"),
            (
                "postgres://u@h/a?sslmode=prefer&connect_timeout=5",
                "postgres://u@h/x?connect_timeout=5&sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(given, "x"), expected);
            assert_eq!(database_of(expected), "x");
        }
    }
}
