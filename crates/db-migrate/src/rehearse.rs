//! A private copy of a SQLite database, for a rehearsal and for building what is expected.

use db_core::Engine;
use diesel::sql_types::Text;
use diesel::{RunQueryDsl, SqliteConnection, sql_query};
use tempfile::{Builder, TempDir};

use crate::error::{Error, in_database};

/// The copy and the private folder around it, both gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("rehearsal.db")
    }
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
    let copy = Copy { folder };
    sql_query("VACUUM INTO $1")
        .bind::<Text, _>(copy.path().display().to_string())
        .execute(conn)
        .map_err(in_database(
            Engine::Sqlite,
            "copying the database for the rehearsal",
        ))?;
    Ok(copy)
}
