//! Permits: never more than there are, none lost, and nobody left waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};

use super::gate::{Gate, Permit};
use crate::{Error, ErrorKind, bounded};

/// What the one permit guards: a count that is wrong as soon as two add to it at once, or one does
/// not see what the one before it did.
struct Guarded {
    count: AtomicU32,
    entries: AtomicU32,
}

impl Guarded {
    fn use_it(&self, _permit: &Permit) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether all who have entered were alone.
    fn is_right(&self) -> bool {
        self.count.load(Ordering::Relaxed) == self.entries.load(Ordering::Relaxed)
    }
}

/// A gate with one permit, and what that guards.
struct Room {
    gate: Gate,
    guarded: Guarded,
}

fn room() -> Arc<Room> {
    Arc::new(Room {
        gate: Gate::new(1, 9),
        guarded: Guarded {
            count: AtomicU32::new(0),
            entries: AtomicU32::new(0),
        },
    })
}

impl Room {
    fn enter(&self, deadline: Instant) -> Result<(), Error> {
        let permit = self.gate.acquire(deadline)?;
        self.guarded.use_it(&permit);
        Ok(())
    }

    /// Nobody is inside or waits, and the permit is there for the next one.
    fn is_as_new(&self) {
        let stats = self.gate.stats();
        assert_eq!((stats.in_use, stats.waiting), (0, 0));
        self.enter(at_once()).unwrap();
        assert!(self.guarded.is_right(), "two inside at once");
    }
}

fn enters(room: &Arc<Room>, deadline: Instant) -> JoinHandle<Result<(), Error>> {
    let room = Arc::clone(room);
    thread::spawn(move || room.enter(deadline))
}

fn late() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

/// The deadline has come as soon as somebody has to wait.
fn at_once() -> Instant {
    Instant::now()
}

fn kind(result: Result<(), Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn one_permit_lets_in_one_at_a_time_and_all_in_the_end() {
    bounded(|| {
        let room = room();
        let others = [enters(&room, late()), enters(&room, late())];
        room.enter(late()).unwrap();
        for other in others {
            other.join().unwrap().unwrap();
        }
        room.is_as_new();
    });
}

#[test]
fn a_permit_that_comes_at_the_deadline_is_not_lost() {
    loom::model(|| {
        let room = room();
        let permit = room.gate.acquire(late()).unwrap();
        let hasty = enters(&room, at_once());
        room.guarded.use_it(&permit);
        drop(permit);
        let hasty = kind(hasty.join().unwrap());
        assert!(
            matches!(hasty, None | Some(ErrorKind::Timeout)),
            "{hasty:?}"
        );
        let timeouts = room.gate.stats().timeouts;
        assert_eq!(timeouts, u64::from(hasty.is_some()));
        room.is_as_new();
    });
}

#[test]
fn who_leaves_the_queue_does_not_keep_the_next_one_waiting() {
    bounded(|| {
        let room = room();
        let permit = room.gate.acquire(late()).unwrap();
        let hasty = enters(&room, at_once());
        let patient = enters(&room, late());
        room.guarded.use_it(&permit);
        drop(permit);
        patient.join().unwrap().unwrap();
        let hasty = kind(hasty.join().unwrap());
        assert!(
            matches!(hasty, None | Some(ErrorKind::Timeout)),
            "{hasty:?}"
        );
        room.is_as_new();
    });
}

#[test]
fn a_gate_that_closes_answers_everybody() {
    bounded(|| {
        let room = room();
        let permit = room.gate.acquire(late()).unwrap();
        let patient = enters(&room, late());
        let closing = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                room.gate.close();
                assert!(room.gate.wait_drained(late()));
                assert_eq!(room.gate.stats().in_use, 0, "drained with somebody inside");
                assert!(room.guarded.is_right(), "what they did is not seen");
            })
        };
        room.guarded.use_it(&permit);
        drop(permit);
        let patient = kind(patient.join().unwrap());
        assert!(
            matches!(patient, None | Some(ErrorKind::Closed)),
            "{patient:?}"
        );
        closing.join().unwrap();
        assert_eq!(kind(room.enter(late())), Some(ErrorKind::Closed));
    });
}

#[test]
fn a_deadline_a_permit_and_the_close_at_one_moment() {
    bounded(|| {
        let room = room();
        let permit = room.gate.acquire(late()).unwrap();
        let hasty = enters(&room, at_once());
        let closing = {
            let room = Arc::clone(&room);
            thread::spawn(move || room.gate.close())
        };
        drop(permit);
        let hasty = kind(hasty.join().unwrap());
        closing.join().unwrap();
        assert!(
            matches!(hasty, None | Some(ErrorKind::Timeout | ErrorKind::Closed)),
            "{hasty:?}"
        );
        let stats = room.gate.stats();
        assert_eq!((stats.in_use, stats.waiting), (0, 0));
        assert!(room.gate.wait_drained(at_once()));
    });
}
