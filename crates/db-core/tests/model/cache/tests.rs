//! Readers, a writer and a cache: what each may see.

use std::collections::HashMap;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::flight::Flights;
use super::lookup::{Kept, Lookup, Standing, Store, Way};
use super::tables::{Changed, TableClock};

type Key = &'static str;

/// Keeps everything for ever.
struct Shelf(Mutex<HashMap<Key, Kept<u64>>>);

impl Store<Key, u64> for Shelf {
    type Moment = ();

    fn moment(&self) {}

    fn find(&self, key: &Key) -> Option<Kept<u64>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn keep(&self, key: Key, kept: Kept<u64>, (): ()) {
        self.0.lock().unwrap().insert(key, kept);
    }
}

/// A database of one number, and a cache of it.
struct World {
    committed: Mutex<u64>,
    clock: Arc<TableClock>,
    lookup: Lookup<Key, u64, Shelf>,
}

impl World {
    fn new() -> Arc<Self> {
        let clock = Arc::new(TableClock::new());
        Arc::new(Self {
            committed: Mutex::new(0),
            clock: Arc::clone(&clock),
            lookup: Lookup {
                clock,
                flights: Flights::new(),
                store: Shelf(Mutex::new(HashMap::new())),
            },
        })
    }

    /// A write: the commit first, then the count, then the answer.
    fn write(&self, value: u64) {
        *self.committed.lock().unwrap() = value;
        self.clock.changed(Changed::Tables(&["t"]));
    }

    fn snapshot(&self) -> u64 {
        *self.committed.lock().unwrap()
    }

    fn get(&self) -> u64 {
        let compute = || Ok::<_, ()>(self.snapshot());
        let got = self
            .lookup
            .get_or_compute(&"key", &["t"], Standing::Outside, compute);
        got.unwrap().0
    }

    /// A read that began its snapshot, and then asks the cache.
    fn get_within_a_read(&self) -> (u64, u64) {
        let as_of = self.clock.now();
        let snapshot = self.snapshot();
        let got = self
            .lookup
            .get_or_compute(&"key", &["t"], Standing::Reading(as_of), || {
                Ok::<_, ()>(snapshot)
            });
        (snapshot, got.unwrap().0)
    }
}

fn spawn<T: 'static>(
    world: &Arc<World>,
    run: impl FnOnce(&World) -> T + 'static,
) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || run(&world))
}

/// Three threads with locks have too many interleavings: those with more than three switches away
/// from a thread that could go on are left out.
fn bounded(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn who_wrote_never_gets_a_value_from_before() {
    bounded(|| {
        let world = World::new();
        world.clock.watch();
        let reader = spawn(&world, World::get);
        let writer = spawn(&world, |world| {
            world.write(1);
            world.get()
        });
        let seen = world.get();
        assert!(seen <= 1);
        assert_eq!(writer.join().unwrap(), 1);
        reader.join().unwrap();
        assert_eq!(world.get(), 1);
    });
}

#[test]
fn a_snapshot_from_before_leaves_nothing_behind() {
    loom::model(|| {
        let world = World::new();
        world.clock.watch();
        let reader = spawn(&world, World::get_within_a_read);
        let writer = spawn(&world, |world| {
            world.write(1);
            world.get()
        });
        assert_eq!(writer.join().unwrap(), 1);
        // A value may be newer than the snapshot only while its change is not counted yet, and
        // then the snapshot is that new as well: here, it is never older than the snapshot.
        let (snapshot, got) = reader.join().unwrap();
        assert!(got >= snapshot, "{got} in a snapshot of {snapshot}");
        assert_eq!(world.get(), 1);
    });
}

#[test]
fn a_cache_that_is_made_beside_a_write_misses_nothing() {
    loom::model(|| {
        let world = World::new();
        let early = spawn(&world, |world| {
            let as_of = world.clock.now();
            let snapshot = world.snapshot();
            (as_of, snapshot)
        });
        let writer = spawn(&world, |world| world.write(1));
        world.clock.watch();
        let (as_of, snapshot) = early.join().unwrap();
        let got = world
            .lookup
            .get_or_compute(&"key", &["t"], Standing::Reading(as_of), || {
                Ok::<_, ()>(snapshot)
            });
        assert!(got.unwrap().0 <= 1);
        writer.join().unwrap();
        assert_eq!(world.get(), 1);
    });
}

#[test]
fn a_failure_wakes_everyone() {
    bounded(|| {
        let world = World::new();
        world.clock.watch();
        let fails = spawn(&world, |world| {
            world
                .lookup
                .get_or_compute(&"key", &["t"], Standing::Outside, || Err::<u64, _>("no"))
                .is_err()
        });
        let other = spawn(&world, World::get);
        assert_eq!(world.get(), 0);
        assert_eq!(other.join().unwrap(), 0);
        fails.join().unwrap();
    });
}

#[test]
fn callers_at_once_compute_once() {
    loom::model(|| {
        let world = World::new();
        world.clock.watch();
        let ask = |world: &World| {
            let compute = || Ok::<_, ()>(world.snapshot());
            let got = world
                .lookup
                .get_or_compute(&"key", &["t"], Standing::Outside, compute);
            got.unwrap().1
        };
        let other = spawn(&world, ask);
        let ways = [ask(&world), other.join().unwrap()];
        let computed = ways.iter().filter(|way| **way == Way::Miss).count();
        assert_eq!(computed, 1, "{ways:?}");
    });
}

/// The check of the checker: a writer that counts before it commits is found out.
#[test]
#[should_panic(expected = "a value from before")]
fn a_writer_that_counts_too_early_is_found() {
    loom::model(|| {
        let world = World::new();
        world.clock.watch();
        let reader = spawn(&world, World::get);
        world.clock.changed(Changed::Tables(&["t"]));
        *world.committed.lock().unwrap() = 1;
        reader.join().unwrap();
        assert_eq!(world.get(), 1, "a value from before");
    });
}
