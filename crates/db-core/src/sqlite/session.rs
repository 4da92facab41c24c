//! The connections of an open `Database`: one that writes, and readers that cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::handle::Attached;
use super::watch::{Health, Watch};
use crate::error::{Error, ErrorKind};
use crate::{Access, DatabaseUrl, Engine, Interrupt};

/// Between two attempts at switching a new file to WAL, which ignores every timeout of SQLite.
const WAL_SWITCH_NAP: Duration = Duration::from_millis(2);

/// What COMMIT waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Synchronous {
    /// The operating system has it: survives a crash of the program, not of the machine.
    #[default]
    Normal,
    /// The disk has it.
    Full,
}

/// How a SQLite database is opened, read and written.
#[derive(Debug, Clone)]
pub(crate) struct SqliteOptions {
    /// A file, or memory.
    pub(crate) url: DatabaseUrl,
    /// How long SQLite waits for a program that does not queue at the turnstile, a shell say.
    pub(crate) busy_timeout: Duration,
    /// Page cache of each connection, in KiB.
    pub(crate) cache_kib: u32,
    /// How much of the file is mapped into memory, in bytes; 0 turns it off.
    pub(crate) mmap_bytes: u64,
    /// What COMMIT waits for.
    pub(crate) synchronous: Synchronous,
    /// Whether the file is switched to WAL. False leaves its mode alone.
    pub(crate) wal: bool,
    /// A checkpoint is due after this time, if anything was written.
    pub(crate) checkpoint_interval: Duration,
    /// A checkpoint is due after this many new pages in the log.
    pub(crate) checkpoint_pages: u32,
    /// The most closures of waiting threads in one COMMIT.
    pub(crate) group_size: usize,
    /// The most closures in one COMMIT, those of the async door included.
    pub(crate) group_size_async: usize,
    /// A group takes no further closure after this time.
    pub(crate) group_age: Duration,
    /// Writes that may wait; more are refused as `Overloaded`.
    pub(crate) max_pending: usize,
}

impl SqliteOptions {
    /// The defaults of the house for this database.
    pub(crate) const fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            busy_timeout: Duration::from_secs(30),
            cache_kib: 64_000,
            mmap_bytes: 256 << 20,
            synchronous: Synchronous::Normal,
            wal: true,
            checkpoint_interval: Duration::from_secs(30),
            checkpoint_pages: 1_000,
            group_size: 256,
            group_size_async: 1_024,
            group_age: Duration::from_millis(10),
            max_pending: 100_000,
        }
    }
}

/// Opens the connection that writes. It creates the file if need be, and switches it to WAL.
pub(super) fn open_writer(
    options: &SqliteOptions,
    health: &Arc<Health>,
) -> Result<(SqliteConnection, Arc<Watch>), Error> {
    let watch = Arc::new(Watch::new());
    // The watch's busy handler stands where `PRAGMA busy_timeout` would, which replaces it.
    watch.set_patience(options.busy_timeout);
    let attached = Attached {
        health: Some(Arc::clone(health)),
        watch: Some(Arc::clone(&watch)),
        fault: None,
    };
    let interrupt = Interrupt::default();
    let pragmas = pragmas(options);
    let mut conn = super::open_with(&options.url, Access::Create, &interrupt, attached, &pragmas)?;
    if options.wal && options.url.path().is_some() {
        switch_to_wal(&mut conn, options.busy_timeout)?;
    }
    Ok((conn, watch))
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

/// Runs SQL without parameters, classified.
pub(super) fn execute(conn: &mut SqliteConnection, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql)
        .map_err(|e| Error::classify(Engine::Sqlite, &e))
}
