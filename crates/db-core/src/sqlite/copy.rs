//! A copy of a database that is in use, by SQLite's backup interface.
//!
//! It is taken under one read transaction of a connection of its own. Without that every commit of
//! another process makes the copy begin again, and beside a busy writer it never ends; with it no
//! writer waits and nothing begins again (docs/adr/0003).
#![expect(
    unsafe_code,
    reason = "SQLite's C interface; every block states why it is sound"
)]

use std::ffi::c_int;
use std::fmt;
use std::path::Path;
use std::ptr::NonNull;

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use libsqlite3_sys as ffi;

use super::handle::{self, Attached, Opened};
use super::raw_statement::error_of;
use super::{file, open_target, pragmas};
use crate::encryption::EncryptionKey;
use crate::error::{Error, ErrorKind};
use crate::{Access, DatabaseUrl, Engine, Interrupt};

/// Nobody else knows the copy yet, and who made it syncs it: a journal and locks only cost time
/// (worst step 7 ms instead of 160 to 320).
const OF_TARGET: &str = "PRAGMA journal_mode = OFF;
     PRAGMA synchronous = OFF;
     PRAGMA locking_mode = EXCLUSIVE;";

/// How far a copy has come, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyStep {
    /// Pages that are copied.
    pub done: u64,
    /// Pages of the snapshot.
    pub total: u64,
    /// Whether that was the last step.
    pub finished: bool,
}

/// A copy of a SQLite file under way. Dropped before [`OnlineCopy::finish`], it leaves a target that
/// is worth nothing.
pub struct OnlineCopy {
    /// Before the connections, which cannot be closed while it exists.
    backup: Option<Backup>,
    source: Opened,
    target: Opened,
    interrupt: Interrupt,
    last: CopyStep,
}

impl OnlineCopy {
    /// Takes a snapshot of the database, which is what will be copied, whatever is written from now
    /// on. `target` is an empty file that nobody else uses; a source with a key makes a copy with the
    /// same key.
    ///
    /// # Errors
    /// As [`Connection::open`](crate::Connection::open), of both files; `Configuration` for a
    /// database in memory.
    pub fn begin(
        source: &DatabaseUrl,
        target: &Path,
        key: Option<&EncryptionKey>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let Some(path) = source.path() else {
            let reason = "only a SQLite file can be copied so";
            return Err(Error::new(ErrorKind::Configuration, reason));
        };
        handle::refuse_corrupting_library()?;
        let open = |path: &Path, url: &DatabaseUrl, access, pragmas: &str| {
            let name = file::prepare(path, access)?;
            let attached = Attached {
                key: key.cloned(),
                ..Attached::default()
            };
            open_target((&name, url), interrupt, attached, pragmas)
        };
        let access = Access::ReadOnly;
        let mut source = open(path, source, access, &pragmas(access))?;
        // The transaction begins with the first read, not with BEGIN.
        execute(&mut source, "BEGIN; PRAGMA schema_version")?;
        let url = DatabaseUrl::SqliteFile(target.to_owned());
        let target = open(target, &url, Access::ReadWrite, OF_TARGET)?;
        let backup = Backup::init(&target, &source)?;
        Ok(Self {
            backup: Some(backup),
            source,
            target,
            interrupt: interrupt.clone(),
            last: CopyStep {
                done: 0,
                total: 0,
                finished: false,
            },
        })
    }

    /// Copies so many pages more.
    ///
    /// # Errors
    /// What SQLite says of reading or writing; `Cancelled` when the interrupt is set. The copy is
    /// worth nothing then.
    pub fn step(&mut self, pages: u32) -> Result<CopyStep, Error> {
        if self.interrupt.is_set() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        let Some(backup) = &mut self.backup else {
            return Ok(self.last);
        };
        let code = backup.step(pages);
        match code {
            ffi::SQLITE_OK | ffi::SQLITE_DONE => {}
            _ => {
                // What failed is told to the target's connection only when the copy ends.
                self.backup = None;
                return Err(self.failure(code));
            }
        }
        let (left, total) = backup.left();
        self.last = CopyStep {
            done: total.saturating_sub(left),
            total,
            finished: code == ffi::SQLITE_DONE,
        };
        if self.last.finished {
            self.backup = None;
        }
        Ok(self.last)
    }

    /// Gives the snapshot back and makes the copy a file that stands alone: in rollback mode, so that
    /// it opens in a folder that cannot be written. The caller makes sure that it is on the disk.
    ///
    /// # Errors
    /// What SQLite says; `Other` if the last step was not yet.
    pub fn finish(mut self) -> Result<(), Error> {
        if !self.last.finished {
            return Err(Error::new(ErrorKind::Other, "the copy is not finished"));
        }
        execute(&mut self.source, "ROLLBACK")?;
        // Its header says WAL if the source's does, which a read notices, so that the pragma undoes it.
        execute(&mut self.target, "PRAGMA schema_version")?;
        let mode: Journal = sql_query("PRAGMA journal_mode = DELETE")
            .get_result(self.target.conn())
            .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        if mode.journal_mode != "delete" {
            return Err(Error::new(
                ErrorKind::Other,
                format!("the copy stays in journal mode {}", mode.journal_mode),
            ));
        }
        Ok(())
    }

    /// What SQLite says of a failed step.
    fn failure(&self, code: c_int) -> Error {
        // SAFETY: the target is open, and its one user is this value, which is borrowed.
        let told = unsafe { error_of(self.target.handle().as_ptr(), code) };
        match told.sqlite_code() {
            Some(told_code) if told_code & 0xff == code & 0xff => told,
            // Reading failed, of which the target knows nothing.
            // SAFETY: as above, for the source.
            _ => unsafe { error_of(self.source.handle().as_ptr(), code) },
        }
    }
}

impl fmt::Debug for OnlineCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnlineCopy")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct Journal {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

fn execute(opened: &mut Opened, sql: &str) -> Result<(), Error> {
    use diesel::connection::SimpleConnection;
    opened
        .conn()
        .batch_execute(sql)
        .map_err(|e| Error::classify(Engine::Sqlite, &e))
}

/// SQLite's own side of a copy.
struct Backup(NonNull<ffi::sqlite3_backup>);

impl Backup {
    fn init(target: &Opened, source: &Opened) -> Result<Self, Error> {
        // SAFETY: both connections are open, and differ; the caller drops this value before them.
        // Names are of "main" in both.
        let backup = unsafe {
            ffi::sqlite3_backup_init(
                target.handle().as_ptr(),
                c"main".as_ptr(),
                source.handle().as_ptr(),
                c"main".as_ptr(),
            )
        };
        match NonNull::new(backup) {
            Some(backup) => Ok(Self(backup)),
            // SAFETY: the target is open and used by nobody else.
            None => Err(unsafe { error_of(target.handle().as_ptr(), ffi::SQLITE_ERROR) }),
        }
    }

    fn step(&mut self, pages: u32) -> c_int {
        let pages = c_int::try_from(pages).unwrap_or(c_int::MAX);
        // SAFETY: it is not finished before the drop, and `&mut self` makes this the one call.
        unsafe { ffi::sqlite3_backup_step(self.0.as_ptr(), pages) }
    }

    /// Pages that are left, and all, as of the last step.
    fn left(&self) -> (u64, u64) {
        // SAFETY: it is not finished before the drop.
        let left = unsafe { ffi::sqlite3_backup_remaining(self.0.as_ptr()) };
        // SAFETY: as above.
        let total = unsafe { ffi::sqlite3_backup_pagecount(self.0.as_ptr()) };
        let pages = |n: c_int| u64::try_from(n).unwrap_or_default();
        (pages(left), pages(total))
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        // SAFETY: finished once, here. Its code is that of the last step, which was reported.
        unsafe { ffi::sqlite3_backup_finish(self.0.as_ptr()) };
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
