//! Databases of a test's own, and short ways to ask them.

use std::path::{Path, PathBuf};

use db_core::{Conn, Database, DatabaseConfig, Error, Synchronous};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use tempfile::TempDir;

/// A database file that is not there yet, in a folder of its own.
pub(crate) struct File {
    path: PathBuf,
    folder: TempDir,
}

impl File {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            path: folder.path().join("test.db"),
            folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file that stands beside the database.
    pub(crate) fn beside(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("test.db{ending}"))
    }
}

/// The settings of an application, for this file.
pub(crate) fn config(path: &Path) -> DatabaseConfig {
    DatabaseConfig::new(format!("sqlite://{}", path.display()))
}

/// Where money lives.
pub(crate) fn durable(path: &Path) -> DatabaseConfig {
    config(path).synchronous(Synchronous::Full)
}

pub(crate) fn open(path: &Path) -> Database {
    Database::open(&config(path)).unwrap()
}

/// Runs SQL without parameters.
pub(crate) fn execute(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    Ok(conn.batch_execute(sql)?)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    t: String,
}

/// The column `n` of every row.
pub(crate) fn numbers(conn: &mut Conn<'_>, sql: &str) -> Result<Vec<i64>, Error> {
    let rows: Vec<Number> = db_core::with_conn!(conn, |c| sql_query(sql).load(c))?;
    Ok(rows.into_iter().map(|row| row.n).collect())
}

/// The column `n` of the one row.
pub(crate) fn number(conn: &mut Conn<'_>, sql: &str) -> Result<i64, Error> {
    let row: Number = db_core::with_conn!(conn, |c| sql_query(sql).get_result(c))?;
    Ok(row.n)
}

/// The column `t` of every row.
fn texts(conn: &mut Conn<'_>, sql: &str) -> Result<Vec<String>, Error> {
    let rows: Vec<Line> = db_core::with_conn!(conn, |c| sql_query(sql).load(c))?;
    Ok(rows.into_iter().map(|row| row.t).collect())
}

/// Fails unless SQLite finds nothing wrong.
pub(crate) fn integrity(conn: &mut Conn<'_>) -> Result<(), Error> {
    let found = texts(
        conn,
        "SELECT integrity_check AS t FROM pragma_integrity_check",
    )?;
    assert_eq!(found, ["ok"]);
    Ok(())
}
