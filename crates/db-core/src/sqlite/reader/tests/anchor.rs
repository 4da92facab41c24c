//! The anchor: never a stale read, never a log that cannot shrink.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::support::{Fixture, checkpoint, count, until};
use crate::sqlite::writer::SnapshotHolder;
use crate::{Access, Connection};

/// Reads of one thread after which the anchor holds something.
const ENOUGH_READS: usize = 20;

#[test]
fn what_was_acknowledged_is_read_by_every_thread() {
    const CHECKS: u64 = 120_000;
    let it = Fixture::with(|options| options.checkpoint_pages = 200);
    let acknowledged = AtomicI64::new(0);
    let checks = AtomicU64::new(0);
    let moved = AtomicBool::new(false);
    let done = || checks.load(Ordering::Relaxed) >= CHECKS;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done() {
                    let id = it.insert(1);
                    acknowledged.fetch_max(id, Ordering::SeqCst);
                    assert!(it.newest() >= id);
                }
            });
        }
        for _ in 0..6 {
            scope.spawn(|| {
                while !done() {
                    for _ in 0..50 {
                        let least = acknowledged.load(Ordering::SeqCst);
                        assert!(it.newest() >= least);
                    }
                    checks.fetch_add(50, Ordering::Relaxed);
                    moved.fetch_or(it.anchor().is_held(), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(moved.into_inner(), "the anchor took no part");
}

#[test]
fn another_processs_commit_is_seen_under_the_anchor() {
    let it = Fixture::new();
    for round in 1..=5 {
        until("the anchor holds", || {
            it.count();
            it.anchor().is_held()
        });
        assert!(it.process("insert once").finish().success());
        assert_eq!(it.count(), round);
    }
}

#[test]
fn an_idle_anchor_lets_go_by_itself() {
    let it = Fixture::new();
    it.insert(1);
    until("the anchor holds", || {
        it.count();
        it.anchor().is_held()
    });
    it.insert(2);
    until("nobody reads, and it lets go", || !it.anchor().is_held());
    assert!(it.process("truncate the log").finish().success());
    assert_eq!(it.wal_bytes(), 0);
}

#[test]
fn the_writers_checkpoints_complete_under_continuous_reads() {
    const PAGES: u32 = 300;
    const ROWS: i64 = 6_000;
    let it = Fixture::with(|options| options.checkpoint_pages = PAGES);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    it.count();
                }
            });
        }
        let mut most = 0;
        let mut anchored = false;
        let mut rows = 0;
        // It may stay away for a second, where a commit takes so long that it looks like another
        // process's.
        until("the anchor takes part in many writes", || {
            it.insert(rows);
            rows += 1;
            anchored |= it.anchor().is_held();
            most = most.max(it.wal_bytes());
            anchored && rows >= ROWS
        });
        stop.store(true, Ordering::Relaxed);
        // Some checkpoints meet a reader and have to be made again, more of them where threads wait
        // for a processor. Held up all the time, the log would have two pages per row.
        let held_up = 2 * 4_120 * u64::try_from(rows).unwrap();
        assert!(most < held_up / 2, "{most} of {held_up} bytes");
        assert_eq!(it.count(), rows);
    });
}

#[test]
fn another_process_that_writes_can_start_its_log_over() {
    const ROWS: i64 = 12_000;
    let it = Fixture::new();
    let mut other = it.process("insert and checkpoint until told");
    let mut most = 0;
    until("the other process has written much", || {
        for _ in 0..200 {
            it.count();
        }
        most = most.max(it.wal_bytes());
        assert!(other.is_running());
        it.count() >= ROWS
    });
    assert!(other.finish().success());
    // It checkpoints every 200 pages. Held up all the time, the log would have two pages per row.
    let held_up = 2 * 4_120 * u64::try_from(ROWS).unwrap();
    assert!(most < held_up / 3, "{most} of {held_up} bytes");
}

#[test]
fn between_release_and_advance_nothing_is_held() {
    let it = Fixture::new();
    it.insert(1);
    let anchor = it.anchor();
    anchor.release();
    for _ in 0..ENOUGH_READS {
        it.count();
        assert!(!anchor.is_held());
    }
    let mut other = Connection::open_beside(&it.url(), Access::ReadWrite);
    assert_eq!(checkpoint(&mut other.conn(), "TRUNCATE").busy, 0);
    anchor.advance();
    until("it holds again", || {
        it.count();
        anchor.is_held()
    });
    assert_eq!(it.read(count).unwrap(), 1);
}
