//! Connections of one kind, and who holds them.

use std::ops::Deref;
use std::panic::Location;
use std::time::{Duration, Instant};

use super::place::Place;
use super::sync::{AtomicI32, AtomicU64, Ordering};

/// A bit of [`Slot::since`]: set while the connection is held.
const HELD: u64 = 1;

/// Another: set while somebody who has found the slot free writes into it.
const CLAIMED: u64 = 2;

/// How many bits there are.
const BITS: u32 = 2;

/// The connections of one kind. At most one caller at a time holds each.
pub(crate) struct Held {
    kind: &'static str,
    start: Instant,
    slots: Box<[Slot]>,
}

/// One connection's entry, alone in its cache lines. Only the holder writes, but for `reported`.
///
/// Whoever looks on reads `since`, the rest, and `since` again: no two checkouts have the same, so
/// if it has not changed, all of it is of one checkout.
#[repr(align(128))]
struct Slot {
    /// Nanoseconds from the start to the last checkout, shifted by [`BITS`]; 0 for never.
    since: AtomicU64,
    caller: Place,
    /// The server's process that serves it, if it is known; else 0.
    pid: AtomicI32,
    /// The `since` that was reported last.
    reported: AtomicU64,
}

/// A connection that is held.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Holder {
    /// The line that took it.
    pub caller: &'static Location<'static>,
    /// For how long.
    pub age: Duration,
}

impl Held {
    /// For `connections` of this kind, as reports name it.
    pub(crate) fn new(kind: &'static str, connections: usize) -> Self {
        Self {
            kind,
            start: Instant::now(),
            slots: (0..connections.max(1))
                .map(|_| Slot {
                    since: AtomicU64::new(0),
                    caller: Place::new(),
                    pid: AtomicI32::new(0),
                    reported: AtomicU64::new(0),
                })
                .collect(),
        }
    }

    /// Notes that `caller` has taken connection number `index`, which nobody else has.
    pub(crate) fn take(&self, index: usize, caller: &'static Location<'static>) {
        if let Some(slot) = self.slots.get(index) {
            self.note(slot, caller, 0);
        }
    }

    /// Notes that connection number `index` has come back. Before somebody else can take it.
    pub(crate) fn give_back(&self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            let since = slot.since.load(Ordering::Relaxed);
            slot.since.store(since & !HELD, Ordering::Release);
        }
    }

    /// Notes that `caller` has taken a connection that has no number, served by this process.
    /// There are never more such callers than connections.
    pub(crate) fn claim(&self, caller: &'static Location<'static>, pid: Option<i32>) -> usize {
        // Each connection finds its own slot again, mostly.
        let first = pid.map_or(0, |pid| usize::try_from(pid).unwrap_or(0));
        let count = self.slots.len();
        // A slot is free all the time, but while others come and go a search can miss it.
        loop {
            for n in 0..count {
                let index = first.wrapping_add(n) % count;
                let slot = &self.slots[index];
                let since = slot.since.load(Ordering::Relaxed);
                if since & (HELD | CLAIMED) == 0 && slot.claim(since) {
                    self.note(slot, caller, pid.unwrap_or(0));
                    return index;
                }
            }
            std::hint::spin_loop();
        }
    }

    /// How long ago connection number `index` was taken last; `None` while it is held or if it
    /// never was.
    pub(crate) fn unused_for(&self, index: usize) -> Option<Duration> {
        let since = self.slots.get(index)?.since.load(Ordering::Acquire);
        (since != 0 && since & HELD == 0).then(|| self.age(since))
    }

    /// A number that changes with each checkout.
    pub(crate) fn last_take(&self) -> u64 {
        let since = |slot: &Slot| slot.since.load(Ordering::Relaxed) >> BITS;
        self.slots.iter().map(since).max().unwrap_or_default()
    }

    /// The connection that is held longest: a gauge, and the answer to "who has them all".
    pub(crate) fn oldest(&self) -> Option<Holder> {
        self.all()
            .map(|seen| seen.holder)
            .max_by_key(|holder| holder.age)
    }

    /// The servers' processes that serve what is held, as far as they are known.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.all().filter_map(|seen| seen.pid).collect()
    }

    /// What is held.
    pub(super) fn all(&self) -> impl Iterator<Item = Seen> {
        self.slots.iter().filter_map(|slot| self.look(slot))
    }

    /// Warns of each connection that is held for `threshold` or longer, once per checkout. Returns
    /// how soon the next one can be. For one thread.
    pub(crate) fn report(&self, threshold: Duration) -> Duration {
        let mut next = threshold;
        for slot in &self.slots {
            let Some(Seen { since, holder, pid }) = self.look(slot) else {
                continue;
            };
            if let Some(left) = threshold.checked_sub(holder.age)
                && !left.is_zero()
            {
                next = next.min(left);
                continue;
            }
            if slot.reported.swap(since, Ordering::Relaxed) == since {
                continue;
            }
            tracing::warn!(
                connection = self.kind,
                held_ms = u64::try_from(holder.age.as_millis()).unwrap_or(u64::MAX),
                pid,
                caller = %holder.caller,
                "a connection is held too long; it was taken at {}",
                holder.caller
            );
        }
        next
    }

    fn note(&self, slot: &Slot, caller: &'static Location<'static>, pid: i32) {
        let before = slot.since.load(Ordering::Relaxed) >> BITS;
        let now = self.now().max(before + 1);
        slot.caller.set(caller);
        slot.pid.store(pid, Ordering::Release);
        slot.since.store(now << BITS | HELD, Ordering::Release);
    }

    /// What a slot says, if all of it is of one checkout that is not over.
    fn look(&self, slot: &Slot) -> Option<Seen> {
        let since = slot.since.load(Ordering::Acquire);
        if since & HELD == 0 {
            return None;
        }
        let caller = slot.caller.get()?;
        let pid = slot.pid.load(Ordering::Acquire);
        // Who wrote what was read here had seen the slot given back: if that is of another
        // checkout, so is this.
        if slot.since.load(Ordering::Relaxed) != since {
            return None;
        }
        Some(Seen {
            since,
            holder: Holder {
                caller,
                age: self.age(since),
            },
            pid: (pid != 0).then_some(pid),
        })
    }

    /// Nanoseconds from the start. 2^62 of them are 146 years.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX >> BITS)
    }

    fn age(&self, since: u64) -> Duration {
        self.start
            .elapsed()
            .saturating_sub(Duration::from_nanos(since >> BITS))
    }
}

/// A checkout, as somebody else sees it.
pub(super) struct Seen {
    since: u64,
    pub(super) holder: Holder,
    pub(super) pid: Option<i32>,
}

impl Slot {
    /// Takes the slot if `since` is still what was read; orders all that follows behind what the
    /// last holder did.
    fn claim(&self, since: u64) -> bool {
        self.since
            .compare_exchange(since, since | CLAIMED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }
}

/// A connection that is noted as held until this is dropped.
pub(crate) struct Holding<H: Deref<Target = Held>> {
    held: H,
    index: usize,
}

impl<H: Deref<Target = Held>> Holding<H> {
    /// As [`Held::take`].
    pub(crate) fn take(held: H, index: usize, caller: &'static Location<'static>) -> Self {
        held.take(index, caller);
        Self { held, index }
    }

    /// As [`Held::claim`].
    pub(crate) fn claim(held: H, caller: &'static Location<'static>, pid: Option<i32>) -> Self {
        let index = held.claim(caller, pid);
        Self { held, index }
    }
}

impl<H: Deref<Target = Held>> Drop for Holding<H> {
    fn drop(&mut self) {
        self.held.give_back(self.index);
    }
}

/// Who holds a connection longest, as the end of a sentence.
pub(crate) fn longest(holder: Option<Holder>) -> String {
    holder.map_or_else(String::new, |Holder { caller, age }| {
        format!("; the connection held longest was taken {age:.1?} ago by {caller}")
    })
}
