//! The values of a cache, bounded in size by `quick_cache` and in time here.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::lookup::{Kept, Store};

/// Where the present moment comes from: a parameter, for tests.
pub(crate) type Time = Box<dyn Fn() -> Instant + Send + Sync>;

/// What a value weighs; without it, one.
pub(super) type Weight<K, V> = Option<Arc<dyn Fn(&K, &V) -> u64 + Send + Sync>>;

/// What a value is taken to weigh where only the sum is bounded. It sizes the first allocation and
/// the number of shards.
const EXPECTED_WEIGHT: u64 = 256;

pub(super) struct Bounded<K, V> {
    values: Cache<K, Timed<V>, Scale<K, V>>,
    time_to_live: Duration,
    time: Time,
}

#[derive(Clone)]
struct Timed<V> {
    kept: Kept<V>,
    since: Instant,
}

struct Scale<K, V>(Weight<K, V>);

impl<K: Hash + Eq, V: Clone> Bounded<K, V> {
    pub(super) fn new(
        capacity: u64,
        time_to_live: Duration,
        weight: Weight<K, V>,
        time: Time,
    ) -> Self {
        let entries = if weight.is_some() {
            capacity / EXPECTED_WEIGHT
        } else {
            capacity
        };
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        Self {
            values: Cache::with_weighter(entries, capacity, Scale(weight)),
            time_to_live,
            time,
        }
    }

    pub(super) fn remove(&self, key: &K) {
        self.values.remove(key);
    }

    pub(super) fn clear(&self) {
        self.values.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

impl<K: Hash + Eq, V: Clone> Store<K, V> for Bounded<K, V> {
    type Moment = Instant;

    fn moment(&self) -> Instant {
        (self.time)()
    }

    fn find(&self, key: &K) -> Option<Kept<V>> {
        let Timed { kept, since } = self.values.get(key)?;
        let age = self.moment().saturating_duration_since(since);
        (age < self.time_to_live).then_some(kept)
    }

    fn keep(&self, key: K, kept: Kept<V>, since: Instant) {
        self.values.insert(key, Timed { kept, since });
    }
}

impl<K, V> Clone for Scale<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Weighter<K, Timed<V>> for Scale<K, V> {
    fn weight(&self, key: &K, timed: &Timed<V>) -> u64 {
        match &self.0 {
            None => 1,
            // A weight of nothing would exempt the value from being displaced.
            Some(weight) => weight(key, &timed.kept.value).max(1),
        }
    }
}
