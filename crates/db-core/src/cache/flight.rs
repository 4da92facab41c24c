//! One computation for all who wait for the same key.
//!
//! A caller joins a computation only if its snapshot is recent enough for this caller: one that
//! began before a change which the caller may have made itself would hand it the past. A
//! computation that fails or panics hands out nothing; those who waited then compute each for
//! itself, all at once, because one after the other the last would wait for every failure before it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use super::sync::{Condvar, Mutex};

/// The computations that are running, by key.
pub(super) struct Flights<K, V> {
    running: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// One running computation.
pub(super) struct Flight<V> {
    /// The count of changes before its snapshot began.
    as_of: u64,
    outcome: Mutex<Outcome<V>>,
    landed: Condvar,
}

enum Outcome<V> {
    Running,
    Value(V),
    Failed,
}

/// What to do about a key.
pub(super) enum Turn<'f, K: Hash + Eq + Clone, V: Clone> {
    /// Compute it, and tell the others.
    Lead(Lead<'f, K, V>),
    /// Somebody computes it.
    Follow(Arc<Flight<V>>),
}

/// The duty to compute. Dropped without a value, by an error or a panic, it wakes the others.
pub(super) struct Lead<'f, K: Hash + Eq + Clone, V: Clone> {
    flights: &'f Flights<K, V>,
    key: K,
    flight: Arc<Flight<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self {
            running: Mutex::new(HashMap::new()),
        }
    }

    /// Follows a computation whose snapshot is at least as recent as `needed`, or leads a new one.
    ///
    /// `now` gives the count of changes; it is taken before the computation begins.
    pub(super) fn take_turn(
        &self,
        key: &K,
        needed: u64,
        now: impl FnOnce() -> u64,
    ) -> Turn<'_, K, V> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = running.get(key).filter(|flight| flight.as_of >= needed) {
            return Turn::Follow(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            as_of: now(),
            outcome: Mutex::new(Outcome::Running),
            landed: Condvar::new(),
        });
        // An older one flies on for those who wait for it, and no one joins it any more.
        running.insert(key.clone(), Arc::clone(&flight));
        Turn::Lead(Lead {
            flights: self,
            key: key.clone(),
            flight,
        })
    }
}

impl<V: Clone> Flight<V> {
    /// Waits for the value; `None` if there will be none.
    pub(super) fn wait(&self) -> Option<V> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*outcome {
                Outcome::Value(value) => return Some(value.clone()),
                Outcome::Failed => return None,
                Outcome::Running => {}
            }
            outcome = self
                .landed
                .wait(outcome)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn land(&self, outcome: Outcome<V>) {
        let mut state = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, Outcome::Running) {
            *state = outcome;
            drop(state);
            self.landed.notify_all();
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Lead<'_, K, V> {
    /// The count of changes that the computation may rely on having seen.
    pub(super) fn as_of(&self) -> u64 {
        self.flight.as_of
    }

    /// Hands the value to all who wait.
    pub(super) fn land(self, value: V) {
        self.flight.land(Outcome::Value(value));
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        // Out of the map first, so that nobody follows a flight that has ended badly.
        let running = self.flights.running.lock();
        let mut running = running.unwrap_or_else(PoisonError::into_inner);
        if running
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            running.remove(&self.key);
        }
        drop(running);
        self.flight.land(Outcome::Failed);
    }
}
