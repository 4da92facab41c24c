//! Faults of the data that somebody has decided to live with: a database that breaks its own rules can
//! be backed up all the same, and the backup says so.

use std::sync::{Arc, Mutex, PoisonError};

use crate::invariant::{Invariant, Observation};
use crate::manifest::clean;

/// So many are written down; the rest adds nothing.
const MOST: usize = 100;

/// What was found and is borne with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tolerated(Arc<Mutex<Vec<String>>>);

impl Tolerated {
    pub(crate) fn note(&self, found: impl IntoIterator<Item = String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(all.len());
        all.extend(found.into_iter().take(room).map(|finding| clean(&finding)));
    }

    /// All of it.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same invariants, whose findings are noted and keep nobody from going on.
    pub(crate) fn invariants(&self, strict: &[Invariant]) -> Vec<Invariant> {
        strict
            .iter()
            .map(|invariant| {
                let (noted, strict) = (self.clone(), invariant.clone());
                Invariant::where_possible(invariant.name(), move |conn| {
                    let mut seen = strict.observe(conn)?;
                    if let Observation::Checked { wrong, .. } = &mut seen {
                        noted.note(strict.named(std::mem::take(wrong)));
                    }
                    Ok(seen)
                })
            })
            .collect()
    }
}
