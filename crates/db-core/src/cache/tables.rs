//! When each table was changed last, counted in committed changes and not in seconds.
//!
//! A cached value carries the count at which the snapshot that it was computed from began. It
//! holds as long as none of its tables was changed at a later count. So nothing has to be found
//! and removed when a write commits, and a value that a slow reader stores after the commit, from
//! a snapshot before it, is never handed out.
//!
//! The order that this rests on: a writer commits, *then* counts, *then* marks the tables, and only
//! then answers its caller. A reader takes the count first and begins its snapshot afterwards. So a
//! snapshot with a count of at least `n` holds every commit that was counted up to `n`; one that
//! began in between is taken for older than it is, and at worst computed again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::sync::{AtomicBool, AtomicU64, Ordering, RwLock};

/// The count at which a table was changed last.
pub(super) type LastChange = Arc<AtomicU64>;

/// Counts the committed changes of one database and remembers the last one of each table.
pub(crate) struct TableClock {
    now: AtomicU64,
    /// Whether any cache reads this; without one, writers do not count.
    watched: AtomicBool,
    /// The last change that may have touched any table.
    everything: LastChange,
    tables: RwLock<HashMap<Box<str>, LastChange>>,
}

/// What a committed transaction changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Changed<'t> {
    /// Not known: it may have been anything.
    Everything,
    /// These tables, named as in SQL, without a schema.
    Tables(&'t [&'t str]),
}

/// The tables that a cached value was computed from.
#[derive(Clone)]
pub(super) struct Sources(Arc<[LastChange]>);

impl TableClock {
    pub(crate) fn new() -> Self {
        Self {
            now: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            everything: Arc::new(AtomicU64::new(0)),
            tables: RwLock::new(HashMap::new()),
        }
    }

    /// Makes writers count from now on.
    ///
    /// It counts once itself: a commit that found nobody watching is then older than every table,
    /// for a snapshot that began before it as well.
    pub(crate) fn watch(&self) {
        if !self.watched.swap(true, Ordering::SeqCst) {
            self.now.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether anyone wants to know of changes.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    /// The count to take before a snapshot begins.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Notes a change, after its commit and before its caller is answered.
    pub(crate) fn changed(&self, changed: Changed<'_>) {
        if !self.is_watched() {
            return;
        }
        let at = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        match changed {
            Changed::Everything => {
                self.everything.fetch_max(at, Ordering::SeqCst);
            }
            Changed::Tables(names) => {
                let known = self.tables.read().unwrap_or_else(PoisonError::into_inner);
                // A table without an entry is in no cached value.
                for last in names.iter().filter_map(|name| known.get(&*folded(name))) {
                    last.fetch_max(at, Ordering::SeqCst);
                }
            }
        }
    }

    /// The tables of a value about to be computed. Call it before the snapshot's count is taken,
    /// or compare with a count that was taken earlier.
    pub(super) fn sources(&self, names: &[&str]) -> Sources {
        let mut sources = Vec::with_capacity(names.len() + 1);
        sources.push(Arc::clone(&self.everything));
        for name in names {
            sources.push(self.last_change(&folded(name)));
        }
        Sources(sources.into())
    }

    fn last_change(&self, name: &str) -> LastChange {
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = known.get(name) {
            return Arc::clone(last);
        }
        drop(known);
        let mut known = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        // A new table counts as changed now: nobody noted its changes so far.
        let last = known
            .entry(name.into())
            .or_insert_with(|| Arc::new(AtomicU64::new(self.now())));
        Arc::clone(last)
    }
}

impl Sources {
    /// The count of the newest change of any of them.
    pub(super) fn last_change(&self) -> u64 {
        self.0
            .iter()
            .map(|last| last.load(Ordering::SeqCst))
            .max()
            .unwrap_or_default()
    }
}

/// SQLite compares names without regard to case, PostgreSQL folds those without quotes.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}
