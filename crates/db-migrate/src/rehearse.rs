//! A private copy of a SQLite database, for a rehearsal and for building what is expected.

use db_core::Engine;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use tempfile::{Builder, TempDir};

use crate::error::{Error, in_database};

/// The copy and the private folder around it, both gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    folder: TempDir,
    is_of_file: bool,
}

impl Copy {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("rehearsal.db")
    }

    /// Whether it was made of a file, and so is encrypted if that is.
    pub(crate) const fn is_of_file(&self) -> bool {
        self.is_of_file
    }
}

#[derive(QueryableByName)]
struct Source {
    #[diesel(sql_type = Integer)]
    query_only: i32,
    #[diesel(sql_type = Text)]
    file: String,
}

/// Copies through SQLite under one snapshot; the file itself is never touched.
pub(crate) fn copy(conn: &mut SqliteConnection) -> Result<Copy, Error> {
    // A folder of mode 0700 in the system's place for temporary files.
    let folder = Builder::new()
        .prefix("bitcraps-db-rehearsal-")
        .tempdir()
        .map_err(|e| Error::Write {
            path: std::env::temp_dir().display().to_string(),
            reason: e.to_string(),
        })?;
    // A read-only connection of db-core is `query_only`, which SQLite applies to the copy as well.
    let source = sql_query(
        "SELECT query_only, file FROM pragma_query_only, pragma_database_list WHERE name = 'main'",
    )
    .get_result::<Source>(conn)
    .map_err(in_database(Engine::Sqlite, "preparing the rehearsal"))?;
    let copy = Copy {
        folder,
        is_of_file: !source.file.is_empty(),
    };
    switch_query_only(conn, 0)?;
    let copied = sql_query("VACUUM INTO $1")
        .bind::<Text, _>(copy.path().display().to_string())
        .execute(conn)
        .map_err(in_database(
            Engine::Sqlite,
            "copying the database for the rehearsal",
        ));
    switch_query_only(conn, source.query_only)?;
    copied.map(|_| copy)
}

fn switch_query_only(conn: &mut SqliteConnection, on: i32) -> Result<(), Error> {
    conn.batch_execute(&format!("PRAGMA query_only = {on}"))
        .map_err(in_database(Engine::Sqlite, "preparing the rehearsal"))
}
