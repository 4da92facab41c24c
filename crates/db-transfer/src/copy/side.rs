//! The two databases of a copy, and connections that see one state of the source.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use db_core::bulk::{CellRef, PostgresBulk, SqliteBulk};
use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Engine, Interrupt};

use super::error::{CopyError, Doing as _};
use super::names::{Name, list};
use crate::waiting::{self, OnWait, Pending};

/// A database, and the key of a SQLite file that is encrypted.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The key, if there is one.
    pub key: Option<EncryptionKey>,
}

impl Endpoint {
    /// A database that is not encrypted.
    #[must_use]
    pub const fn new(url: DatabaseUrl) -> Self {
        Self { url, key: None }
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.url.engine()
    }

    /// For messages: as it was written, without the password and the parameters of every connection.
    pub(super) fn shown(&self) -> String {
        self.url.without_pacing().to_string()
    }

    /// A connection for catalogs.
    pub(super) fn connect(&self, access: Access) -> Result<Connection, CopyError> {
        Connection::open_encrypted(&self.url, access, &Interrupt::default(), self.key.as_ref())
            .doing(|| format!("connecting to {}", self.shown()))
    }
}

/// What every session of PostgreSQL has to agree on, so that the same value has the same text.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    SET xmloption = 'content'; SET row_security = off; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; \
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// A connection for rows.
#[derive(Debug)]
pub(super) enum Bulk {
    Sqlite(SqliteBulk),
    Postgres(PostgresBulk),
}

impl Bulk {
    pub(super) fn open(
        endpoint: &Endpoint,
        access: Access,
        interrupt: &Interrupt,
    ) -> Result<Self, CopyError> {
        let url = &endpoint.url;
        let opened = match endpoint.engine() {
            Engine::Sqlite => {
                SqliteBulk::open(url, access, endpoint.key.as_ref(), interrupt).map(Self::Sqlite)
            }
            Engine::Postgres => PostgresBulk::open(url, access, interrupt).and_then(|mut bulk| {
                bulk.execute(SESSION)?;
                Ok(Self::Postgres(bulk))
            }),
        };
        opened.doing(|| format!("connecting to {}", endpoint.shown()))
    }

    pub(super) fn execute(&mut self, sql: &str) -> Result<(), db_core::Error> {
        match self {
            Self::Sqlite(bulk) => bulk.execute(sql),
            Self::Postgres(bulk) => bulk.execute(sql),
        }
    }

    /// The rows of a small answer.
    pub(super) fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, db_core::Error> {
        let bulk = match self {
            Self::Postgres(bulk) => return bulk.rows(sql),
            Self::Sqlite(bulk) => bulk,
        };
        let mut statement = bulk.prepare(sql)?;
        let mut rows = Vec::new();
        while statement.step()? {
            let columns = 0..statement.column_count();
            let row: Result<Vec<_>, _> = columns.map(|c| statement.cell(c).map(text)).collect();
            rows.push(row?);
        }
        Ok(rows)
    }

    /// The first value of the answer as a number; 0 where there is none.
    pub(super) fn number(&mut self, sql: &str) -> Result<u64, db_core::Error> {
        let rows = self.rows(sql)?;
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        Ok(first.flatten().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

fn text(cell: CellRef<'_>) -> Option<String> {
    match cell {
        CellRef::Null => None,
        CellRef::Integer(number) => Some(number.to_string()),
        CellRef::Real(number) => Some(number.to_string()),
        CellRef::Text(bytes) | CellRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

/// Connections to the source that see the same state of it until they are dropped.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) readers: Vec<Bulk>,
    /// Holds writers off, as long as it is open.
    lock: Option<Bulk>,
    /// Tells who holds the readers up, where a server can be asked.
    _watched: Option<Pending>,
}

impl Snapshot {
    /// Begins `count` connections, or one where more than one cannot see the same.
    pub(super) fn begin(
        source: &Endpoint,
        count: usize,
        (interrupt, on_wait): (&Interrupt, &OnWait),
    ) -> Result<Self, CopyError> {
        match source.engine() {
            Engine::Sqlite => Self::of_sqlite(source, count, (interrupt, on_wait)),
            Engine::Postgres => Self::of_postgres(source, count, (interrupt, on_wait)),
        }
    }

    /// The same where nobody can write meanwhile.
    pub(super) fn begin_locked(
        source: &Endpoint,
        count: usize,
        (interrupt, on_wait): (&Interrupt, &OnWait),
    ) -> Result<Self, CopyError> {
        match source.engine() {
            Engine::Sqlite => Self::readers_of_sqlite(source, count, interrupt),
            Engine::Postgres => Self::of_postgres(source, count, (interrupt, on_wait)),
        }
    }

    /// Waits for writers to finish, and holds further ones off.
    pub(super) fn lock(
        source: &Endpoint,
        tables: &[Name],
        (interrupt, on_wait): (&Interrupt, &OnWait),
    ) -> Result<Bulk, CopyError> {
        let mut bulk = Bulk::open(source, Access::ReadWrite, interrupt)?;
        let locked = match &mut bulk {
            Bulk::Sqlite(bulk) => waiting::begin(bulk, "BEGIN IMMEDIATE", on_wait),
            Bulk::Postgres(bulk) => {
                let names: Vec<String> = tables.iter().map(Name::sql).collect();
                let sql = match names.as_slice() {
                    [] => "BEGIN".to_owned(),
                    names => format!("BEGIN; LOCK TABLE {} IN SHARE MODE", names.join(", ")),
                };
                Pending::session(&source.url, bulk, on_wait).and_then(|_watched| bulk.execute(&sql))
            }
        };
        locked.doing(|| "locking the source".to_owned())?;
        Ok(bulk)
    }

    /// Fails where the lock was lost: whoever ended its session has let writers in.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn held(&mut self) -> Result<(), CopyError> {
        match &mut self.lock {
            // Outside of a transaction there is no savepoint on PostgreSQL.
            Some(lock) => lock
                .execute("SAVEPOINT held; RELEASE held")
                .doing(|| "looking whether the source is still locked".to_owned()),
            None => Ok(()),
        }
    }

    /// The same snapshot, which keeps a lock until it is dropped.
    pub(super) fn under(mut self, lock: Bulk) -> Self {
        self.lock = Some(lock);
        self
    }

    /// SQLite has no name for a snapshot. But while one connection holds the write lock nothing is
    /// committed, so that all that begin meanwhile see the same.
    fn of_sqlite(
        source: &Endpoint,
        count: usize,
        (interrupt, on_wait): (&Interrupt, &OnWait),
    ) -> Result<Self, CopyError> {
        let reading = || "beginning to read the source".to_owned();
        let mut gate = None;
        if count > 1 {
            match Self::gate(source, interrupt, on_wait) {
                Ok(bulk) => gate = Some(bulk),
                Err(error) => tracing::debug!(%error, "one connection has to do"),
            }
        }
        let count = if gate.is_some() { count } else { 1 };
        let snapshot = Self::readers_of_sqlite(source, count, interrupt)?;
        if let Some(mut gate) = gate {
            gate.execute("ROLLBACK").doing(reading)?;
        }
        Ok(snapshot)
    }

    /// A connection that holds the write lock.
    fn gate(
        source: &Endpoint,
        interrupt: &Interrupt,
        on_wait: &OnWait,
    ) -> Result<SqliteBulk, db_core::Error> {
        let (url, key) = (&source.url, source.key.as_ref());
        let mut bulk = SqliteBulk::open(url, Access::ReadWrite, key, interrupt)?;
        waiting::begin(&mut bulk, "BEGIN IMMEDIATE", on_wait)?;
        Ok(bulk)
    }

    fn readers_of_sqlite(
        source: &Endpoint,
        count: usize,
        interrupt: &Interrupt,
    ) -> Result<Self, CopyError> {
        let reading = || "beginning to read the source".to_owned();
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut bulk = Bulk::open(source, Access::ReadOnly, interrupt)?;
            bulk.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
                .doing(reading)?;
            readers.push(bulk);
        }
        Ok(Self {
            readers,
            lock: None,
            _watched: None,
        })
    }

    fn of_postgres(
        source: &Endpoint,
        count: usize,
        (interrupt, on_wait): (&Interrupt, &OnWait),
    ) -> Result<Self, CopyError> {
        let mut readers = Vec::with_capacity(count);
        let mut name = None;
        for _ in 0..count.max(1) {
            let mut bulk = Bulk::open(source, Access::ReadOnly, interrupt)?;
            if let Bulk::Postgres(postgres) = &mut bulk {
                let done = match &name {
                    None => postgres.begin_snapshot().map(|begun| name = Some(begun)),
                    Some(name) => postgres.join_snapshot(name),
                };
                done.doing(|| "beginning to read the source".to_owned())?;
            }
            readers.push(bulk);
        }
        let sessions = readers.iter_mut().filter_map(|reader| match reader {
            Bulk::Postgres(bulk) => Some(bulk),
            Bulk::Sqlite(_) => None,
        });
        let watched = Pending::sessions(&source.url, sessions, on_wait)
            .doing(|| "beginning to read the source".to_owned())?;
        Ok(Self {
            readers,
            lock: None,
            _watched: Some(watched),
        })
    }
}

/// The text of a query that reads these columns of a table.
pub(super) fn select(table: &Name, columns: &[&String], only: &str) -> String {
    format!(
        "SELECT {} FROM {only}{}",
        list(columns.iter().copied()),
        table.sql()
    )
}

/// Does `count` tasks on as many threads as there are connections; the first error stops the others.
pub(super) fn share_out<C: Send, T: Send>(
    connections: &mut [C],
    count: usize,
    work: impl Fn(&mut C, usize, &AtomicBool) -> Result<T, CopyError> + Sync,
) -> Result<Vec<T>, CopyError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    let failed = Mutex::new(None);
    let run = |connection: &mut C| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= count || stop.load(Ordering::Relaxed) {
                return;
            }
            match work(connection, task, &stop) {
                Ok(result) => lock(&done).push((task, result)),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    lock(&failed).get_or_insert(error);
                    return;
                }
            }
        }
    };
    if let [only] = connections {
        run(only);
    } else {
        std::thread::scope(|scope| {
            for connection in connections {
                scope.spawn(|| run(connection));
            }
        });
    }
    if let Some(error) = lock(&failed).take() {
        return Err(error);
    }
    let mut done = std::mem::take(&mut *lock(&done));
    done.sort_unstable_by_key(|(task, _)| *task);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
