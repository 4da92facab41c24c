//! The connections of an open `Database`: one that writes, and readers that cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::file::Pinned;
use super::guard::Guard;
use super::handle::{self, Attached};
use super::touched::Touched;
use super::transactional::Transactional;
use super::watch::{Health, Watch};
use crate::cache::TableClock;
use crate::config::{SqliteOptions, Synchronous};
use crate::error::{Error, ErrorKind};
use crate::{Engine, Interrupt};

/// Between two attempts at switching a new file to WAL, which ignores every timeout of SQLite.
const WAL_SWITCH_NAP: Duration = Duration::from_millis(2);

/// What stands before each page in the log (<https://sqlite.org/fileformat2.html#walformat>).
const FRAME_HEADER: u64 = 24;

/// The connection that writes, and who listens to it.
pub(super) struct Writing {
    /// What a page takes in the log.
    pub(super) frame_bytes: u64,
    pub(super) connection: Transactional,
    /// After the connection, whose close still calls the hook (see `watch::attach`).
    pub(super) watch: Arc<Watch>,
    pub(super) touched: Arc<Touched>,
    pub(super) guard: Arc<Guard>,
}

/// Opens the connection that writes, to this file or in memory, and switches a file to WAL.
pub(super) fn open_writer(
    options: &SqliteOptions,
    file: Option<&Pinned>,
    health: &Arc<Health>,
    clock: &Arc<TableClock>,
) -> Result<Writing, Error> {
    let watch = Arc::new(Watch::new());
    // The watch's busy handler stands where `PRAGMA busy_timeout` would, which replaces it.
    watch.set_patience(options.busy_timeout);
    let touched = Arc::new(Touched::new(Arc::clone(clock)));
    let guard = Arc::new(Guard::of_groups(Arc::clone(&touched)));
    let attached = Attached {
        health: Some(Arc::clone(health)),
        watch: Some(Arc::clone(&watch)),
        touched: Some(Arc::clone(&touched)),
        guard: Some(Arc::clone(&guard)),
        fault: None,
        key: options.key()?,
    };
    handle::refuse_corrupting_library()?;
    let open = |target: &str| {
        let target = (target, &options.url);
        super::open_target(target, &Interrupt::default(), attached, &pragmas(options))
    };
    let opened = match file {
        Some(file) => file.open(open)?,
        None => open(":memory:")?,
    };
    let mut connection = Transactional::new(opened, c"BEGIN IMMEDIATE")?;
    let conn = connection.conn();
    if options.wal && file.is_some() {
        switch_to_wal(conn, options.busy_timeout)?;
    }
    // As a table, because SQLCipher calls the column of the statement otherwise.
    let page = sql_query("SELECT page_size FROM pragma_page_size")
        .get_result::<PageSize>(conn)
        .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
    Ok(Writing {
        frame_bytes: u64::try_from(page.page_size).unwrap_or_default() + FRAME_HEADER,
        connection,
        watch,
        touched,
        guard,
    })
}

/// Opens a connection for checkpoints beside the one that writes.
pub(super) fn open_beside(
    options: &SqliteOptions,
    file: &Pinned,
    health: &Arc<Health>,
) -> Result<SqliteConnection, Error> {
    let attached = Attached {
        health: Some(Arc::clone(health)),
        key: options.key()?,
        ..Attached::default()
    };
    let setup = reader_pragmas(options);
    let opened = file.open(|target| {
        let target = (target, &options.url);
        super::open_target(target, &Interrupt::default(), attached, &setup)
    })?;
    Ok(opened.into_conn())
}

/// The pragmas of a connection that reads.
///
/// It is opened for writing and then forbidden to: a reader that was opened read-only cannot take
/// the log away if it happens to be the last one to close the database.
pub(super) fn reader_pragmas(options: &SqliteOptions) -> String {
    format!(
        "PRAGMA busy_timeout = {};
         {}
         PRAGMA query_only = ON;",
        options.busy_timeout.as_millis(),
        pragmas(options)
    )
}

/// The pragmas of the one connection of a database in memory.
pub(super) fn memory_pragmas(options: &SqliteOptions) -> String {
    pragmas(options)
}

fn pragmas(options: &SqliteOptions) -> String {
    let synchronous = match options.synchronous {
        Synchronous::Normal => "NORMAL",
        // Without a log a commit is the deletion of the journal, which FULL does not sync: after a
        // loss of power the journal would be back, and would undo it.
        Synchronous::Full if !options.wal => "EXTRA",
        Synchronous::Full => "FULL",
    };
    // `recursive_triggers`: without it `INSERT OR REPLACE` fires no delete trigger, and audit
    // misses the row that went.
    format!(
        "PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA recursive_triggers = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{};
         PRAGMA mmap_size = {};
         PRAGMA synchronous = {synchronous};",
        options.cache_kib, options.mmap_bytes
    )
}

#[derive(QueryableByName)]
struct PageSize {
    #[diesel(sql_type = BigInt)]
    page_size: i64,
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

/// Switches the file to WAL, also while other processes try the same on a new file: that fails with
/// "database is locked" at once, whatever the timeout, so look first and try again.
fn switch_to_wal(conn: &mut SqliteConnection, timeout: Duration) -> Result<(), Error> {
    let start = Instant::now();
    let mode = |conn: &mut SqliteConnection, sql: &str| {
        sql_query(sql)
            .get_result::<JournalMode>(conn)
            .map(|row| row.journal_mode)
            .map_err(|e| Error::classify(Engine::Sqlite, &e))
    };
    loop {
        let switched = match mode(conn, "PRAGMA journal_mode") {
            Ok(found) if found == "wal" => return Ok(()),
            Ok(_) => mode(conn, "PRAGMA journal_mode = WAL"),
            Err(e) => Err(e),
        };
        match switched {
            Ok(found) if found == "wal" => return Ok(()),
            Ok(found) => {
                return Err(Error::new(
                    ErrorKind::CannotOpen,
                    format!("the file stays in journal mode {found:?}, WAL is not possible"),
                )
                .with_hint(
                    "WAL needs shared memory: not a network drive; or set enable_wal = false",
                ));
            }
            Err(e) if e.kind() == ErrorKind::Busy && start.elapsed() < timeout => {}
            Err(e) => return Err(e),
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "SQLite offers nothing to wait for here"
        )]
        std::thread::sleep(WAL_SWITCH_NAP);
    }
}
