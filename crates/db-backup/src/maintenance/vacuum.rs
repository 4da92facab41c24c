//! VACUUM of a SQLite file, and the room that it takes: the new database is built in a temporary
//! file, and then written over the old one through its log or journal.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use db_core::ErrorKind;
use diesel::SqliteConnection;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use super::sqlite::{DOING, database_bytes, execute, free_bytes, is_wal, kind, run_checkpoint};
use super::{Done, Steps};
use crate::Error;

/// Where SQLite looks for its temporary folder, in this order, before those that are fixed.
const VARIABLES: [&str; 2] = ["SQLITE_TMPDIR", "TMPDIR"];
const FOLDERS: [&str; 4] = ["/var/tmp", "/usr/tmp", "/tmp", "."];

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    cipher_status: String,
}

/// What a VACUUM needs for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// Beside the database, for its log or journal.
    pub(super) beside: u64,
    /// For the new database.
    pub(super) new: u64,
    /// The folder in which it is built; none for one in memory.
    pub(super) folder: Option<PathBuf>,
}

impl Needs {
    pub(super) fn of(conn: &mut SqliteConnection) -> Result<Self, Error> {
        let whole = database_bytes(conn)?;
        let live = whole.saturating_sub(free_bytes(conn)?);
        Ok(Self {
            // A journal keeps what is overwritten, a log what is written.
            beside: if is_wal(conn)? { live } else { whole },
            new: live,
            folder: (!is_encrypted(conn)?).then(temporary_folder),
        })
    }

    /// Refuses before anything is begun.
    fn ensure_room(&self, path: &Path) -> Result<(), Error> {
        let own = db_core::folder::of(path);
        let mut places = vec![(own, self.beside)];
        match &self.folder {
            Some(folder) if is_same_disk(own, folder) => places[0].1 += self.new,
            Some(folder) => places.push((folder, self.new)),
            None => {}
        }
        for (folder, needed) in places {
            let Some(free) = free(folder).filter(|free| *free < needed) else {
                continue;
            };
            let error = db_core::Error::new(
                ErrorKind::DiskFull,
                format!(
                    "VACUUM may need {needed} bytes at {} for a time, {free} are free",
                    folder.display()
                ),
            );
            return Err(Error::database(
                DOING,
                error.with_hint(
                    "nothing was changed; make room, or let SQLITE_TMPDIR name a folder on another disk",
                ),
            ));
        }
        Ok(())
    }
}

pub(super) fn run(
    conn: &mut SqliteConnection,
    path: Option<&Path>,
    steps: &mut Steps<'_>,
    wait: Duration,
) -> Result<Done, Error> {
    let mut done = Done::default();
    let needs = Needs::of(conn)?;
    if let Some(path) = path {
        needs.ensure_room(path)?;
    }
    steps.begin("", 1, 1)?;
    // Connections keep temporary things in memory, where a database may not fit. That of an encrypted
    // one has to: SQLCipher does not encrypt all of what SQLite puts into temporary files.
    if needs.folder.is_some() {
        execute(conn, "PRAGMA temp_store = FILE")?;
    }
    let vacuumed = execute(conn, "VACUUM").map_err(|error| in_use(error, wait));
    execute(conn, "PRAGMA temp_store = MEMORY")?;
    vacuumed?;
    done.steps = 1;
    if is_wal(conn)? {
        // The new pages are in the log now.
        let emptied = run_checkpoint(conn, "TRUNCATE")?;
        if emptied.busy != 0 {
            done.notes.push(
                "readers are still in the log; the file shrinks with the next checkpoint that \
                 nobody hinders"
                    .to_owned(),
            );
        }
    }
    Ok(done)
}

/// Says who is in the way of a statement that needs the file to itself.
fn in_use(error: Error, wait: Duration) -> Error {
    match kind(&error) {
        Some(ErrorKind::Busy | ErrorKind::BusySnapshot) => Error::database(
            DOING,
            db_core::Error::new(
                ErrorKind::Busy,
                format!(
                    "VACUUM needs to be the only writer, and did not become it within {} ms",
                    wait.as_millis()
                ),
            )
            .with_hint("try when less is written, or wait longer with --wait"),
        ),
        _ => error,
    }
}

/// Whether the file is read with a key. A SQLite without SQLCipher does not know the pragma.
fn is_encrypted(conn: &mut SqliteConnection) -> Result<bool, Error> {
    let rows = sql_query("PRAGMA cipher_status").load::<Status>(conn);
    let rows = rows.map_err(|e| {
        Error::database(DOING, db_core::Error::classify(db_core::Engine::Sqlite, &e))
    })?;
    Ok(rows.first().is_some_and(|row| row.cipher_status == "1"))
}

/// The folder that SQLite takes (`unixTempFileDir` in `os_unix.c`).
fn temporary_folder() -> PathBuf {
    let named = VARIABLES.into_iter().filter_map(env::var_os);
    let mut candidates = named
        .map(PathBuf::from)
        .chain(FOLDERS.into_iter().map(PathBuf::from));
    candidates
        .find(|folder| is_usable(folder))
        .unwrap_or_else(|| PathBuf::from("."))
}

fn is_usable(folder: &Path) -> bool {
    use rustix::fs::{Access, access};
    folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn is_same_disk(one: &Path, other: &Path) -> bool {
    let disk = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
    matches!((disk(one), disk(other)), (Ok(one), Ok(other)) if one == other)
}

fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
