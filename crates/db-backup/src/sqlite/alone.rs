//! Making sure that nobody else has a database open, and keeping it so.

use std::path::Path;

use db_core::{Access, Conn, Connection, DatabaseUrl, EncryptionKey, Engine, ErrorKind, Interrupt};
use diesel::sql_types::{Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use crate::error::Error;

/// A database that only this value has open, its log folded in.
pub(super) struct Alone {
    connection: Connection,
    was_wal: bool,
    application_id: i32,
}

/// The database that stands where another one shall be.
pub(super) enum Old {
    /// It can be read, and nobody else has it.
    Sound(Alone),
    /// It cannot be read, so nobody can be using it through SQLite.
    Broken,
}

#[derive(QueryableByName)]
struct Mode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

#[derive(QueryableByName)]
struct Application {
    #[diesel(sql_type = Integer)]
    application_id: i32,
}

/// The `application_id` of a database, which stays as it is; none if it cannot be read.
pub(super) fn application_id(
    path: &Path,
    key: Option<&EncryptionKey>,
) -> Result<Option<i32>, Error> {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let opened = Connection::open_encrypted(&url, Access::ReadOnly, &Interrupt::default(), key);
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) if is_broken(error.kind()) => return Ok(None),
        Err(error) => return Err(failed(path, error)),
    };
    let Conn::Sqlite(conn) = connection.conn() else {
        return Ok(None);
    };
    match read_application_id(conn) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_broken(error.kind()) => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn read_application_id(conn: &mut SqliteConnection) -> Result<i32, db_core::Error> {
    sql_query("SELECT application_id FROM pragma_application_id")
        .get_result::<Application>(conn)
        .map(|found| found.application_id)
        .map_err(|e| db_core::Error::classify(Engine::Sqlite, &e))
}

impl Old {
    /// Takes the database away from everybody else. Its log is folded into it, which is possible only
    /// while nobody else has it open.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody has.
    pub(super) fn take(path: &Path, key: Option<&EncryptionKey>) -> Result<Self, Error> {
        refuse_if_open(path)?;
        let url = DatabaseUrl::SqliteFile(path.to_owned());
        let interrupt = Interrupt::default();
        let opened = Connection::open_encrypted(&url, Access::ReadWrite, &interrupt, key);
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) if is_broken(error.kind()) => return Ok(Self::Broken),
            Err(error) => return Err(failed(path, error)),
        };
        let mut alone = Alone {
            connection,
            was_wal: false,
            application_id: 0,
        };
        match alone.lock() {
            // Whoever opened it since, and idles in rollback mode, holds no lock.
            Ok(()) => match refuse_if_open_elsewhere(path) {
                Ok(()) => Ok(Self::Sound(alone)),
                Err(error) => {
                    alone.give_back();
                    Err(error)
                }
            },
            Err(error) if is_broken(error.kind()) => Ok(Self::Broken),
            Err(error) => {
                alone.give_back();
                Err(failed(path, error))
            }
        }
    }
}

impl Alone {
    fn lock(&mut self) -> Result<(), db_core::Error> {
        self.run("PRAGMA busy_timeout = 0")?;
        self.was_wal = self.journal_mode("PRAGMA journal_mode")? == "wal";
        // Leaving WAL folds the log in and needs the file for itself. Not with `locking_mode`, which
        // keeps a journal that the close then removes by its name, perhaps the new database's.
        self.journal_mode("PRAGMA journal_mode = DELETE")?;
        self.run("BEGIN EXCLUSIVE")?;
        if let Conn::Sqlite(conn) = self.connection.conn() {
            self.application_id = read_application_id(conn)?;
        }
        if self.journal_mode("PRAGMA journal_mode")? == "delete" {
            return Ok(());
        }
        let reason = "the database is locked";
        Err(db_core::Error::new(ErrorKind::Busy, reason))
    }

    /// Its `application_id`.
    pub(super) const fn application_id(&self) -> i32 {
        self.application_id
    }

    /// Leaves it as it was, for those who come back to it.
    pub(super) fn give_back(mut self) {
        // Whether a transaction was open is not known here.
        drop(self.run("ROLLBACK"));
        if !self.was_wal {
            return;
        }
        if let Err(error) = self.run("PRAGMA journal_mode = WAL") {
            tracing::debug!(%error, "the database stays in rollback mode until it is opened");
        }
    }

    fn run(&mut self, sql: &str) -> Result<(), db_core::Error> {
        self.connection
            .conn()
            .batch_execute(sql)
            .map_err(|e| db_core::Error::classify(Engine::Sqlite, &e))
    }

    fn journal_mode(&mut self, sql: &str) -> Result<String, db_core::Error> {
        let Conn::Sqlite(conn) = self.connection.conn() else {
            return Ok(String::new());
        };
        sql_query(sql)
            .get_result::<Mode>(conn)
            .map(|mode| mode.journal_mode)
            .map_err(|e| db_core::Error::classify(Engine::Sqlite, &e))
    }
}

/// A file that is no sound database. One that this program has no key for, or cannot read, may be in
/// use by somebody who can.
const fn is_broken(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NotADatabase)
}

fn failed(path: &Path, error: db_core::Error) -> Error {
    match error.kind() {
        ErrorKind::Busy | ErrorKind::BusySnapshot | ErrorKind::LockTimeout => Error::Locked {
            what: path.display().to_string(),
            holder: None,
        },
        _ => Error::database(format!("taking {}", path.display()), error),
    }
}

/// Refuses while a process has the file open, this one too. Locks do not tell of one that is idle in
/// rollback mode.
pub(super) fn refuse_if_open(path: &Path) -> Result<(), Error> {
    refuse(path, holder(path, None))
}

/// As [`refuse_if_open`], for this process to have it open itself.
fn refuse_if_open_elsewhere(path: &Path) -> Result<(), Error> {
    refuse(path, holder(path, Some(std::process::id())))
}

fn refuse(path: &Path, holder: Option<String>) -> Result<(), Error> {
    match holder {
        None => Ok(()),
        holder => Err(Error::Locked {
            what: path.display().to_string(),
            holder,
        }),
    }
}

/// A process that has this file open, as far as this one may look. Only `stat` is used: opening the
/// file would drop the locks that this process has on it.
#[cfg(target_os = "linux")]
fn holder(path: &Path, but: Option<u32>) -> Option<String> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let wanted = id(fs::metadata(path).ok()?);
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        if but == Some(pid) {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            if fs::metadata(file.path()).is_ok_and(|meta| id(meta) == wanted) {
                let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("process {pid} ({})", command.trim()));
            }
        }
    }
    None
}

/// Who has a file open is not told here; its locks are.
#[cfg(not(target_os = "linux"))]
fn holder(_path: &Path, _but: Option<u32>) -> Option<String> {
    None
}
