//! When the write-ahead log goes back into the database file, and how hard to try.
//!
//! SQLite would do it inside COMMIT, where somebody waits. Here it is begun after the callers have
//! been answered, PASSIVE, so that neither readers nor writers of other processes wait, and most of
//! it is done beside the writes (see `checkpointer`). A log that
//! was read back in full is overwritten from its start; it is never truncated in running, because
//! a growing log costs three times as much per fsync as one that is overwritten.

use std::time::{Duration, Instant};

use diesel::sql_types::Integer;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::backend::Chores;
use crate::Engine;
use crate::error::Error;

/// A log of so many times the usual size has overlapping readers that never let it start anew.
/// From here on a checkpoint waits for them.
const OVERGROWN: u32 = 2;

/// How long it waits at that size; all writers wait with it. Eight times as long for each doubling
/// of the log beyond: a wait shorter than the reads never ends well, and the log would grow for as
/// long as they overlap.
const RESTART_PATIENCE: Duration = Duration::from_millis(20);

/// The longest such wait. Reads that last longer are reported to the application, and hold up the
/// log.
const MOST_RESTART_PATIENCE: Duration = Duration::from_secs(1);

/// How hard a checkpoint tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Whatever nobody is using.
    Passive,
    /// Waits for readers, so that the log starts anew.
    Restart,
    /// As that, and empties the file.
    Truncate,
}

impl Effort {
    const fn sql(self) -> &'static str {
        match self {
            Self::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Self::Restart => "PRAGMA wal_checkpoint(RESTART)",
            Self::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        }
    }
}

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(super) struct Checkpointed {
    /// Not 0 if a reader, a writer or another checkpoint stood in the way.
    #[diesel(sql_type = Integer)]
    pub(super) busy: i32,
    /// Pages in the log, -1 without one.
    #[diesel(sql_type = Integer)]
    pub(super) log: i32,
    /// Pages of it that are in the database file now.
    #[diesel(sql_type = Integer)]
    pub(super) checkpointed: i32,
}

/// Runs a checkpoint.
pub(super) fn run(conn: &mut SqliteConnection, effort: Effort) -> Result<Checkpointed, Error> {
    sql_query(effort.sql())
        .get_result(conn)
        .map_err(|e| Error::classify(Engine::Sqlite, &e))
}

/// Decides when the next one is due.
#[derive(Debug)]
pub(super) struct Schedule {
    /// None where time does not count.
    interval: Option<Duration>,
    pages: u32,
    /// Pages of the log that need no checkpoint, as far as is known.
    settled: u32,
    /// When the oldest commit that is not settled was made.
    dirty_since: Option<Instant>,
}

impl Schedule {
    pub(super) const fn new(interval: Option<Duration>, pages: u32) -> Self {
        Self {
            interval,
            pages,
            settled: 0,
            dirty_since: None,
        }
    }

    /// After a COMMIT, with the size of the log.
    pub(super) fn committed(&mut self, log: u32) {
        if log < self.settled {
            // It has begun anew.
            self.settled = 0;
        }
        if log > self.settled && self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
    }

    /// When a checkpoint is due for a log of this size.
    pub(super) fn due(&self, log: u32) -> Chores {
        match self.dirty_since {
            None => Chores::None,
            Some(_) if log.saturating_sub(self.settled) >= self.pages => Chores::Now,
            Some(since) => self
                .interval
                .map_or(Chores::None, |interval| Chores::At(since + interval)),
        }
    }

    /// How hard to try with a log of this size.
    pub(super) const fn effort(&self, log: u32) -> Effort {
        if log > self.pages.saturating_mul(OVERGROWN) {
            Effort::Restart
        } else {
            Effort::Passive
        }
    }

    /// How long a checkpoint of an overgrown log waits for each lock that readers hold.
    pub(super) fn restart_patience(&self, log: u32) -> Duration {
        let overgrown = self.pages.saturating_mul(OVERGROWN).max(1);
        let doublings = (log / overgrown).max(1).ilog2();
        RESTART_PATIENCE
            .saturating_mul(8_u32.saturating_pow(doublings))
            .min(MOST_RESTART_PATIENCE)
    }

    /// Another process is at it: to be tried again after a quarter of the pages, unless the log has begun
    /// anew by then, or after the interval.
    pub(super) fn postpone(&mut self, log: u32) {
        let quarter = self.pages.div_ceil(4);
        self.settled = log.saturating_sub(self.pages - quarter);
        self.dirty_since = Some(Instant::now());
    }

    /// After a checkpoint, whatever it came to: the next one waits for further pages or for the
    /// interval, so that one that fails is not tried after every commit.
    pub(super) fn done(&mut self, log: u32, complete: bool) {
        self.settled = log;
        self.dirty_since = (!complete).then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn it_is_due_by_pages_and_by_time() {
        let mut schedule = Schedule::new(Some(HOUR), 1_000);
        assert_eq!(schedule.due(0), Chores::None);
        schedule.committed(10);
        assert!(matches!(schedule.due(10), Chores::At(_)));
        schedule.committed(1_000);
        assert_eq!(schedule.due(1_000), Chores::Now);
        schedule.done(1_000, true);
        assert_eq!(schedule.due(1_000), Chores::None);

        let mut at_once = Schedule::new(Some(Duration::ZERO), 1_000);
        at_once.committed(1);
        let Chores::At(time) = at_once.due(1) else {
            panic!("not planned");
        };
        assert!(time <= Instant::now());
    }

    #[test]
    fn pages_count_from_the_last_checkpoint_or_from_a_new_log() {
        let mut schedule = Schedule::new(Some(HOUR), 1_000);
        schedule.committed(1_500);
        schedule.done(1_500, true);
        // A reader kept the log from starting anew.
        schedule.committed(2_400);
        assert!(matches!(schedule.due(2_400), Chores::At(_)));
        schedule.committed(2_500);
        assert_eq!(schedule.due(2_500), Chores::Now);
        schedule.done(2_500, true);
        schedule.committed(3);
        assert!(matches!(schedule.due(3), Chores::At(_)));
        assert_eq!(schedule.due(1_003), Chores::Now);
    }

    #[test]
    fn a_failed_checkpoint_is_tried_again_later() {
        let mut schedule = Schedule::new(Some(HOUR), 1_000);
        schedule.committed(1_000);
        schedule.done(1_000, false);
        assert!(matches!(schedule.due(1_000), Chores::At(_)));
        assert_eq!(schedule.effort(1_000), Effort::Passive);
        assert_eq!(schedule.effort(2_001), Effort::Restart);
    }

    #[test]
    fn what_another_process_does_is_looked_at_again_soon() {
        for (pages, quarter) in [(1_000, 250), (1, 1)] {
            let mut schedule = Schedule::new(Some(HOUR), pages);
            schedule.committed(2_000);
            schedule.postpone(2_000);
            assert!(matches!(schedule.due(1_999 + quarter), Chores::At(_)));
            assert_eq!(schedule.due(2_000 + quarter), Chores::Now);
            // It has begun anew.
            schedule.committed(0);
            assert!(matches!(schedule.due(pages - 1), Chores::At(_)));
            assert_eq!(schedule.due(pages), Chores::Now);
        }
    }

    #[test]
    fn the_larger_the_log_the_longer_readers_are_waited_for() {
        let schedule = Schedule::new(None, 1_000);
        for (log, millis) in [
            (2_001, 20),
            (3_999, 20),
            (4_000, 160),
            (8_000, 1_000),
            (u32::MAX, 1_000),
        ] {
            let patience = Duration::from_millis(millis);
            assert_eq!(schedule.restart_patience(log), patience, "{log} pages");
        }
        let largest = Schedule::new(None, u32::MAX);
        assert_eq!(largest.restart_patience(u32::MAX), RESTART_PATIENCE);
    }
}
