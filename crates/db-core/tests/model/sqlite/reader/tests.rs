//! Slots: each used by one at a time, none lost, and nobody left waiting.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread::{self, JoinHandle};

use super::gate::{Gate, Refusal};
use crate::bounded;

const LATE: Duration = Duration::from_hours(1);

/// A gate, and what stands behind its slots.
struct Room {
    gate: Gate,
    places: Vec<Place>,
    entries: AtomicU32,
}

/// A count that is wrong as soon as two add to it at once, or one does not see what the one before
/// it did.
struct Place {
    count: AtomicU32,
    is_closed: Mutex<bool>,
}

fn room(slots: usize) -> Arc<Room> {
    Arc::new(Room {
        gate: Gate::new(slots),
        places: (0..slots)
            .map(|_| Place {
                count: AtomicU32::new(0),
                is_closed: Mutex::new(false),
            })
            .collect(),
        entries: AtomicU32::new(0),
    })
}

impl Room {
    fn enter(&self, patience: Duration) -> Result<(), Refusal> {
        let slot = self.gate.acquire(0, patience)?;
        if *self.places[slot].is_closed.lock().unwrap() {
            self.gate.release(slot, false);
            return Err(Refusal::Closed);
        }
        self.leave(slot);
        Ok(())
    }

    fn leave(&self, slot: usize) {
        let place = &self.places[slot].count;
        place.store(place.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.gate.release(slot, true);
    }

    /// Nobody is inside or waits, and every slot is there for the next one.
    fn is_as_new(&self) {
        assert_eq!((self.gate.taken(), self.gate.waiting()), (0, 0));
        let slots: Vec<_> = (0..self.places.len())
            .map(|_| self.gate.acquire(0, Duration::ZERO).unwrap())
            .collect();
        let counts = self.places.iter().map(|place| &place.count);
        let counted: u32 = counts.map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(counted, self.entries.load(Ordering::Relaxed), "two at once");
        for slot in slots {
            self.leave(slot);
        }
    }
}

fn enters(room: &Arc<Room>, patience: Duration) -> JoinHandle<Result<(), Refusal>> {
    let room = Arc::clone(room);
    thread::spawn(move || room.enter(patience))
}

#[test]
fn one_slot_lets_in_one_at_a_time_and_all_in_the_end() {
    bounded(|| {
        let room = room(1);
        let others = [enters(&room, LATE), enters(&room, LATE)];
        room.enter(LATE).unwrap();
        for other in others {
            other.join().unwrap().unwrap();
        }
        room.is_as_new();
    });
}

#[test]
fn two_slots_let_in_two() {
    bounded(|| {
        let room = room(2);
        let slot = room.gate.acquire(1, LATE).unwrap();
        let others = [enters(&room, LATE), enters(&room, LATE)];
        room.leave(slot);
        for other in others {
            other.join().unwrap().unwrap();
        }
        room.is_as_new();
    });
}

#[test]
fn a_slot_that_comes_at_the_deadline_is_not_lost() {
    loom::model(|| {
        let room = room(1);
        let slot = room.gate.acquire(0, LATE).unwrap();
        let hasty = enters(&room, Duration::ZERO);
        room.leave(slot);
        let hasty = hasty.join().unwrap();
        assert!(matches!(hasty, Ok(()) | Err(Refusal::Timeout)), "{hasty:?}");
        room.is_as_new();
    });
}

#[test]
fn who_leaves_the_line_does_not_keep_the_next_one_waiting() {
    bounded(|| {
        let room = room(1);
        let slot = room.gate.acquire(0, LATE).unwrap();
        let hasty = enters(&room, Duration::ZERO);
        let patient = enters(&room, LATE);
        room.leave(slot);
        patient.join().unwrap().unwrap();
        let hasty = hasty.join().unwrap();
        assert!(matches!(hasty, Ok(()) | Err(Refusal::Timeout)), "{hasty:?}");
        room.is_as_new();
    });
}

#[test]
fn a_gate_that_closes_answers_everybody() {
    bounded(|| {
        let room = room(1);
        let slot = room.gate.acquire(0, LATE).unwrap();
        let patient = enters(&room, LATE);
        let closing = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                room.gate.close();
                assert!(room.gate.drained(LATE));
                // As the pool does; from here on nobody new is let in.
                *room.places[0].is_closed.lock().unwrap() = true;
                assert!(room.gate.drained(LATE));
                room.places[0].count.load(Ordering::Relaxed)
            })
        };
        room.leave(slot);
        let patient = patient.join().unwrap();
        assert!(
            matches!(patient, Ok(()) | Err(Refusal::Closed)),
            "{patient:?}"
        );
        let used = closing.join().unwrap();
        assert_eq!(room.enter(LATE), Err(Refusal::Closed));
        assert_eq!(room.gate.taken(), 0);
        let uses = room.entries.load(Ordering::Relaxed);
        assert_eq!(uses, used, "somebody was inside when it was closed");
    });
}

/// Whoever closes idle connections takes a slot only if nobody wants it.
#[test]
fn the_keeper_takes_a_slot_like_anybody() {
    bounded(|| {
        let room = room(1);
        room.enter(LATE).unwrap();
        let keeper = {
            let room = Arc::clone(&room);
            thread::spawn(move || {
                if room.gate.take_open(0) {
                    room.leave(0);
                }
            })
        };
        let other = enters(&room, LATE);
        room.enter(LATE).unwrap();
        other.join().unwrap().unwrap();
        keeper.join().unwrap();
        room.is_as_new();
    });
}
