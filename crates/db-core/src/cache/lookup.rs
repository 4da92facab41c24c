//! The way from a key to a value: what is kept, what somebody else is computing, or a computation.
//!
//! Apart from where values are kept and how time passes, so that `tests/model` can run every
//! interleaving of it.

use std::hash::Hash;
use std::sync::Arc;

use super::flight::{Flights, Turn};
use super::tables::{Sources, TableClock};

/// Where values are kept, within bounds.
pub(super) trait Store<K, V> {
    /// A point in time.
    type Moment: Copy;
    /// The present.
    fn moment(&self) -> Self::Moment;
    /// The value kept for `key`, unless its time is over.
    fn find(&self, key: &K) -> Option<Kept<V>>;
    /// Keeps it, or not. Its time runs from `since`, before its snapshot began.
    fn keep(&self, key: K, kept: Kept<V>, since: Self::Moment);
}

/// A value, and what it holds for.
#[derive(Clone)]
pub(super) struct Kept<V> {
    pub(super) value: V,
    /// The count of changes before its snapshot began.
    pub(super) as_of: u64,
    pub(super) sources: Sources,
}

/// Where the calling thread stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In nothing: it may wait for others.
    Outside,
    /// In no transaction of this database, but in one of another, or in a computation: others may
    /// be waiting for it, so it must not wait for them.
    Busy,
    /// In a read, whose snapshot began when this many changes were counted, or later.
    Reading(u64),
    /// In a write, which sees what nobody else may see yet.
    Writing,
}

/// How a value was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was kept.
    Hit,
    /// It was computed, and kept.
    Miss,
    /// Somebody else computed it meanwhile.
    Shared,
    /// It was computed for this caller alone.
    Bypass,
}

/// The cache's core.
pub(super) struct Lookup<K, V, S> {
    pub(super) clock: Arc<TableClock>,
    pub(super) flights: Flights<K, V>,
    pub(super) store: S,
}

impl<K: Hash + Eq + Clone, V: Clone, S: Store<K, V>> Lookup<K, V, S> {
    /// The value kept for `key`, if it holds for a caller that stands there.
    pub(super) fn find(&self, key: &K, standing: Standing) -> Option<V> {
        let kept = self.store.find(key)?;
        let changed = kept.sources.last_change();
        let holds = changed <= kept.as_of
            && match standing {
                Standing::Outside | Standing::Busy => true,
                // Where the caller's snapshot lacks a change, it must not see it here either.
                Standing::Reading(as_of) => changed <= as_of,
                Standing::Writing => false,
            };
        holds.then_some(kept.value)
    }

    /// The value of `key`, kept or computed.
    pub(super) fn get_or_compute<E>(
        &self,
        key: &K,
        tables: &[&str],
        standing: Standing,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<(V, Way), E> {
        if let Some(value) = self.find(key, standing) {
            return Ok((value, Way::Hit));
        }
        match standing {
            Standing::Writing => compute().map(|value| (value, Way::Bypass)),
            Standing::Reading(as_of) => {
                let sources = self.clock.sources(tables);
                self.compute_alone(key, sources, as_of, compute)
            }
            Standing::Busy => {
                let sources = self.clock.sources(tables);
                self.compute_alone(key, sources, self.clock.now(), compute)
            }
            Standing::Outside => self.compute_once(key, self.clock.sources(tables), compute),
        }
    }

    /// Computes without waiting for anyone: who waits while holding a connection may hold the
    /// very connection that the other needs.
    fn compute_alone<E>(
        &self,
        key: &K,
        sources: Sources,
        as_of: u64,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<(V, Way), E> {
        let since = self.store.moment();
        let value = compute()?;
        Ok(if self.keep(key, &value, (as_of, since), sources) {
            (value, Way::Miss)
        } else {
            (value, Way::Bypass)
        })
    }

    fn compute_once<E>(
        &self,
        key: &K,
        sources: Sources,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<(V, Way), E> {
        // What this caller may know of: its own last write, above all.
        let needed = sources.last_change();
        match self.flights.take_turn(key, needed, || self.clock.now()) {
            Turn::Follow(flight) => {
                if let Some(value) = flight.wait() {
                    return Ok((value, Way::Shared));
                }
                let as_of = self.clock.now();
                self.compute_alone(key, sources, as_of, compute)
            }
            Turn::Lead(lead) => {
                // The one who led before may have landed since this caller looked. A value from
                // before this flight holds for this caller, but not for everyone who joined it: a
                // change may be counted already and its tables not marked yet.
                if let Some(kept) = self.store.find(key).filter(|k| k.as_of >= lead.as_of()) {
                    lead.land(kept.value.clone());
                    return Ok((kept.value, Way::Hit));
                }
                let since = self.store.moment();
                let value = compute()?;
                self.keep(key, &value, (lead.as_of(), since), sources);
                lead.land(value.clone());
                Ok((value, Way::Miss))
            }
        }
    }

    /// Keeps a value unless it is known to be of the past already.
    fn keep(&self, key: &K, value: &V, (as_of, since): (u64, S::Moment), sources: Sources) -> bool {
        let holds = sources.last_change() <= as_of;
        if holds {
            let kept = Kept {
                value: value.clone(),
                as_of,
                sources,
            };
            self.store.keep(key.clone(), kept, since);
        }
        holds
    }
}
