//! What a cache promises, without a database: changes are counted by hand.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, Mutex};
use std::time::Instant;

use super::*;

type Made = QueryCache<&'static str, u64>;

fn clock() -> Arc<TableClock> {
    Arc::new(TableClock::new())
}

fn cache(clock: &Arc<TableClock>) -> Made {
    let options = CacheOptions::new(100, Duration::from_mins(1));
    QueryCache::new(Arc::clone(clock), options, Box::new(Instant::now), |_| ())
}

fn get(cache: &Made, value: u64) -> u64 {
    cache
        .get_or_compute("key", &["bets"], || Ok::<_, ()>(value))
        .unwrap()
}

#[test]
fn a_value_is_kept_until_its_table_changes() {
    let clock = clock();
    let cache = cache(&clock);
    assert_eq!(get(&cache, 1), 1);
    assert_eq!(get(&cache, 2), 1);
    clock.changed(Changed::Tables(&["users", "games"]));
    assert_eq!(get(&cache, 3), 1);
    clock.changed(Changed::Tables(&["users", "Bets"]));
    assert_eq!(cache.find(&"key"), None);
    assert_eq!(get(&cache, 4), 4);
    clock.changed(Changed::Everything);
    assert_eq!(get(&cache, 5), 5);
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses), (2, 3));
}

#[test]
fn a_value_is_kept_for_its_time() {
    let began = Instant::now();
    let passed = Arc::new(Mutex::new(Duration::ZERO));
    let seen = Arc::clone(&passed);
    let cache: Made = QueryCache::new(
        clock(),
        CacheOptions::new(10, Duration::from_secs(5)),
        Box::new(move || began + *seen.lock().unwrap()),
        |_| (),
    );
    // The computation takes two seconds, and the time runs from before it.
    let slow = cache.get_or_compute("key", &["bets"], || {
        *passed.lock().unwrap() = Duration::from_secs(2);
        Ok::<_, ()>(1)
    });
    assert_eq!(slow, Ok(1));
    *passed.lock().unwrap() = Duration::from_millis(4_999);
    assert_eq!(get(&cache, 2), 1);
    *passed.lock().unwrap() = Duration::from_secs(5);
    assert_eq!(get(&cache, 3), 3);
}

#[test]
fn the_number_of_values_is_bounded() {
    let cache: QueryCache<u64, u64> = QueryCache::new(
        clock(),
        CacheOptions::new(100, Duration::from_mins(1)),
        Box::new(Instant::now),
        |_| (),
    );
    for key in 0..10_000 {
        let value = cache.get_or_compute(key, &["bets"], || Ok::<_, ()>(key));
        assert_eq!(value, Ok(key));
        assert!(cache.len() <= 100, "{}", cache.len());
    }
    assert!(cache.len() > 50, "it keeps some: {}", cache.len());
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn the_weight_of_values_is_bounded() {
    const BYTES: usize = 100_000;
    let cache: QueryCache<usize, Arc<[u8]>> = QueryCache::new(
        clock(),
        CacheOptions::new(0, Duration::from_mins(1))
            .weighed(BYTES as u64, |_, value: &Arc<[u8]>| value.len() as u64),
        Box::new(Instant::now),
        |_| (),
    );
    let mut kept = Vec::new();
    for key in 0..1_000 {
        let value = vec![0; 100 + key].into();
        let value = cache.get_or_compute(key, &["bets"], || Ok::<_, ()>(value));
        assert_eq!(value.unwrap().len(), 100 + key);
        kept = (0..=key).filter_map(|key| cache.find(&key)).collect();
        assert!(kept.iter().map(|value| value.len()).sum::<usize>() <= BYTES);
    }
    assert!(!kept.is_empty());
}

#[test]
fn many_callers_share_one_computation() {
    const CALLERS: usize = 16;
    let cache = cache(&clock());
    let (start, computed) = (Barrier::new(CALLERS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                start.wait();
                let value = cache.get_or_compute("key", &["bets"], || {
                    computed.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, ()>(7)
                });
                assert_eq!(value, Ok(7));
            });
        }
    });
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn an_error_is_not_kept() {
    let cache = cache(&clock());
    assert_eq!(
        cache.get_or_compute("key", &["bets"], || Err("no")),
        Err("no")
    );
    assert_eq!(get(&cache, 1), 1);
}

#[test]
fn a_panic_wakes_those_who_wait() {
    let cache = cache(&clock());
    let led = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                cache.get_or_compute("key", &["bets"], || -> Result<u64, ()> {
                    led.wait();
                    panic!("a computation that panics");
                })
            }));
            assert!(panicked.is_err());
        });
        led.wait();
        // Whether it waits or comes too late to: it gets its own value.
        assert_eq!(get(&cache, 2), 2);
    });
    assert_eq!(get(&cache, 3), 2);
}

#[test]
fn a_value_from_before_a_change_is_not_kept() {
    let clock = clock();
    let cache = cache(&clock);
    let stale = cache.get_or_compute("key", &["bets"], || {
        // Another thread's write commits between this computation's snapshot and its end.
        clock.changed(Changed::Tables(&["bets"]));
        Ok::<_, ()>(1)
    });
    assert_eq!(stale, Ok(1), "it is as old as its call");
    assert_eq!(get(&cache, 2), 2);
}

#[test]
fn who_writes_does_not_join_a_computation_from_before() {
    let clock = clock();
    let cache = cache(&clock);
    let (began, wrote) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let old = cache.get_or_compute("key", &["bets"], || {
                began.wait();
                wrote.wait();
                Ok::<_, ()>(1)
            });
            assert_eq!(old, Ok(1));
        });
        began.wait();
        clock.changed(Changed::Tables(&["bets"]));
        // It would wait for ever if it joined: the other one ends only after it.
        assert_eq!(get(&cache, 2), 2);
        wrote.wait();
    });
    assert_eq!(
        get(&cache, 3),
        2,
        "the older value has not displaced the newer"
    );
}

#[test]
fn a_read_sees_its_own_snapshot_only() {
    let clock = clock();
    let cache = cache(&clock);
    assert_eq!(get(&cache, 1), 1);
    let within = nesting::enter_read(&clock);
    assert_eq!(get(&cache, 2), 1, "unchanged since the snapshot");
    clock.changed(Changed::Tables(&["bets"]));
    assert_eq!(get(&cache, 3), 3, "computed from the old snapshot");
    drop(within);
    assert_eq!(get(&cache, 4), 4, "which was not kept");
    let within = nesting::enter_read(&clock);
    clock.changed(Changed::Tables(&["bets"]));
    drop(within);
    // A snapshot from before the change, a value from after it: not this reader's.
    let within = nesting::enter_read(&clock);
    assert_eq!(get(&cache, 5), 5);
    drop(within);
    assert_eq!(get(&cache, 6), 5, "computed within a read, and kept");
}

#[test]
fn a_table_that_nobody_watched_counts_as_changed() {
    let clock = clock();
    let within = nesting::enter_read(&clock);
    // No cache yet: the commit is not counted, but the read above may have begun before it.
    clock.changed(Changed::Tables(&["bets"]));
    let cache = cache(&clock);
    assert_eq!(get(&cache, 1), 1);
    drop(within);
    assert_eq!(get(&cache, 2), 2);
}

#[test]
fn a_write_neither_takes_nor_keeps() {
    let clock = clock();
    let cache = cache(&clock);
    assert_eq!(get(&cache, 1), 1);
    let within = nesting::enter_write(&clock);
    assert_eq!(cache.find(&"key"), None);
    assert_eq!(get(&cache, 2), 2);
    let read_within = nesting::enter_read(&clock);
    assert_eq!(get(&cache, 3), 3, "still within the write");
    drop(read_within);
    drop(within);
    assert_eq!(get(&cache, 4), 1);
    assert_eq!(cache.counts().bypasses, 2);
}

#[test]
fn another_database_is_another_matter() {
    let (here, elsewhere) = (clock(), clock());
    let cache = cache(&here);
    let within = nesting::enter_write(&elsewhere);
    assert_eq!(get(&cache, 1), 1);
    elsewhere.changed(Changed::Everything);
    assert_eq!(get(&cache, 2), 1);
    drop(within);
}

#[test]
fn a_computation_may_ask_for_another_key_and_for_its_own() {
    let cache = cache(&clock());
    let depth = Cell::new(0);
    let value = cache.get_or_compute("outer", &["bets"], || {
        depth.set(depth.get() + 1);
        cache.get_or_compute("key", &["bets"], || {
            depth.set(depth.get() + 1);
            Ok::<_, ()>(get(&cache, 9))
        })
    });
    assert_eq!((value, depth.get()), (Ok(9), 2));
}
