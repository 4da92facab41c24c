//! A SQLite database as one thing: readers, the writer, and the end of both.

use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, SqliteConnection};

use crate::error::{Error, ErrorKind};
use crate::{Access, Conn, DatabaseUrl, Engine, Interrupt};

use super::damage::Damage;
use super::nesting::{self, Use};
use super::options::SqliteOptions;
use super::reader::{Anchor, Limits, ReaderStats, Readers, Source};
use super::snapshot::SnapshotHolder;
use super::{file, open};

/// An open SQLite database.
pub(crate) struct SqliteDatabase {
    id: u64,
    damage: Arc<Damage>,
    readers: Readers,
    anchor: Option<Arc<Anchor>>,
    writer: Mutex<Option<SqliteConnection>>,
}

impl SqliteDatabase {
    pub(crate) fn open(options: &SqliteOptions) -> Result<Self, Error> {
        let mut writer = open(&options.url, Access::Create, &Interrupt::default())?;
        writer
            .batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0")
            .map_err(|e| Error::classify(Engine::Sqlite, &e))?;
        let damage = Arc::new(Damage::default());
        let anchor = options.wal.then(|| Arc::new(Anchor::new()));
        let Some(path) = options.url.path() else {
            return Err(Error::new(ErrorKind::Other, "not yet"));
        };
        let source = Source {
            target: file::prepare(path, Access::ReadWrite)?,
            url: options.url.clone(),
            setup: format!(
                "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
                 PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{}; PRAGMA mmap_size = {};
                 PRAGMA query_only = ON",
                options.busy_timeout.as_millis(),
                options.cache_kib,
                options.mmap_bytes
            ),
            damage: Arc::clone(&damage),
        };
        let limits = Limits {
            connections: usize::try_from(options.max_readers).unwrap_or(usize::MAX),
            patience: options.acquire_timeout,
            idle: options.idle_timeout,
            held: options.held_threshold,
        };
        Ok(Self {
            id: nesting::new_id(),
            damage,
            readers: Readers::new(source, limits, anchor.clone())?,
            anchor,
            writer: Mutex::new(Some(writer)),
        })
    }

    #[track_caller]
    pub(crate) fn read<T, E>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        nesting::check(self.id, Use::Read)?;
        let _in_use = nesting::enter(self.id, Use::Read);
        self.readers.read(Location::caller(), f)
    }

    pub(crate) fn write<T, E>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        nesting::check(self.id, Use::Write)?;
        self.damage.check()?;
        let mut writer = self.writer.lock().unwrap();
        let writer = writer.as_mut().ok_or_else(|| Error::new(ErrorKind::Closed, "closed"))?;
        let _in_use = nesting::enter(self.id, Use::Write);
        let value = writer.immediate_transaction(|c| f(&mut Conn::Sqlite(c)).map_err(Wrapped::E)).map_err(|e| match e { Wrapped::E(e) => e, Wrapped::D(d) => E::from(Error::classify(Engine::Sqlite, &d)) })?;
        if let Some(anchor) = &self.anchor {
            anchor.advance();
        }
        Ok(value)
    }

    pub(crate) fn close(&self, patience: Duration) -> Result<(), Error> {
        self.readers.close(patience)?;
        *self.writer.lock().unwrap() = None;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn anchor(&self) -> &Anchor {
        self.anchor.as_deref().unwrap()
    }

    pub(crate) fn reader_stats(&self) -> ReaderStats {
        self.readers.stats()
    }

    #[cfg(test)]
    pub(crate) fn checkpoint(&self) {
        if let Some(a) = &self.anchor { a.release(); }
        self.writer.lock().unwrap().as_mut().unwrap().batch_execute("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        if let Some(a) = &self.anchor { a.advance(); }
    }
    #[cfg(test)]
    pub(crate) fn anchor_off(&self) {
        if let Some(a) = &self.anchor { a.release(); a.advance(); }
    }
}

enum Wrapped<E> { E(E), D(diesel::result::Error) }
impl<E> From<diesel::result::Error> for Wrapped<E> { fn from(e: diesel::result::Error) -> Self { Self::D(e) } }
