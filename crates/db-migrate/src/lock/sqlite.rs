//! SQLite: a file beside the database, locked with `flock`.
//!
//! SQLite's own write lock cannot guard a whole run, because each migration has a transaction of
//! its own and some have none. The database file itself must not be opened or locked behind
//! SQLite's back. The file stays when the run ends: removing it would let two runs hold locks on
//! two files of the same name.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use db_core::folder::LockedFile;
use db_core::{Engine, ErrorKind, open_side_file};

use super::{Patience, Try, poll};
use crate::actor;
use crate::error::{Error, in_database};
use crate::run::{busy_timeout, set_busy_timeout};

/// Appended to the database's file name.
const SUFFIX: &str = "-migrate.lock";

/// Longer texts than this are not written by us.
const MAX_HOLDER_BYTES: u64 = 512;

/// What is shorter is no wait.
const A_MOMENT_MS: i32 = 1_000;

#[derive(QueryableByName)]
struct Attached {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    file: Option<String>,
}

pub(super) fn acquire(
    conn: &mut SqliteConnection,
    patience: &mut Patience<'_>,
) -> Result<Option<LockedFile>, Error> {
    // A database in memory belongs to this connection alone.
    let Some(database) = database_file(conn)? else {
        return Ok(None);
    };
    let opened = open_side_file(&database, SUFFIX);
    let mut path = database.into_os_string();
    path.push(SUFFIX);
    let path = PathBuf::from(path);
    let file = opened.map_err(|e| Error::lock_file(&path, &e))?;
    poll(patience, || match file.try_lock() {
        Ok(()) => Ok(Try::Got(())),
        Err(TryLockError::WouldBlock) => Ok(Try::Held(holder(&path))),
        Err(TryLockError::Error(e)) => Err(Error::lock_file(&path, &e)),
    })?;
    let file = LockedFile::of(file);
    write_holder(&file).map_err(|e| Error::lock_file(&path, &e))?;
    tell_of_writers(conn, patience)?;
    Ok(Some(file))
}

/// Says so if another program writes for longer than a moment. How long that is waited for is the
/// connection's business, and what else is wrong that of the transactions that follow.
fn tell_of_writers(conn: &mut SqliteConnection, patience: &mut Patience<'_>) -> Result<(), Error> {
    let timeout = busy_timeout(conn)?;
    if timeout <= A_MOMENT_MS {
        return Ok(());
    }
    set_busy_timeout(conn, A_MOMENT_MS)?;
    let begun = conn
        .batch_execute("BEGIN IMMEDIATE")
        .map_err(|error| db_core::Error::classify(Engine::Sqlite, &error));
    set_busy_timeout(conn, timeout)?;
    match begun {
        Ok(()) => conn
            .batch_execute("ROLLBACK")
            .map_err(in_database(Engine::Sqlite, "looking for other writers")),
        Err(error) => {
            if error.kind() == ErrorKind::Busy {
                (patience.on_wait)("another program that writes to the database");
            }
            Ok(())
        }
    }
}

/// The file behind `main`, if there is one.
pub(crate) fn database_file(conn: &mut SqliteConnection) -> Result<Option<PathBuf>, Error> {
    let attached: Vec<Attached> = sql_query("SELECT name, file FROM pragma_database_list")
        .load(conn)
        .map_err(in_database(
            Engine::Sqlite,
            "looking for the database's file",
        ))?;
    Ok(attached
        .into_iter()
        .find(|d| d.name == "main")
        .and_then(|d| d.file)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from))
}

/// Writes who holds the lock, for those who wait.
fn write_holder(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(
        file,
        "{} (pid {})",
        actor::default_name(),
        std::process::id()
    )
}

/// Who holds the lock, as far as the file tells.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(MAX_HOLDER_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}
