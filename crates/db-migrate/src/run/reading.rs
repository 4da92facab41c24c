//! When a run reads the schema, and what it stores of it.
//!
//! SQLite's catalog is followed for microseconds per migration, so it is stored after each. Reading
//! PostgreSQL's takes longer than a small migration does, so it is read after a migration when that
//! costs at most a fiftieth of the time since the last reading, and always when a run ends, also when it
//! ends with an error (docs/adr/0016). In between the stamp is taken away: a run that is killed there
//! leaves a schema that is not known, never one that is wrongly called drift.

use std::time::{Duration, Instant};

use db_core::{Conn, Engine};

use super::{Runner, within};
use crate::catalog::Delta;
use crate::error::{Error, in_database};
use crate::ledger::Stamp;

/// What part of a run's time reading the schema may take between its migrations: one in so many.
const SHARE: u32 = 50;

/// What a reading is taken to cost at least: a run's first one often sees an empty schema, and says little of
/// what the next will cost. So half a second passes between two readings.
const LEAST: Duration = Duration::from_millis(10);

/// What is known of the readings of this run.
#[derive(Debug)]
pub(crate) struct Reading {
    cost: Duration,
    last: Instant,
    /// Whether the migration at hand is the last of its run.
    pub(super) is_last: bool,
    /// Whether migrations were recorded since the last reading.
    is_stale: bool,
    /// Whether those took the stamp away for good: to look for it again at each of them cost
    /// PostgreSQL 25 µs, a sixth of all that is written for one.
    pub(super) stamp_is_gone: bool,
}

impl Reading {
    /// After the reading with which a run begins, which took this long.
    pub(crate) fn after(cost: Duration) -> Self {
        Self {
            cost,
            last: Instant::now(),
            is_last: false,
            is_stale: false,
            stamp_is_gone: false,
        }
    }

    /// After a migration whose transaction is committed, or goes on for the next one.
    pub(super) const fn recorded(&mut self) {
        self.stamp_is_gone = self.is_stale;
    }

    /// Whether the schema is read after the migration at hand; if not, it is stale from here on.
    pub(super) fn is_due(&mut self, engine: Engine) -> bool {
        let due = match engine {
            Engine::Sqlite => true,
            Engine::Postgres => {
                self.is_last || { self.last.elapsed() >= self.cost.max(LEAST) * SHARE }
            }
        };
        self.is_stale = !due;
        due
    }
}

impl Runner<'_, '_> {
    /// What changed since the last reading.
    pub(super) fn read_schema(&mut self, conn: &mut Conn<'_>) -> Result<Delta, Error> {
        let started = Instant::now();
        let delta = self
            .tracker
            .refresh(conn)
            .map_err(in_database(conn.engine(), "reading the schema"))?;
        self.reading.cost = started.elapsed();
        self.reading.last = Instant::now();
        self.reading.is_stale = false;
        Ok(delta)
    }

    pub(super) fn stamp_of(&self, delta: &Delta, taken_at: &str) -> Stamp {
        Stamp {
            last_sequence: self.sequence,
            fingerprint: delta.strict_fingerprint.clone(),
            loose_fingerprint: delta.loose_fingerprint.clone(),
            server: self.session.server().to_owned(),
            taken_at: taken_at.to_owned(),
            seal: None,
        }
    }

    /// Stores the schema where a run ends before its last migration. What stopped the run is the
    /// error to report: if this fails too, the schema is not known until the next run.
    pub(super) fn store_schema_early(&mut self, conn: &mut Conn<'_>) {
        if self.rehearse || !self.reading.is_stale {
            return;
        }
        let stored = within(conn, |conn| {
            self.start_tracker(conn)?;
            let catalog = self.tracker.catalog();
            let at = self.context.now();
            let server = self.session.server().to_owned();
            let stamp = crate::drift::stamp_of(&catalog, self.sequence - 1, server, at);
            self.context.ledger.stamp_whole(conn, &catalog, &stamp)?;
            self.context.ledger.put_seal(conn, None)
        });
        if let Err(e) = stored {
            tracing::warn!(error = %e, "the schema could not be stored after the failure");
        }
    }
}
