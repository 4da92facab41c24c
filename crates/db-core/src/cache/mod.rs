//! A cache of query results in this process, kept true by the tables that writes touch.
//!
//! Why it is built this way, and on which crate: docs/adr/0026.

mod bounded;
mod flight;
mod lookup;
mod sync;
mod tables;

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::nesting;
use bounded::{Bounded, Time, Weight};
use flight::Flights;
use lookup::Lookup;

pub(crate) use lookup::{Standing, Way};
pub(crate) use tables::{Changed, TableClock};

/// Results of queries by key, bounded in size and time.
///
/// A value is handed out as long as its time lasts and no write through the same
/// [`Database`](crate::Database) has touched one of its tables. After `write` has returned, no
/// caller gets a value from before it, whatever was being computed meanwhile.
///
/// - Callers that ask for the same key at once wait for one computation. Errors are not kept: if it
///   fails or panics, those who waited compute for themselves.
/// - Inside a `read`, values fit that read's snapshot, and nobody waits: it is computed here and
///   now. Inside a `write`, which sees what may yet be rolled back, nothing is taken or kept.
/// - Writes of other processes, and of connections beside this `Database`, are noticed on SQLite by
///   the next write through it; on PostgreSQL they are not. The time bounds how long they go
///   unseen, or [`Database::note_changes`](crate::Database::note_changes) tells of them.
/// - Tables are named as in SQL, without a schema and without regard to case: the tables that hold
///   the rows or those whose partitions hold them, not a view over them, and for a virtual table
///   those in its shadow.
///
/// A value is cloned for each caller, so wrap what is large in an [`Arc`]. The same key must always
/// come with the same tables.
///
/// Clones share everything.
pub struct QueryCache<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    lookup: Lookup<K, V, Bounded<K, V>>,
    counts: [AtomicU64; 4],
    on_way: Box<dyn Fn(Way) + Send + Sync>,
}

/// How much a [`QueryCache`] keeps, and for how long.
pub struct CacheOptions<K, V> {
    capacity: u64,
    time_to_live: Duration,
    weight: Weight<K, V>,
}

/// What a cache has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Values that were kept.
    pub hits: u64,
    /// Values that were computed and kept.
    pub misses: u64,
    /// Values that another caller computed meanwhile.
    pub shared: u64,
    /// Values that were computed for one caller alone.
    pub bypasses: u64,
}

impl<K, V> CacheOptions<K, V> {
    /// At most `entries` values, each for at most `time_to_live`.
    ///
    /// Which values go when there are too many is decided by how often they are asked for.
    #[must_use]
    pub const fn new(entries: u64, time_to_live: Duration) -> Self {
        Self {
            capacity: entries,
            time_to_live,
            weight: None,
        }
    }

    /// Bounds the sum of `weight`, in bytes for example, by `capacity`, instead of the number of
    /// values. A value that is heavier than its share of the cache is not kept.
    #[must_use]
    pub fn weighed(
        mut self,
        capacity: u64,
        weight: impl Fn(&K, &V) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.capacity = capacity;
        self.weight = Some(Arc::new(weight));
        self
    }
}

impl<K, V> QueryCache<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// A cache over the tables of `clock`, which from now on counts their changes.
    pub(crate) fn new(
        clock: Arc<TableClock>,
        options: CacheOptions<K, V>,
        time: Time,
        on_way: impl Fn(Way) + Send + Sync + 'static,
    ) -> Self {
        clock.watch();
        Self {
            shared: Arc::new(Shared {
                lookup: Lookup {
                    clock,
                    flights: Flights::new(),
                    store: Bounded::new(
                        options.capacity,
                        options.time_to_live,
                        options.weight,
                        time,
                    ),
                },
                counts: Default::default(),
                on_way: Box::new(on_way),
            }),
        }
    }

    /// The value of `key`: kept, or computed by `compute` from `tables`.
    ///
    /// `compute` begins its own read, so that its snapshot is new enough; on a replica, whatever
    /// freshness that asks for, it holds the writes of this process:
    ///
    /// ```
    /// use std::time::Duration;
    /// use db_core::{CacheOptions, Database, DatabaseConfig, Error};
    /// use diesel::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> {
    /// let database = Database::open(&DatabaseConfig::new("sqlite::memory:"))?;
    /// database.write(|conn| Ok::<_, Error>(conn.batch_execute("CREATE TABLE dice (face INTEGER)")?))?;
    /// let counts = database.query_cache(CacheOptions::new(1_000, Duration::from_mins(1)));
    ///
    /// let count = || counts.get_or_compute("dice", &["dice"], || {
    ///     database.read(|conn| {
    ///         let rows = diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM dice");
    ///         Ok::<i64, Error>(db_core::with_conn!(conn, |c| rows.get_result(c))?)
    ///     })
    /// });
    /// assert_eq!(count()?, 0);
    /// database.write(|conn| Ok::<_, Error>(conn.batch_execute("INSERT INTO dice VALUES (6)")?))?;
    /// assert_eq!(count()?, 1);
    /// assert_eq!(count()?, 1);
    /// assert_eq!(counts.counts().hits, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `compute` returns; it is not kept.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a key is made for the call; most are numbers"
    )]
    pub fn get_or_compute<E>(
        &self,
        key: K,
        tables: &[&str],
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let lookup = &self.shared.lookup;
        let standing = nesting::standing(&lookup.clock);
        let (value, way) = lookup.get_or_compute(&key, tables, standing, || {
            let _inside = nesting::enter_computation();
            compute()
        })?;
        self.shared.note(way);
        Ok(value)
    }

    /// The value that is kept for `key`. It never waits, so that async code may ask here first.
    #[must_use]
    pub fn find(&self, key: &K) -> Option<V> {
        let lookup = &self.shared.lookup;
        let value = lookup.find(key, nesting::standing(&lookup.clock))?;
        self.shared.note(Way::Hit);
        Some(value)
    }

    /// Forgets the value of `key`. One that is being computed is kept when it is ready.
    pub fn remove(&self, key: &K) {
        self.shared.lookup.store.remove(key);
    }

    /// Forgets all values.
    pub fn clear(&self) {
        self.shared.lookup.store.clear();
    }

    /// How many values are kept, with those that are outdated and not yet displaced.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lookup.store.len()
    }

    /// Whether no value is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let [hits, misses, shared, bypasses] = &self.shared.counts;
        CacheCounts {
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
            shared: shared.load(Ordering::Relaxed),
            bypasses: bypasses.load(Ordering::Relaxed),
        }
    }
}

impl<K, V> Shared<K, V> {
    fn note(&self, way: Way) {
        let [hits, misses, shared, bypasses] = &self.counts;
        let count = match way {
            Way::Hit => hits,
            Way::Miss => misses,
            Way::Shared => shared,
            Way::Bypass => bypasses,
        };
        count.fetch_add(1, Ordering::Relaxed);
        (self.on_way)(way);
    }
}

impl<K, V> Clone for QueryCache<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Shows no key and no value, which are somebody's data.
impl<K, V> fmt::Debug for QueryCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryCache").finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for CacheOptions<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions")
            .field("capacity", &self.capacity)
            .field("time_to_live", &self.time_to_live)
            .field("weighed", &self.weight.is_some())
            .finish()
    }
}
